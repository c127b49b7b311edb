"""Boxes: laws of overlap, then hand-computed numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box, Size, clip, clusters, iou, nms, pairwise_iou
from glintbox.errors import BadInput

EDGE = st.integers(0, 40)


@st.composite
def some_box(draw: st.DrawFn) -> Box:
    x, y = draw(EDGE), draw(EDGE)
    return Box(x, y, x + draw(st.integers(1, 30)), y + draw(st.integers(1, 20)))


@given(some_box(), some_box())
def test_iou_is_symmetric_and_a_share(a: Box, b: Box) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, a) == 1


@given(some_box())
def test_a_box_clipped_to_itself_is_itself(a: Box) -> None:
    assert clip(a, a) == a


def test_iou_of_boxes_that_share_a_third() -> None:
    assert iou(Box(0, 0, 4, 2), Box(2, 0, 6, 2)) == pytest.approx(1 / 3)


@given(st.lists(some_box(), max_size=4), st.lists(some_box(), max_size=3))
def test_pairwise_is_one_by_one_to_the_last_digit(boxes: list[Box], others: list[Box]) -> None:
    found = pairwise_iou(boxes, others)
    assert found.shape == (len(boxes), len(others))
    assert found.tolist() == [[iou(a, b) for b in others] for a in boxes]


@given(st.lists(some_box(), max_size=8), st.floats(0.05, 1.0))
def test_clusters_part_the_boxes_and_hold_every_overlap(boxes: list[Box], threshold: float) -> None:
    found = clusters(boxes, threshold)
    assert sorted(k for group in found for k in group) == list(range(len(boxes)))
    home = {k: group for group in found for k in group}
    for i, a in enumerate(boxes):
        assert all(home[i] == home[j] for j, b in enumerate(boxes) if iou(a, b) >= threshold)
        assert len(home[i]) == 1 or any(iou(a, boxes[j]) >= threshold for j in home[i] if j != i)


@pytest.mark.parametrize(
    "corners", [(0, 0, 0, 1), (0, 1, 1, 1), (2, 0, 1, 1), (math.nan, 0, 1, 1), (0, 0, math.inf, 1)]
)
def test_what_is_no_box_is_refused(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadInput, match="expected"):
        Box(*corners)


def test_nothing_is_left_of_a_box_outside() -> None:
    assert clip(Box(50, 0, 60, 5), Box.whole(Size(40, 30))) is None


def test_clusters_are_connected_components_even_through_a_third_box() -> None:
    chain = [Box(0, 0, 10, 4), Box(100, 0, 110, 4), Box(3, 0, 13, 4), Box(6, 0, 16, 4)]
    assert iou(chain[0], chain[3]) < 0.5
    assert clusters(chain, 0.5) == ((0, 2, 3), (1,))


def test_nms_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = [Box(0, 0, 10, 4), Box(1, 0, 11, 4), Box(50, 0, 60, 4)]
    assert nms(boxes, [0.2, 0.9, 0.1], 0.5) == (1, 2)
    with pytest.raises(BadInput, match="one score per box"):
        nms(boxes, [1.0], 0.5)
