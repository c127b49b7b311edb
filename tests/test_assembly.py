"""From head maps to a region: scale and order of the heads do not matter, an even map is nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glintbox.assembly import Assembly, assemble, coverage
from glintbox.boxes import Box, Size
from glintbox.components import Largest
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid

IMAGE = Size(160, 60)
GRID = TokenGrid(6, 8, Box.whole(IMAGE))  # cells of 20 x 10 px
SHARP = Assembly(sigma=0)
LARGEST: tuple[Largest, ...] = ("hull", "cells", "all")

maps_ = st.integers(0, 999).map(
    lambda seed: torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(seed)) ** (1 + seed % 5)
)


def painted(picture: str) -> Tensor:
    """One map of rows of digits, each a share of 0.01."""
    return torch.tensor([[[0.01 * int(digit) for digit in row] for row in picture.split()]])


@settings(max_examples=25)
@given(maps_, st.sampled_from(LARGEST), st.sampled_from([1e-6, 3.0]), st.permutations(range(3)))
def test_neither_the_scale_nor_the_order_of_the_heads_matters(
    maps: Tensor, largest: Largest, scale: float, order: list[int]
) -> None:
    assembly = Assembly(largest=largest)
    told, other = assemble(maps, GRID, assembly), assemble(scale * maps[order], GRID, assembly)
    assert told is not None and other is not None
    assert torch.equal(told.mask, other.mask) and told.box == other.box
    assert told.score == pytest.approx(other.score, rel=1e-4)


@settings(max_examples=25)
@given(maps_, st.sampled_from(LARGEST))
def test_the_box_is_tight_around_the_region_and_holds_what_is_above_the_mean(maps: Tensor, largest: Largest) -> None:
    told = assemble(maps, GRID, Assembly(largest=largest))
    assert told is not None
    assert torch.allclose(told.combined.sum(), maps.sum(), rtol=1e-5)
    rows, cols = (told.mask.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    assert tuple(told.box) == (20 * cols[0], 10 * rows[0], 20 * (cols[-1] + 1), 10 * (rows[-1] + 1))
    assert 0 < told.score <= 1 + 1e-6
    above = told.combined > told.combined.mean() * (1 + 1e-5)
    assert bool(above[told.mask].any()) and (largest != "all" or bool(told.mask[above].all()))
    assert largest == "hull" or not bool((told.mask & (told.combined < told.combined.mean())).any())


@settings(max_examples=25)
@given(maps_)
def test_a_mirrored_map_has_the_mirrored_box(maps: Tensor) -> None:
    every = Assembly(largest="all")  # of two equally large parts the uppermost is taken, which mirrors do not keep
    told, other = (assemble(some, GRID, every) for some in (maps, maps.flip(2)))
    assert told is not None and other is not None
    assert tuple(other.box) == pytest.approx((160 - told.box.x2, told.box.y1, 160 - told.box.x1, told.box.y2))


def test_by_hand() -> None:
    told = assemble(painted("00000000 05600000 05000000 00000000 00000030 00000000"), GRID, SHARP)
    assert told is not None
    assert tuple(told.box) == (20, 10, 60, 30)
    assert int(told.mask.sum()) == 4, "the hull of an L takes the fourth cell, whose middle is on its edge"
    assert told.score == pytest.approx(16 / 19)
    cells = assemble(painted("00000000 05600000 05000000 00000000 00000030 00000000"), GRID, Assembly(0, 7, "cells"))
    whole = assemble(painted("00000000 05600000 05000000 00000000 00000030 00000000"), GRID, Assembly(0, 7, "all"))
    assert cells is not None and int(cells.mask.sum()) == 3 and cells.box == told.box
    assert whole is not None and int(whole.mask.sum()) == 4 and tuple(whole.box) == (20, 10, 140, 50)


def test_smoothing_joins_what_lies_close() -> None:
    apart = painted("00000000 09090000 00000000 00000000 00000000 00000000")
    sharp, smooth = assemble(apart, GRID, SHARP), assemble(apart, GRID)
    assert sharp is not None and tuple(sharp.box) == (20, 10, 40, 20)
    assert smooth is not None and smooth.box.x1 <= 20 and smooth.box.x2 >= 80


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 576])
def test_an_even_map_is_nothing_and_never_the_whole_picture(level: float, largest: Largest) -> None:
    assert assemble(torch.full((3, 6, 8), level), GRID, Assembly(largest=largest), image=IMAGE) is None


def test_attention_that_is_no_number_is_refused() -> None:
    maps = torch.rand(2, 6, 8)
    maps[1, 3, 3] = math.nan
    with pytest.raises(BadInput, match="attention that is a number in every cell"):
        assemble(maps, GRID)


@pytest.mark.parametrize("shape", [(0, 6, 8), (2, 8, 6)])
def test_maps_of_no_head_or_of_another_grid_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(BadInput, match=r"maps of at least one head on 6 x 8 cells, got \("):
        assemble(torch.rand(shape), GRID)


def test_a_grid_over_a_part_of_the_picture_gives_pixels_of_the_picture() -> None:
    crop = TokenGrid(6, 8, Box(40, 10, 120, 58))  # cells of 10 x 8 px
    told = assemble(painted("00000000 05600000 05000000 00000000 00000000 00000000"), crop, SHARP, image=IMAGE)
    assert told is not None and tuple(told.box) == (50, 18, 70, 34)


def test_the_border_of_a_padded_square_is_never_found_and_the_box_ends_with_the_picture() -> None:
    square = TokenGrid(8, 8, Box(0, -50, 160, 110))  # cells of 20 x 20 px; rows 0, 1, 6, 7 are padding, 2 and 5 half
    sink = painted("99990000 99990000 00004000 00004000 00000000 00000000 00000000 00000000")
    told = assemble(sink, square, SHARP, image=IMAGE)
    assert told is not None and tuple(told.box) == (80, 0, 100, 30)
    assert assemble(painted("99990000 " * 2 + "00000000 " * 6), square, SHARP, image=IMAGE) is None
    outside = assemble(sink, square, SHARP)
    assert outside is not None and outside.box.y1 == -50


@pytest.mark.parametrize(("sigma", "kernel"), [(-1.0, 7), (1.0, 6)])
def test_a_gaussian_that_is_none_is_refused_before_any_model(sigma: float, kernel: int) -> None:
    with pytest.raises(BadInput, match="sigma >= 0 cells and an odd kernel >= 1, got"):
        Assembly(sigma, kernel)


def test_a_box_covers_cells_by_their_share() -> None:
    told = coverage(Box(30, 5, 60, 25), GRID)
    expected = torch.zeros(6, 8, dtype=torch.float64)
    expected[:3, 1:3] = torch.tensor([[0.25, 0.5], [0.5, 1.0], [0.25, 0.5]])
    assert torch.allclose(told, expected)
    assert float(coverage(Box(-30, -30, 300, 300), GRID).sum()) == 48
    assert float(coverage(Box(200, 70, 300, 90), GRID).sum()) == 0
