"""Answer text → boxes with labels, character spans and coordinate tokens. Knows no tokenizer and no model.

The raw text is scanned from left to right. JSON is never the way in: a JSON reader loses character positions, fails on
trailing commas and prose, and repairs a cut number into a box that nobody wrote. It only unescapes label strings.

A box is four numbers, no more and no fewer, and its closing delimiter, written as one of
    [x1, y1, x2, y2]   alone, under any key, nested: [[…], […]], <box>[[…]]</box>, <|det|>[[…]]; round brackets too
    (x1,y1),(x2,y2)    alone, after a label, or between <|box_start|> and <|box_end|>
    "x1 y1 x2 y2"      with or without commas, only as the value of a name such as bbox, bbox_2d, data-bbox
Points, polygons, placeholders, `{"x1": …}` objects and bare numbers in prose make no box.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame
from glintbox.records import Candidate, Reading, Response

FRAMES: dict[str, Size | None] = {"pixels": None, "1000": Size(1000, 1000), "999": Size(999, 999), "1": Size(1, 1)}
"""Units of written boxes by name; "pixels" are those of the picture as the model saw it, whose size must be told."""

FRAME_OF_FAMILY: dict[str, str] = {
    "qwen2_vl": "1000",
    "qwen2_5_vl": "pixels",
    "qwen3_vl": "1000",
    "internvl": "1000",
    "llava": "1",
    "llava_next": "1",
    "llava_onevision": "1",
    "glm4v": "1000",
}
"""What each model type was trained to write; the units are never guessed from the numbers (docs/acs.md 22)."""

Policy = Literal["first_digit", "first_significant_digit"]
"""Which character of a number names its token: in 0.12 the first digit is always 0 and says nothing of the value."""

LABEL_KEYS = frozenset({"label", "text_content", "text", "name", "class", "category", "object", "description"})
"""Keys (lower case) whose string, in the same object as a box, is that box's label; the first in the text counts."""

# Quantifiers are possessive, and what is read behind an opening bracket holds no other: no character is read more than
# a few times, so scanning is linear even where digits or brackets loop. Ten digits before the point: no coordinate.
_NUMBER = r"[-+]?+(?:[0-9]{1,9}+(?:\.[0-9]*+)?+|\.[0-9]++)"
_COMMA = r"\s*+[,，]\s*+"
_LIST = rf"\s*+{_NUMBER}(?:(?:{_COMMA}|\s++){_NUMBER})*+(?:\s*+,)?+\s*+"
_POINT = rf"\(\s*+{_NUMBER}{_COMMA}{_NUMBER}\s*+\)"
_STRING = r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'"""

_NUMBERS = re.compile(_NUMBER)
_GROUP = re.compile(
    rf"{_POINT}(?:{_COMMA}{_POINT})++"  # two corners; a longer chain is a polygon
    rf"|[\[(]{_LIST}(?:[\])]|(?=<[/|]))"  # a tag ends a number as well as a bracket does
    rf"|box\w{{0,12}}+[\"']?\s*+[:=]\s*+(?P<quoted>\"{_LIST}\"|'{_LIST}')"
)
_BESIDE = re.compile(r"(?:[\s,，;\[\]]|<[|/]*+(?:box|det)(?:_start|_end)?+\|?+>)*+")  # between boxes of one list
_PAIR = re.compile(rf"[\])\s,]*+({_STRING})\s*+:\s*+({_STRING}|[^\"'{{}}\[\],]*+)", re.DOTALL)
_REF = re.compile(r"<\|?+(?:object_)?+ref(?:_start)?+\|?+>([^<]*+)<[|/]++(?:object_)?+ref(?:_end)?+\|?+>")
_LABEL_STOP = re.compile(r"[\n:：.。;,，!?\[\](){}<>|\"'`\0]")
_THINK = re.compile(r"</?+think>")

