"""Parsing: every box that was written and none that was not; cut numbers never count; tokens are found by position."""

import json
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.boxes import Box, Size
from glintbox.parsing import FRAME_OF_FAMILY, FRAMES, Written, frame_of, read_response, scan, tokens_of
from glintbox.records import Response


class Recorded(NamedTuple):
    id: str
    model: str
    source: str
    image: list[int] | None
    input: list[int] | None
    units: str
    boxes: int
    response: str


RESPONSES = Path(__file__).parent / "data" / "responses" / "recorded.jsonl"
RECORDED = [Recorded(**json.loads(line)) for line in RESPONSES.read_text(encoding="utf-8").splitlines()]
BY_ID = {recorded.id: recorded for recorded in RECORDED}


def numbers_of(text: str, *, thinking: bool = False) -> list[tuple[float, ...]]:
    return [box.numbers for box in scan(text, thinking=thinking).boxes]


def response(text: str, spans: tuple[tuple[int, int], ...] = ()) -> Response:
    return Response(text, "sampled", "stop", tuple(range(len(spans))), spans)


# Recorded answers


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.id)
def test_recorded_answers_give_as_many_boxes_as_a_person_counts(recorded: Recorded) -> None:
    parsed = scan(recorded.response)
    assert len(parsed.boxes) == recorded.boxes
    assert parsed.reading == ("boxes" if recorded.boxes else "unreadable")


def test_there_are_23_recorded_answers_with_172_boxes() -> None:
    assert len(RECORDED) == 23
    assert sum(len(scan(recorded.response).boxes) for recorded in RECORDED) == 172


# read by eye: answer, number of the box in it, its text, its numbers, its label
BY_HAND = [
    ("sheep-01-01", 0, "[154, 487, 270, 603]", (154, 487, 270, 603), "sheep heads"),
    ("sheep-01-01", 26, "[935, 173, 999, 257]", (935, 173, 999, 257), "sheep heads"),
    ("lvis-doughnut", 0, "[536, 577, 612, 634]", (536, 577, 612, 634), "doughnut"),
    ("q25-cookbook-ocr", 2, "[358, 252, 518, 278]", (358, 252, 518, 278), "(867388-U)"),
    ("q25-cookbook-ocr", 38, "[228, 1328, 667, 1352]", (228, 1328, 667, 1352), "Facebook.com/BarWangRice"),
    (
        "q25-718",
        2,
        "[212, 230, 346, 288]",
        (212, 230, 346, 288),
        "Sports & Outdoor Accessories | Protective Gear",
    ),
    ("q25-1030-ocr", 0, "[50, 117, 346, 168]", (50, 117, 346, 168), "AuntieAnne's"),
    ("q25-1030-ocr", 5, "[304, 275, 329, 289]", (304, 275, 329, 289), None),  # its label is cut
    ("vlmr1-99", 0, "[368, 1, 475, 330]", (368, 1, 475, 330), "man wearing blue shirt and shorts"),
    ("visualrft-29", 0, "[608, 446, 636, 476]", (608, 446, 636, 476), "person"),
    ("ivl-953-single", 0, "[561, 660, 695, 1000]", (561, 660, 695, 1000), "car"),
    ("ivl-form", 0, "[253, 231, 733, 787]", (253, 231, 733, 787), "XXX"),
    ("ds-100", 0, "[220, 416, 417, 720]", (220, 416, 417, 720), "compact car"),
    ("q2-redcar", 0, "(358,571),(492,943)", (358, 571, 492, 943), "the red car"),
    ("xc-1", 0, "[528, 69, 643, 119]", (528, 69, 643, 119), None),
    ("q3-1871-boxtok", 0, "(342,308),(670,766)", (342, 308, 670, 766), None),
]


@pytest.mark.parametrize(("id", "index", "written", "numbers", "label"), BY_HAND)
def test_recorded_boxes_read_by_hand(
    id: str, index: int, written: str, numbers: tuple[int, ...], label: str | None
) -> None:
    text = BY_ID[id].response
    assert text.count(written) == 1
    box = scan(text).boxes[index]
    assert box.numbers == numbers
    assert box.span == (text.index(written), text.index(written) + len(written))
    assert box.label == label


