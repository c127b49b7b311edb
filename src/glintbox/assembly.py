"""From the maps of a few heads to one region: smoothed, summed, cut at the mean, the largest part, its box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from glintbox.boxes import Box, Size, clip
from glintbox.components import Largest, foreground, hull_cells, largest
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.maps import check_gaussian, smooth


@dataclass(frozen=True, slots=True)
class Assembly:
    """How head maps become a region (localization-heads paper, section 3.3).

    sigma (cells), kernel (taps): of the Gaussian over each map. largest: which part of the foreground is the region:
    the one of the largest convex hull, filled up to that hull (the paper); the one of most cells as it is; or all of
    them (the public code, which has 9 taps).
    """

    sigma: float = 1.0
    kernel: int = 7
    largest: Largest = "hull"

    def __post_init__(self) -> None:
        check_gaussian(self.sigma, self.kernel)


class Localized(NamedTuple):
    """Where some heads look.

    combined: sum of the smoothed maps, attention shares. mask: the region's cells. box: tight around the region, px.
    score: share of the combined attention that falls into the region, in [0, 1].
    """

    combined: Float[Tensor, "row col"]
    mask: Bool[Tensor, "row col"]
    box: Box
    score: float


def assemble(
    maps: Float[Tensor, "head row col"],
    grid: TokenGrid,
    assembly: Assembly = Assembly(),  # frozen
    *,
    image: Size | None = None,
) -> Localized | None:
    """Smooth each map, add them up, keep what is above the mean, take its largest part.

    None where nothing is above the mean, as in an even map. image: the picture's size; cells wholly outside it (the
    border of a padded square) are never foreground, and the box ends where it ends.

    Raises:
        BadInput: no maps, maps of another grid, or attention that is no number.
    """
    if not len(maps) or maps.shape[-2:] != (grid.rows, grid.cols):
        raise BadInput(
            f"expected maps of at least one head on {grid.rows} x {grid.cols} cells, got {tuple(maps.shape)}; "
            "take the grid of the view that was read"
        )
    combined = smooth(maps, sigma=assembly.sigma, kernel=assembly.kernel).sum(0)
    cells = foreground(combined)
    if image is not None:
        cells &= _inside(grid, image).to(cells.device)
    region = largest(cells, assembly.largest)
    if assembly.largest == "hull":
        region = hull_cells(region)
    box = _box(region, grid)
    box = clip(box, Box.whole(image)) if box and image else box
    if box is None:
        return None
    return Localized(combined, region, box, float(combined[region].sum() / combined.sum()))


def coverage(box: Box, grid: TokenGrid) -> Float[Tensor, "row col"]:
    """The share of each cell that a box covers."""
    left, right = ((x - grid.region.x1) / grid.region.width * grid.cols for x in (box.x1, box.x2))
    top, bottom = ((y - grid.region.y1) / grid.region.height * grid.rows for y in (box.y1, box.y2))
    return _covered(top, bottom, grid.rows)[:, None] * _covered(left, right, grid.cols)


def _covered(start: float, end: float, cells: int) -> Float[Tensor, " {cells}"]:
    """How much of each cell along one axis lies between two places, in cells."""
    at = torch.arange(cells, dtype=torch.float64)
    return ((at + 1).clamp(max=end) - at.clamp(min=start)).clamp(min=0)


def _inside(grid: TokenGrid, image: Size) -> Bool[Tensor, "row col"]:
    """Cells that the picture reaches into."""
    return coverage(Box.whole(image), grid) > 0


def _box(region: Bool[Tensor, "row col"], grid: TokenGrid) -> Box | None:
    """The tight rectangle of some cells, px; it may leave the picture where the grid does."""
    rows, cols = (region.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    if not rows:
        return None
    first, last = grid.cell(rows[0], cols[0]), grid.cell(rows[-1], cols[-1])
    return Box(first.x1, first.y1, last.x2, last.y2)
