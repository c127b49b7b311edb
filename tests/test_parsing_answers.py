"""Parsing real answers: recorded ones read by hand, the token of each coordinate, and what a set's answer gives."""

import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.boxes import Box, Size
from glintbox.parsing import FRAME_OF_FAMILY, FRAMES, frame_of, read_response, scan, tokens_of
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
