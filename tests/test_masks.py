"""Masks: what goes in comes out, in COCO's own bytes and pixels; cells lie where their grid says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.masks import (
    area,
    decode,
    encode,
    from_polygons,
    from_string,
    in_pixels,
    mask_iou,
    overlap,
    tight_box,
    to_string,
)
from glintbox.records import Rle

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20))
WIDE = Size(9, 5)

few = settings(max_examples=40)


def drawn(rows: str) -> np.ndarray:
    """A mask written in lines of . and #."""
    return np.array([[character == "#" for character in line] for line in rows.split()])


def coco_polygons(size: Size, polygons: list[list[float]]) -> np.ndarray:
    found = coco.merge(coco.frPyObjects(polygons, size.height, size.width))
    return np.asarray(coco.decode(found), dtype=bool)


@few
@given(MASKS)
def test_what_is_encoded_comes_back(mask: np.ndarray) -> None:
    rle = encode(mask)
    assert np.array_equal(decode(rle), mask)
    assert rle.size == Size(mask.shape[1], mask.shape[0])
    assert area(rle) == mask.sum()


@few
@given(MASKS)
def test_strings_are_those_of_coco_in_and_out(mask: np.ndarray) -> None:
    theirs = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert to_string(encode(mask)).encode() == theirs["counts"]
    assert from_string(Size(mask.shape[1], mask.shape[0]), theirs["counts"].decode()) == encode(mask)


def test_long_runs_and_large_falls_pass_the_string() -> None:
    rle = Rle(Size(1000, 1001), (3, 5, 70_000, 2, 1, 900_000, 15, 30_974))
    theirs = coco.frPyObjects({"size": [1001, 1000], "counts": list(rle.counts)}, 1001, 1000)
    assert to_string(rle).encode() == theirs["counts"]
    assert from_string(rle.size, to_string(rle)) == rle


def test_run_lengths_go_down_the_columns_and_begin_with_background() -> None:
    assert encode(drawn("..# #.# #..")).counts == (1, 2, 3, 2, 1)
    assert encode(drawn("#. ..")).counts == (0, 1, 3)
    assert encode(drawn("... ...")) == Rle(Size(3, 2), (6,))


def test_strings_that_are_none_are_refused() -> None:
    with pytest.raises(BadInput, match=r"got a string with ' '"):
        from_string(WIDE, "5 6")
    with pytest.raises(BadInput, match="got a string that breaks off: 'Q'"):
        from_string(WIDE, "Q")
    with pytest.raises(BadInput, match="expected run lengths >= 0 that fill 9x5 px"):
        from_string(WIDE, "5")


