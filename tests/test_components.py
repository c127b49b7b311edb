"""What stands out of a map: its parts, their hulls, the largest of them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glintbox.components import Largest, foreground, hull_area, hull_cells, label, largest
from glintbox.errors import BadInput

cells_ = st.integers(0, 999).map(
    lambda seed: torch.rand(5, 8, generator=torch.Generator().manual_seed(seed)) > 0.4 + 0.5 * (seed % 2)
)


def painted(picture: str) -> Tensor:
    """Cells that are set, from rows of `#` and `.`."""
    return torch.tensor([[character == "#" for character in row] for row in picture.split()])


@settings(max_examples=30)
@given(cells_)
def test_parts_are_numbered_from_one_and_cover_what_is_set(cells: Tensor) -> None:
    parts = label(cells)
    assert torch.equal(parts > 0, cells)
    assert sorted(set(parts.flatten().tolist()) - {0}) == list(range(1, int(parts.max()) + 1))


def test_parts_join_at_corners_and_never_across_masks() -> None:
    masks = torch.stack([painted("#.. .#. ..."), painted("#.. ... ..#")])
    assert label(masks).tolist() == [[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[2, 0, 0], [0, 0, 0], [0, 0, 3]]]


def test_what_is_above_the_mean_by_hand() -> None:
    maps = torch.tensor([[0.0, 0.2, 0.4], [0.1, 0.2, 0.3]])  # mean 0.2, which is not above itself
    assert foreground(maps).tolist() == [[False, False, True], [False, False, True]]
    assert foreground(maps, factor=1.6).tolist() == [[False, False, True], [False, False, False]]
    assert foreground(maps, floor=0.15).tolist() == [[False, False, True], [False, False, False]]
    assert not foreground(torch.full((24, 23), 0.1)).any() and not foreground(torch.zeros(2, 3)).any()


def test_a_map_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadInput, match="a number in every cell"):
        foreground(torch.tensor([[0.1, math.nan, 0.2]]))


@settings(max_examples=30)
@given(cells_)
def test_a_hull_holds_its_cells_and_has_at_least_their_area(cells: Tensor) -> None:
    area, count = hull_area(cells), int(cells.sum())
    within = hull_cells(cells)
    assert bool((within | ~cells).all()) and area >= count - 1e-9
    assert torch.equal(hull_cells(within), within) or hull_area(within) >= area - 1e-9
    assert hull_area(cells.flip(0)) == pytest.approx(area) == hull_area(cells.T)


def test_hulls_by_hand() -> None:
    assert hull_area(painted("... .#. ...")) == 1
    assert hull_area(painted("... ### ...")) == 3
    assert hull_area(painted("#... .#.. ..#.")) == pytest.approx(5)  # three squares and four triangles of 1/2
    corner = painted("#... #... ####")
    assert hull_area(corner) == pytest.approx(12 - 3)  # cut off: a right triangle of sides 3 and 2
    assert hull_cells(corner).tolist() == painted("##.. ###. ####").tolist()
    assert hull_area(painted("... ...")) == 0 and not hull_cells(painted("... ...")).any()


@settings(max_examples=30)
@given(cells_, st.sampled_from(["hull", "cells"]))
def test_the_largest_is_one_part_and_none_is_larger(cells: Tensor, by: Largest) -> None:
    chosen, parts = largest(cells, by), label(cells)
    numbers = set(parts[chosen].tolist())
    assert len(numbers) == int(cells.any()) and int(chosen.sum()) == int((parts == max(numbers, default=-1)).sum())
    size = hull_area if by == "hull" else lambda part: int(part.sum())
    others = [size(parts == number) for number in range(1, int(parts.max()) + 1)]
    assert size(chosen) == pytest.approx(max(others, default=0))


def test_the_largest_hull_need_not_have_most_cells() -> None:
    cells = painted("###.#... ###..#.. ......#. .......#")  # a block of 6, and 4 on a diagonal whose hull is 7
    block, diagonal = cells.clone(), cells.clone()
    block[:, 3:], diagonal[:, :3] = False, False
    assert torch.equal(largest(cells, "cells"), block)
    assert torch.equal(largest(cells, "hull"), diagonal)
    assert torch.equal(largest(cells, "all"), cells)


def test_of_equal_parts_the_uppermost_is_chosen() -> None:
    two = painted("....## ...... ##....")
    assert largest(two).tolist() == painted("....## ...... ......").tolist()
    assert np.array_equal(largest(two, "cells").numpy(), largest(two).numpy())