_NONE = re.compile(
    r"\[\s*+\]"  # an empty list, bare, fenced or under a key
    r"|\b(?:none|null)\b"
    r"|\bthere(?: is| are|['’]s) no\b"
    r"|\bnot (?:visible|present|found|in the (?:image|picture|scene))\b"
    r"|\bno [^.\n]{1,80}? (?:visible|present|found|detected)\b"
    r"|\b(?:cannot|can['’]t|could not|couldn['’]t|unable to|do(?:es)?(?: not|n['’]t))"
    r" (?:see|find|locate|detect|show|contain|appear)\b",
    re.IGNORECASE,
)


class Written(NamedTuple):
    """One box as it stands in the text.

    numbers: x1 y1 x2 y2 as written, neither reordered nor checked. starts: index of each number's first character, a
    digit, sign or point. span: characters [a, b) from the box's own opening delimiter to its closing one.
    """

    numbers: tuple[float, float, float, float]
    starts: tuple[int, int, int, int]
    span: tuple[int, int]
    label: str | None


class Parsed(NamedTuple):
    """What an answer is, and its boxes in text order."""

    reading: Reading
    boxes: tuple[Written, ...]


class _Found(NamedTuple):
    """A box before it has a label.

    corners: written as two points. before: the text since the box before. after: the label its object gives behind it.
    """

    box: Written
    corners: bool
    before: str
    after: str | None


def scan(text: str, *, thinking: bool = False) -> Parsed:
    """Every box of an answer, and whether it holds boxes, says that there are none, or cannot be read.

    text: generated text only, for a prompt may hold example boxes. thinking: the answer is what follows the last
    `</think>`; without that mark it was cut in thought and is unreadable. `<think>` blocks never give boxes.
    Ranges and order of corners are not judged here but by `CoordFrame.box` (docs/acs.md 23). Raises nothing.
    """
    answer = _without_thoughts(text, thinking=thinking)
    boxes = tuple(_labelled(tuple(_found(answer))))
    if boxes:
        return Parsed("boxes", boxes)
    return Parsed("none" if _NONE.search(answer) else "unreadable", ())


def _without_thoughts(text: str, *, thinking: bool) -> str:
    """The text with each thought overwritten by NUL characters, so that every index stays true."""
    kept: list[tuple[int, int]] = []
    start, inside = 0, thinking
    for mark in _THINK.finditer(text):
        if mark[0] == "<think>":
            if not inside:
                kept.append((start, mark.start()))
            inside = True
        else:
            if thinking or not inside:  # the prompt opened this thought: all before it is thought
                kept.clear()
            start, inside = mark.end(), False
    if not inside:
        kept.append((start, len(text)))
    pieces, end = [], 0
    for a, b in kept:
        pieces += ["\0" * (a - end), text[a:b]]
        end = b
    return "".join(pieces)


def _found(answer: str) -> Iterator[_Found]:
    """Boxes in text order, each with the text since the one before it."""
    position = since = 0
    while (group := _GROUP.search(answer, position)) is not None:
        position = group.end()
        a, b = group.span("quoted") if group["quoted"] else group.span()
        numbers = tuple(_NUMBERS.finditer(answer, a, b))
        if len(numbers) != 4:
            continue
        x1, y1, x2, y2 = numbers
        written = float(x1[0]), float(y1[0]), float(x2[0]), float(y2[0])
        box = Written(written, (x1.start(), y1.start(), x2.start(), y2.start()), (a, b), None)
        before = answer[since:a]
        after, position = _label_of_pairs(answer, position)  # moves behind the strings: a label is never a box
        since = position
        yield _Found(box, answer[a:b].count("(") == 2, before, after)


def _labelled(found: Sequence[_Found]) -> Iterator[Written]:
    """Boxes with labels; boxes that stand beside each other in one list share the label before or after the list."""
    first = 0
    for last, item in enumerate(found):
        if item.after is None and last + 1 < len(found) and _BESIDE.fullmatch(found[last + 1].before):
            continue
        head = found[first]
        label = _label_in_object(head.before) or item.after or _native_label(head)
        for member in found[first : last + 1]:
            yield member.box._replace(label=label)
        first = last + 1