def test_spans_and_starts_counted_by_hand() -> None:
    box = scan("<ref>XXX</ref><box>[[253, 231, 733, 787]]</box>").boxes[0]
    assert box == Written((253, 231, 733, 787), (21, 26, 31, 36), (20, 40), "XXX")
    corners = scan("the red car(358,571),(492,943)").boxes[0]
    assert corners == Written((358, 571, 492, 943), (12, 16, 22, 26), (11, 30), "the red car")
    assert scan("at [-.5, +3, 0.25, 4.]").boxes[0] == Written((-0.5, 3, 0.25, 4), (4, 9, 13, 19), (3, 22), None)


# first boxes in pixels of the original picture, worked out by hand
PIXELS = [
    ("q35-scratch2", [(384, 314, 547, 388), (364, 238, 527, 314)], 0.5),  # published beside the answer, rounded
    ("q25-1035", [(19.21, 290.63, 155.69, 434)], 0.01),  # y2 = 476 of 448 is clipped
    ("q25-cookbook-ocr", [(125.29, 168.76, 755.74, 207.70)], 0.01),
    ("ds-100", [(422.82, 449.73, 801.44, 778.38)], 0.01),
    ("q3-1871-boxtok", [(131.33, 78.85, 257.28, 196.10)], 0.01),
    ("sheep-01-01", [(197.12, 468.01, 345.6, 579.48), (0, 448.79, 125.44, 537.20)], 0.01),
]


@pytest.mark.parametrize(("id", "pixels", "within"), PIXELS)
def test_recorded_boxes_in_pixels_of_their_pictures(id: str, pixels: list[tuple[float, ...]], within: float) -> None:
    recorded = BY_ID[id]
    assert recorded.image is not None
    image, seen = Size(*recorded.image), Size(*recorded.input) if recorded.input else None
    reading, candidates = read_response(
        response(recorded.response), 3, frame=frame_of(recorded.units, image=image, seen=seen), image=image
    )
    assert reading == "boxes"
    assert len(candidates) == recorded.boxes
    for candidate, box in zip(candidates, pixels, strict=False):
        assert list(candidate.box) == pytest.approx(box, abs=within)
        assert candidate.response == 3


# Notations


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


# Readings


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "```json\n[]\n```",
        "```json\n[\n]\n```",
        '{"bbox_2d": [], "label": "cup"}',
        "None",
        '{"bbox_2d": null}',
        "There are no red cups in the image.",
        "There's no cup.",
        "The cup is not visible.",
        "No red cup is visible here.",
        "I cannot find a cup.",
        "The image doesn’t show a cup.",
        "<think>A cup at [1, 2, 3, 4]? No.</think>[]",
    ],
)
def test_an_explicit_none_is_an_answer(text: str) -> None:
    assert scan(text) == ("none", ())


@pytest.mark.parametrize("text", ["Nonetheless", "I am sorry.", "[[", "{}", "a notable cup", "<think>none</think>"])
def test_what_says_nothing_is_unreadable_and_not_none(text: str) -> None:
    assert scan(text) == ("unreadable", ())


def test_a_box_beside_a_none_is_a_box() -> None:
    assert scan("[1, 2, 3, 4]; there are no others").reading == "boxes"


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


# Tokens


@st.composite
def tilings(draw: st.DrawFn, length: int) -> tuple[tuple[int, int], ...]:
    """Spans that tile `length` characters, with tokens that stand for none among them."""
    cuts = sorted(draw(st.lists(st.integers(0, length), max_size=2 * length)))
    edges = [0, *cuts, length]
    return tuple(pairwise(edges))


ZERO_POINT = st.tuples(st.sampled_from(["", "-"]), st.text("0", max_size=3), st.integers(1, 999))


