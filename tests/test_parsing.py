"""Parsing: every box that was written and none that was not, whatever the text; cut numbers never count."""

import re
import time
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.parsing import Written, scan


def numbers_of(text: str, *, thinking: bool = False) -> list[tuple[float, ...]]:
    return [box.numbers for box in scan(text, thinking=thinking).boxes]


# Notations


def test_spans_and_starts_counted_by_hand() -> None:
    box = scan("<ref>XXX</ref><box>[[253, 231, 733, 787]]</box>").boxes[0]
    assert box == Written((253, 231, 733, 787), (21, 26, 31, 36), (20, 40), "XXX")
    corners = scan("the red car(358,571),(492,943)").boxes[0]
    assert corners == Written((358, 571, 492, 943), (12, 16, 22, 26), (11, 30), "the red car")
    assert scan("at [-.5, +3, 0.25, 4.]").boxes[0] == Written((-0.5, 3, 0.25, 4), (4, 9, 13, 19), (3, 22), None)


class Notation(NamedTuple):
    """How one list of boxes is written: before all, each with {0}..{3}, between, after all; the label all boxes get."""

    start: str
    box: str
    between: str
    end: str
    label: str | None


NOTATIONS = {
    "bare": Notation("The boxes are ", "[{0}, {1}, {2}, {3}]", " and ", ".", None),
    "round": Notation("", "({0},{1},{2},{3})", "\n", "", None),
    "json": Notation(
        "```json\n[\n\t", '{{"bbox_2d": [{0}, {1}, {2}, {3}], "label": "a {{ b"}}', ",\n\t", "\n]\n```", "a { b"
    ),
    "label first": Notation("[", '{{"label": "cup", "box_2d": [{0},{1},{2},{3}]}}', ",", "]", "cup"),
    "python": Notation("Let's see: [", "{{'bbox': ({0}, {1}, {2}, {3}), 'name': 'it\\'s'}}", ", ", "]", "it's"),
    "trailing commas": Notation("[", '{{"bbox": [{0}, {1}, {2}, {3},], "text_content": "t",}}', ", ", ",]", "t"),
    "label of a list": Notation('{"boxes": [', "[{0}, {1}, {2}, {3}]", ", ", '], "category": "cup"}', "cup"),
    "label before a list": Notation('{"class": "cup", "boxes": [', "[{0}, {1}, {2}, {3}]", ", ", "]}", "cup"),
    "internvl": Notation("<ref>cup</ref><box>[", "[{0}, {1}, {2}, {3}]", ", ", "]</box>", "cup"),
    "internvl stripped": Notation("A: red cup[", "[{0}, {1}, {2}, {3}]", ", ", "]", "red cup"),
    "deepseek": Notation("<|ref|>cup<|/ref|><|det|>[", "[{0}, {1}, {2}, {3}]", ", ", "]<|/det|>", "cup"),
    "qwen2": Notation(
        "<|object_ref_start|>cup<|object_ref_end|>", "<|box_start|>({0},{1}),({2},{3})<|box_end|>", "", "", "cup"
    ),
    "qwen2 stripped": Notation("", "the 杯({0},{1}),({2},{3})", "", "", "the 杯"),
    "html": Notation("<p ", 'data-bbox="{0} {1} {2} {3}"', "></p><p ", "></p>", None),
    "string": Notation("", '{{"bbox_2d": "{0}, {1}, {2}, {3}", "label": "cup"}}', " ", "", "cup"),
    "chinese": Notation("位置：", "[{0}，{1}， {2}，{3}]", "、", "。", None),
    "lost bracket": Notation("", "<|det|>[[{0}, {1}, {2}, {3}<|/det|>", " ", "", None),
}

NUMBER = st.one_of(
    st.integers(-20, 2000).map(str),
    st.decimals(0, 1, places=3).map(str),
    st.sampled_from(["0", "00", "0.", ".5", "+7", "-0.125", "999999999"]),
)
QUADS = st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER), min_size=1, max_size=4)


def write(notation: Notation, quads: list[tuple[str, ...]]) -> str:
    return notation.start + notation.between.join(notation.box.format(*quad) for quad in quads) + notation.end


@pytest.mark.parametrize("notation", NOTATIONS.values(), ids=NOTATIONS.keys())
@given(quads=QUADS)
@settings(deadline=None, max_examples=30)
def test_every_notation_gives_its_numbers_in_order_with_its_label(
    notation: Notation, quads: list[tuple[str, ...]]
) -> None:
    parsed = scan(write(notation, quads))
    assert parsed.reading == "boxes"
    assert [box.numbers for box in parsed.boxes] == [tuple(map(float, quad)) for quad in quads]
    assert {box.label for box in parsed.boxes} == {notation.label}