@st.composite
def pictures_and_polygons(draw: st.DrawFn) -> tuple[Size, list[list[float]]]:
    size = Size(draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    number = st.floats(-5, 40, allow_nan=False).map(lambda value: round(value, 2))
    corners = st.lists(st.tuples(number, number), min_size=3, max_size=8)
    polygon = corners.map(lambda points: [value for point in points for value in point])
    # a "polygon" of four numbers would be taken for a box
    return size, draw(st.lists(polygon, min_size=1, max_size=3))


@few
@given(pictures_and_polygons())
def test_polygons_are_filled_as_coco_fills_them(case: tuple[Size, list[list[float]]]) -> None:
    size, polygons = case
    assert np.array_equal(decode(from_polygons(size, polygons)), coco_polygons(size, polygons))


def test_a_polygon_that_crosses_itself_leaves_a_hole_and_two_polygons_are_united() -> None:
    inner_twice = [0, 0, 9, 0, 9, 5, 0, 5, 0, 0, 3, 1, 6, 1, 6, 4, 3, 4, 3, 1]
    assert np.array_equal(
        decode(from_polygons(WIDE, [inner_twice])), drawn("######### ###...### ###...### ###...### #########")
    )
    both = from_polygons(WIDE, [[0, 0, 9, 0, 9, 5, 0, 5], [3, 1, 6, 1, 6, 4, 3, 4]])
    assert area(both) == 45


@pytest.mark.parametrize("polygon", [[0, 0, 5, 5], [0, 0, 5, 5, 3], [0, 0, 5, float("nan"), 3, 3]])
def test_polygons_that_are_none_are_refused(polygon: list[float]) -> None:
    with pytest.raises(BadInput, match=r"expected a polygon x1 y1 x2 y2 x3 y3"):
        from_polygons(WIDE, [polygon])


@few
@given(st.data())
def test_overlaps_are_those_of_coco(data: st.DataObject) -> None:
    one = data.draw(MASKS)
    other = data.draw(arrays(bool, one.shape))
    theirs = [coco.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in (one, other)]
    shared, union = overlap(encode(one), encode(other))
    assert (shared, union) == ((one & other).sum(), (one | other).sum())
    if union:
        assert mask_iou(encode(one), encode(other)) == pytest.approx(float(coco.iou(*[[t] for t in theirs], [0])[0, 0]))


@few
@given(st.data())
def test_ignored_pixels_are_as_if_neither_mask_had_them(data: st.DataObject) -> None:
    one = data.draw(MASKS)
    other, ignore = (data.draw(arrays(bool, one.shape)) for _ in "ab")
    found = overlap(encode(one), encode(other), ignore=encode(ignore))
    assert found == overlap(encode(one & ~ignore), encode(other & ~ignore))


def test_two_empty_masks_agree_and_masks_of_two_pictures_are_refused() -> None:
    empty = encode(np.zeros((5, 9), dtype=bool))
    assert mask_iou(empty, empty) == 1
    with pytest.raises(BadInput, match=r"expected two masks of one picture, got \(9, 5\) and \(5, 9\) px"):
        overlap(empty, encode(np.zeros((9, 5), dtype=bool)))
    with pytest.raises(BadInput, match=r"expected two masks of one picture, got \(9, 5\) and \(5, 9\) px"):
        overlap(empty, empty, ignore=encode(np.zeros((9, 5), dtype=bool)))


def test_the_tight_box_of_a_mask() -> None:
    assert tight_box(encode(drawn("...... ..##.. ....#. ......"))) == Box(2, 1, 5, 3)
    assert tight_box(encode(np.zeros((3, 4), dtype=bool))) is None


def test_a_cell_becomes_the_pixels_that_its_grid_gives_it() -> None:
    grid = TokenGrid(2, 3, Box(0, 0, 12, 6))
    cells = torch.zeros(2, 3, dtype=torch.bool)
    cells[1, 2] = True
    assert tight_box(in_pixels(cells, grid, Size(12, 6))) == Box(8, 3, 12, 6)


@st.composite
def grids_and_cells(draw: st.DrawFn) -> tuple[Size, TokenGrid, torch.Tensor]:
    size = Size(draw(st.integers(1, 30)), draw(st.integers(1, 30)))
    rows, cols = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    # borders of cells in odd eighths of a pixel: never through a pixel's middle
    left, top = (draw(st.integers(-80, 80)) / 4 + 0.125 for _ in "xy")
    wide, high = (draw(st.integers(1, 40)) / 4 for _ in "xy")
    region = Box(left, top, left + wide * cols, top + high * rows)
    flat = draw(st.lists(st.booleans(), min_size=rows * cols, max_size=rows * cols))
    return size, TokenGrid(rows, cols, region), torch.tensor(flat).reshape(rows, cols)


def by_middles(cells: torch.Tensor, grid: TokenGrid, image: Size) -> np.ndarray:
    """Pixel for pixel: whether a cell that is on holds its middle."""
    found = np.zeros((image.height, image.width), dtype=bool)
    boxes = [grid.cell(row, col) for row, col in cells.nonzero().tolist()]
    for y in range(image.height):
        for x in range(image.width):
            found[y, x] = any(b.x1 <= x + 0.5 < b.x2 and b.y1 <= y + 0.5 < b.y2 for b in boxes)
    return found


@few
@given(grids_and_cells())
def test_a_pixel_belongs_to_the_cell_that_holds_its_middle_wherever_the_grid_lies(
    case: tuple[Size, TokenGrid, torch.Tensor],
) -> None:
    image, grid, cells = case
    assert np.array_equal(decode(in_pixels(cells, grid, image)), by_middles(cells, grid, image))


def test_padding_that_leaves_the_picture_is_dropped_and_what_a_crop_leaves_out_is_background() -> None:
    on = torch.ones(4, 4, dtype=torch.bool)
    padded = in_pixels(on, TokenGrid(4, 4, Box(0, -4, 16, 12)), Size(16, 8))
    assert area(padded) == 16 * 8
    cropped = in_pixels(on, TokenGrid(4, 4, Box(4, 0, 12, 8)), Size(16, 8))
    assert tight_box(cropped) == Box(4, 0, 12, 8)


def test_bilinear_rounds_corners_keeps_straight_sides_and_leaves_nothing_outside() -> None:
    cells = torch.zeros(3, 4, dtype=torch.bool)
    cells[1, 1:3] = True
    grid = TokenGrid(3, 4, Box(0, 0, 40, 30))
    hard, soft = (decode(in_pixels(cells, grid, Size(44, 30), method=method)) for method in ("cells", "bilinear"))
    assert hard[10:20, 10:30].all() and hard.sum() == 200
    assert soft[11:19, 15:25].all() and not soft[10, 10] and soft.sum() < hard.sum()
    full = decode(in_pixels(torch.ones(3, 4, dtype=torch.bool), grid, Size(44, 30), method="bilinear"))
    assert full[:, :40].all() and not full[:, 40:].any()


def test_cells_of_another_grid_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected a mask of 2 x 3 cells, got \(3, 2\)"):
        in_pixels(torch.ones(3, 2, dtype=torch.bool), TokenGrid(2, 3, Box(0, 0, 1, 1)), WIDE)