@given(st.lists(ZERO_POINT, min_size=4, max_size=4), st.sampled_from(["café🍎 ", "", "[["]), st.data())
@settings(deadline=None)
def test_the_token_of_a_coordinate_covers_its_first_or_first_significant_digit(
    quad: list[tuple[str, str, int]], before: str, data: st.DataObject
) -> None:
    text, starts, significant = before + "[", [], []
    for sign, zeros, rest in quad:
        starts.append(len(text))
        significant.append(len(text) + len(sign) + len("0.") + len(zeros))
        text += f"{sign}0.{zeros}{rest}, "
    text = text[:-2] + "]"
    spans = data.draw(tilings(len(text)))
    (box,) = scan(text).boxes
    first = tokens_of(box, text, spans)
    telling = tokens_of(box, text, spans, policy="first_significant_digit")
    assert first is not None
    assert telling is not None
    for tokens, characters in ((first, starts), (telling, significant)):
        for token, character in zip(tokens, characters, strict=True):
            assert [i for i, (a, b) in enumerate(spans) if a <= character < b] == [token]


def test_tokens_by_hand() -> None:
    text = "[0, 0.05, 120, -0.70]"
    one_each = tuple((i, i + 1) for i in range(len(text)))
    (box,) = scan(text).boxes
    assert tokens_of(box, text, one_each) == (1, 4, 10, 15)
    assert tokens_of(box, text, one_each, policy="first_significant_digit") == (1, 7, 10, 18)
    glued = ((0, 2), (2, 4), (4, 4), (4, 8), (8, 11), (11, 21))
    assert tokens_of(box, text, glued) == (0, 3, 4, 5)
    assert tokens_of(box, text, glued, policy="first_significant_digit") == (0, 3, 4, 5)


def test_a_coordinate_without_a_token_gives_none() -> None:
    text = "[1, 2, 3, 4]"
    (box,) = scan(text).boxes
    assert tokens_of(box, text, ((0, 10), (11, 12))) is None, "a gap in the spans"
    assert tokens_of(box, text, ((0, 10),)) is None, "spans that end early"
    assert tokens_of(box, text, ()) is None


# Responses


IMAGE = Size(400, 200)
FRAME = frame_of("1000", image=IMAGE)


def test_a_response_gives_candidates_in_pixels_with_their_tokens() -> None:
    text = '{"bbox_2d": [100, 200, 300, 400], "label": "cup"} [9, 9, 3, 3] [0, 0, 2000, 10] (500,500),(1050,900)'
    spans = tuple((i, i + 1) for i in range(len(text)))
    reading, (first, second) = read_response(response(text, spans), 2, frame=FRAME, image=IMAGE)
    assert reading == "boxes"
    assert first.box == Box(40, 40, 120, 80)
    assert (first.written, first.label, first.response) == ((100, 200, 300, 400), "cup", 2)
    assert (first.span, first.tokens) == ((12, 32), (13, 18, 23, 28))
    assert second.box == Box(200, 100, 400, 180), "5 % outside is clipped"


def test_boxes_of_which_none_is_valid_are_unreadable() -> None:
    assert read_response(response("[9, 9, 3, 3]; none else"), 0, frame=FRAME, image=IMAGE) == ("unreadable", ())


def test_thinking_and_policy_reach_the_scanner_and_the_tokens() -> None:
    text = "[0.5, 0.5, 0.6, 0.6]</think>[0.0, 0.25, 0.5, 0.75]"
    spans = tuple((i, i + 1) for i in range(len(text)))
    frame = frame_of("1", image=IMAGE)
    (candidate,) = read_response(
        response(text, spans), 0, frame=frame, image=IMAGE, thinking=True, policy="first_significant_digit"
    )[1]
    assert candidate.box == Box(0, 50, 200, 150)
    assert candidate.tokens == (29, 36, 42, 47)
    assert read_response(response("[0.5, 0.5, 0.6, 0.6]"), 0, frame=frame, image=IMAGE, thinking=True)[1] == ()


def test_a_response_without_spans_has_boxes_without_tokens() -> None:
    (candidate,) = read_response(response("[1, 2, 3, 4]"), 0, frame=FRAME, image=IMAGE)[1]
    assert candidate.tokens is None


def test_frames_by_name() -> None:
    seen = Size(404, 196)
    assert frame_of("pixels", image=IMAGE, seen=seen).size == seen
    assert frame_of("pixels", image=IMAGE).size == IMAGE
    assert frame_of("999", image=IMAGE, seen=seen) == (Size(999, 999), Box(0, 0, 400, 200))
    assert set(FRAME_OF_FAMILY.values()) <= set(FRAMES)


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