def _label_of_pairs(text: str, start: int) -> tuple[str | None, int]:
    """The first label among the `"key": value` pairs from `start` on, and where the pairs end."""
    label = None
    while (pair := _PAIR.match(text, start)) is not None:
        start = pair.end()
        if label is None and _unquoted(pair[1]).lower() in LABEL_KEYS and pair[2][:1] in ("'", '"'):
            label = _unquoted(pair[2]) or None
    return label, start


def _label_in_object(before: str) -> str | None:
    """The label that an object gives before its box, where `before` ends inside that object."""
    brace = before.rfind("{")
    label, end = _label_of_pairs(before, brace + 1)
    inside = brace >= 0 and before[end:].strip("[, \t\r\n") == ""
    return label if inside else None


def _native_label(item: _Found) -> str | None:
    """The label in the last reference tag before a box, or glued to a native box whose tags were stripped."""
    tags = _REF.findall(item.before)
    if tags:
        return tags[-1].strip() or None
    words = item.before.removesuffix("[")
    if (item.corners or words != item.before) and words[-1:].isalnum():
        return _LABEL_STOP.split(words)[-1].strip()
    return None


def _unquoted(literal: str) -> str:
    """What a quoted string says; left as it is written where its escapes mean nothing."""
    inside = literal[1:-1]
    if "\\" not in inside:
        return inside
    if literal[0] == "'":
        return re.sub(r"\\(['\"\\])", r"\1", inside)
    try:
        said = json.loads(literal, strict=False)
        said.encode()  # half a surrogate pair is no character and could not be stored
    except ValueError:
        return inside
    return str(said)


def tokens_of(
    written: Written, text: str, spans: Sequence[tuple[int, int]], *, policy: Policy = "first_digit"
) -> tuple[int, int, int, int] | None:
    """Index of each coordinate's token: the one whose span covers the number's first character (docs/acs.md 2).

    spans: characters [a, b) of `text` per token, in text order, as in `Response.spans`; tokens without characters are
    never chosen. policy "first_significant_digit": the first digit that is not a leading zero, or the first where all
    are zeros. None where a coordinate is covered by no token.
    """
    indices = []
    for start in written.starts:
        character = _significant(text, start, written.span[1]) if policy == "first_significant_digit" else start
        token = bisect_right(spans, character, key=lambda span: span[1])  # the first that ends behind the character
        if token == len(spans) or spans[token][0] > character:
            return None
        indices.append(token)
    x1, y1, x2, y2 = indices
    return x1, y1, x2, y2


def frame_of(units: str, *, image: Size, seen: Size | None = None) -> CoordFrame:
    """The frame of answers in `units`, a name of `FRAMES`, over the whole picture.

    seen: the picture's size as the model saw it, used by "pixels" alone; None where the model saw the original.
    """
    return CoordFrame(FRAMES[units] or seen or image, Box.whole(image))


def _significant(text: str, start: int, end: int) -> int:
    """Index of a number's first digit that is not a leading zero; its first character where there is none."""
    number = text[start:end]
    digits = number.lstrip("+-0.")
    return start + len(number) - len(digits) if "1" <= digits[:1] <= "9" else start


def read_response(
    response: Response,
    index: int,
    *,
    frame: CoordFrame,
    image: Size,
    thinking: bool = False,
    policy: Policy = "first_digit",
) -> tuple[Reading, tuple[Candidate, ...]]:
    """The reading and the candidates (boxes in image pixels, text order) of answer number `index` of its set.

    Boxes that `frame` refuses are dropped; an answer that wrote boxes of which none is valid is unreadable.
    """
    parsed = scan(response.text, thinking=thinking)
    candidates = tuple(
        Candidate(
            box=box,
            written=written.numbers,
            label=written.label,
            response=index,
            span=written.span,
            tokens=tokens_of(written, response.text, response.spans, policy=policy),
        )
        for written in parsed.boxes
        if (box := frame.box(written.numbers, image)) is not None
    )
    return ("unreadable" if parsed.boxes and not candidates else parsed.reading), candidates