@pytest.mark.parametrize("notation", NOTATIONS.values(), ids=NOTATIONS.keys())
@given(quads=QUADS)
@settings(deadline=None, max_examples=15)
def test_no_prefix_gives_a_box_that_the_whole_answer_does_not_have(
    notation: Notation, quads: list[tuple[str, ...]]
) -> None:
    text = write(notation, quads)
    whole = [(box.numbers, box.starts, box.span) for box in scan(text).boxes]
    for end in range(len(text)):
        cut = [(box.numbers, box.starts, box.span) for box in scan(text[:end]).boxes]
        assert cut == whole[: len(cut)]


PIECES = """\
[ ] ( ) { } < > | / " ' , ， : ; = . - + \\ 0 1 27 0.5 -3 1234567890 [5,6,7,8] (1,2) (1,2),(3,4) {"bbox": bbox_2d box
label none [] <think> </think> <ref> </ref> <box> </box> <|det|> <|box_start|> é杯🍎"""
FRAGMENTS = st.sampled_from(
    [*PIECES.split(), " ", "\n", "1, 2, 3, 4", '"label": "cup"', "\ud800", "\0", "\x1f", "\u2028"]
)
ANYTHING = st.one_of(st.text(), st.lists(FRAGMENTS, max_size=40).map("".join))


@given(ANYTHING, st.booleans())
@settings(deadline=None, max_examples=400)
def test_any_text_is_read_and_spans_hold_exactly_the_numbers(text: str, thinking: bool) -> None:
    parsed = scan(text, thinking=thinking)
    assert (parsed.reading == "boxes") == bool(parsed.boxes)
    end = 0
    for box in parsed.boxes:
        assert end <= box.span[0] < box.starts[0] < box.starts[1] < box.starts[2] < box.starts[3] < box.span[1]
        assert re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)", text[slice(*box.span)], re.ASCII) == [
            re.match(r"[-+.\d]+", text[start:], re.ASCII)[0]  # type: ignore[index]  # a number stands there
            for start in box.starts
        ]
        end = box.span[1]
        assert box.label is None or box.label.encode("utf-8", "surrogatepass")


@given(ANYTHING, st.data())
@settings(deadline=None, max_examples=300)
def test_the_last_number_of_a_box_is_followed_by_more_text(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(0, len(text)))]
    for box in scan(cut).boxes:
        number = re.compile(r"[-+.\d]+", re.ASCII).match(cut, box.starts[3])
        assert number is not None
        assert number.end() < len(cut)


# What makes no box


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        "[10, 20, 30, 40, 50, 60, 70, 80]",
        "[1, 2, 3, 4",
        "[1, 2, 3, 4,",
        "[1, 2, 3, 4 < 5",
        "(1,2),(3,4",
        '"bbox_2d": "1 2 3 4',
        '"value": "1 2 3 4"',
        '{"point_2d": [925, 618], "label": "point_1"}',
        '{"points": [[1, 2], [3, 4]]}',
        "<quad>(1,2),(3,4),(5,6),(7,8)</quad>",
        '{"bbox_2d": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}',
        "[x1, y1, x2, y2]",
        "[1, 2, x, 4]",
        "[1 2, 3-4, 5]",
        "[1234567890, 1, 2, 3]",
        "It is at 10, 20, 30, 40.",
        "[١, ٢, ٣, ٤]",
        "[" + "1" * 50,
    ],
)
def test_what_makes_no_box_is_unreadable(text: str) -> None:
    assert scan(text) == ("unreadable", ())


def test_a_box_begun_and_begun_again_counts_once() -> None:
    assert numbers_of("<|det|>[[220, <|ref|>car<|/ref|><|det|>[[220, 416, 417, 720]]<|/det|>") == [(220, 416, 417, 720)]
    assert numbers_of("[[1, 2, 3, [[5, 6, 7, 8]]") == [(5, 6, 7, 8)]


def test_corners_are_not_reordered_and_ranges_not_judged() -> None:
    assert numbers_of("[400, 300, -100, 5000]") == [(400, 300, -100, 5000)]


def test_a_box_inside_the_label_of_a_box_is_part_of_the_label() -> None:
    parsed = scan('[{"bbox_2d": [1, 2, 3, 4], "text_content": "see (5,6),(7,8) or [9, 10, 11, 12]"}]')
    assert [(box.numbers, box.label) for box in parsed.boxes] == [((1, 2, 3, 4), "see (5,6),(7,8) or [9, 10, 11, 12]")]


# Labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"bbox": [1,2,3,4], "score": 0.5, "Label": "cup"}', ["cup"]),
        ('{"bbox": [1,2,3,4], "label": 7}', [None]),
        ('{"bbox": [1,2,3,4], "label": ""}', [None]),
        ('{"label": "a", "bbox": [1,2,3,4]}, {"bbox": [5,6,7,8], "label": "b"}', ["a", "b"]),
        ('{"label": "a"}, [1,2,3,4]', [None]),
        ('"label": "a", "bbox": [1,2,3,4]', [None]),
        ('{"label": "cup", "bbox": [1,2,3,4], "description": "a red one"}', ["cup"]),
        ('{"bbox": [1,2,3,4], "sub": "x", "label": "a", "name": "b"}', ["a"]),
        (r'{"bbox": [1,2,3,4], "label": "caf\u00e9 \"x\""}', ['café "x"']),
        (r'{"bbox": [1,2,3,4], "label": "half \ud800"}', [r"half \ud800"]),
        (r'{"bbox": [1,2,3,4], "label": "bad \x"}', [r"bad \x"]),
        ("<ref>a</ref><box>[[1,2,3,4],[5,6,7,8]]</box><ref>b</ref><box>[[9,9,9,9]]</box>", ["a", "a", "b"]),
        ('<ref>a</ref>: {"bbox": [1,2,3,4], "label": "b"}', ["b"]),
        ('[[1,2,3,4], "label": "a"], [5,6,7,8]', ["a", None]),
        ("<ref>cup</ref> stands at <box>[[1,2,3,4]]</box>", ["cup"]),
        ("the dog(1,2),(3,4)the cat(5,6),(7,8)(7,7),(8,8)", ["the dog", "the cat", "the cat"]),
        ("Box(1,2,3,4)", [None]),
        ("see [[1,2,3,4]]", [None]),
    ],
)
def test_labels(text: str, labels: list[str | None]) -> None:
    assert [box.label for box in scan(text).boxes] == labels


# Thoughts


@pytest.mark.parametrize(
    ("text", "plain", "thinking"),
    [
        ("<think>[1,2,3,4]</think>[5,6,7,8]", [5], [5]),
        ("[1,2,3,4]</think>[5,6,7,8]", [5], [5]),
        ("[1,2,3,4]</think>[2,2,3,4]</think>[5,6,7,8]", [5], [5]),
        ("<think>[1,2,3,4]", [], []),
        ("[1,2,3,4]", [1], []),
        ("[1,2,3,4]<think>[2,2,3,4]</think>[5,6,7,8]", [1, 5], [5]),
        ("[1,2,3,4]<think>[5,6,7,8]", [1], []),
        ("a</think>[5,6,7,8]<think>[1,2,3,4]", [5], [5]),
        ("[1, <think></think>2, 3, 4]", [], []),
        ("a</think>[1,2,3,4]<think>b</think>[5,6,7,8]", [1, 5], [5]),
        ("[1,2,3,4]<think>a</think>b</think>[5,6,7,8]", [5], [5]),
    ],
)
def test_thoughts_give_no_boxes(text: str, plain: list[int], thinking: list[int]) -> None:
    assert [numbers[0] for numbers in numbers_of(text)] == plain
    assert [numbers[0] for numbers in numbers_of(text, thinking=True)] == thinking
    for box in scan(text, thinking=True).boxes:
        assert text[slice(*box.span)] == "[5,6,7,8]", "indices count from the start of the whole text"


@given(ANYTHING)
@settings(deadline=None)
def test_a_thinking_answer_is_what_stands_after_its_last_mark(text: str) -> None:
    mark = text.rfind("</think>")
    after = scan(text[mark + len("</think>") :]).boxes if mark >= 0 else ()
    assert numbers_of(text, thinking=True) == [box.numbers for box in after]


# Time


LOOPS = {
    "digits": "1" * 100_000,
    "digits in a list": "[1, 2, " + "1" * 100_000,
    "brackets": "[" * 100_000,
    "brackets and blanks": "[ " * 50_000,
    "nested": "[" * 50_000 + "1, 2, 3, 4" + "]" * 50_000,
    "a list without end": "[" + "1, " * 33_000,
    "lists without end": "[1, 2, 3, " * 10_000,
    "points": "(1,2)," * 17_000,
    "half points": "(1,2),(" * 14_000,
    "blanks": "[1" + " " * 100_000,
    "keys": "box" * 33_000,
    "keys and blanks": "box = " * 16_000,
    "open strings": 'bbox="1 1 1 1 ' * 7_000,
    "boxes": "[1,2,3,4]" * 11_000,
    "boxes and quotes": "[1,2,3,4]\"'" * 9_000,
    "open labels": '[1,2,3,4],"label":\'"' * 5_000,
    "pairs": "{" + '"a":"b",' * 12_000 + "[1,2,3,4]",
    "braces": "{" * 100_000 + "[1,2,3,4]",
    "escapes": '[1,2,3,4],"label":"' + "\\" * 100_000,
    "references": "<ref>" * 20_000 + "[1,2,3,4]",
    "tags": "[1,2,3,4]" + "<|" * 50_000 + "[1,2,3,4]",
    "words": "a " * 50_000 + "(1,2),(3,4)",
    "thoughts": "<think></think>" * 7_000,
    "no": "no " * 33_000,
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS.keys())
def test_loops_of_100_000_characters_take_no_time(text: str) -> None:
    began = time.process_time()
    scan(text)
    assert time.process_time() - began < 5, "measured: at most 0.2 s; a quadratic step takes 10 s to minutes"
