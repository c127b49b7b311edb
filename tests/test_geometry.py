"""Geometry: what is written and what is meant are inverse, in every frame; width and height never swap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid

IMAGE = Size(640, 480)
FRAMES = [
    CoordFrame(Size(644, 476), Box.whole(IMAGE)),
    CoordFrame(Size(1000, 1000), Box.whole(IMAGE)),
    CoordFrame(Size(999, 999), Box.whole(IMAGE)),
    CoordFrame(Size(1, 1), Box(0, -80, 640, 560)),  # a square padded above and below
]


@pytest.mark.parametrize("frame", FRAMES)
@given(st.integers(0, 600), st.integers(0, 440), st.integers(1, 40), st.integers(1, 40))
def test_a_box_written_and_read_is_the_box(frame: CoordFrame, x: int, y: int, w: int, h: int) -> None:
    box = Box(x, y, x + w, y + h)
    read = frame.box(frame.written(box), IMAGE)
    assert read is not None
    assert list(read) == pytest.approx(list(box), abs=1e-6)


def test_the_resized_frame_of_qwen2_5_moves_a_border_box_by_four_pixels() -> None:
    box = FRAMES[0].box((600, 440, 644, 476), IMAGE)
    assert box is not None
    assert list(box) == pytest.approx([596.27, 443.70, 640, 480], abs=0.01)


def test_a_little_outside_is_clipped_and_a_lot_is_no_box() -> None:
    frame = CoordFrame(Size(364, 448), Box.whole(Size(368, 434)))
    clipped = frame.box((19, 300, 154, 476), Size(368, 434))
    assert clipped is not None
    assert clipped.y2 == 434
    assert frame.box((19, 300, 154, 494), Size(368, 434)) is None
    assert frame.box((154, 300, 19, 400), Size(368, 434)) is None, "corners are never reordered"


def test_cells_are_row_major_and_tile_the_region() -> None:
    grid = TokenGrid(2, 4, Box(0, 0, 80, 30))
    assert grid.cells == 8
    assert grid.cell(1, 3) == Box(60, 15, 80, 30)
    assert grid.cell(0, 1) == Box(20, 0, 40, 15)
