"""Where image tokens lie in the picture (TokenGrid, View) and in which units a model writes boxes (CoordFrame)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from glintbox.boxes import Box, Size, clip

TOLERANCE = 0.1
"""A coordinate may leave its frame by this share of it and is clipped; beyond that it makes no box (docs/acs.md 23)."""


class TokenGrid(NamedTuple):
    """A row-major grid of image tokens over `region` of the original picture (px)."""

    rows: int
    cols: int
    region: Box

    @property
    def cells(self) -> int:
        """Number of image tokens in the grid."""
        return self.rows * self.cols

    def cell(self, row: int, col: int) -> Box:
        """Pixels of one cell; a padded picture's outer cells leave the image."""
        wide, high = self.region.width / self.cols, self.region.height / self.rows
        left, top = self.region.x1 + col * wide, self.region.y1 + row * high
        return Box(left, top, left + wide, top + high)


class CoordFrame(NamedTuple):
    """The model writes x in 0..size.width and y in 0..size.height over `region` of the picture (px)."""

    size: Size
    region: Box

    def box(self, written: Sequence[float], image: Size) -> Box | None:
        """The box in image pixels for four written numbers x1 y1 x2 y2, or None where they make no valid box.

        Corners are never reordered; what leaves the frame by at most `TOLERANCE` is clipped (docs/acs.md 23).
        """
        x1, y1, x2, y2 = written
        if not (x1 < x2 and y1 < y2):
            return None
        wide, high = self.size
        inside_x = all(-TOLERANCE * wide <= x <= (1 + TOLERANCE) * wide for x in (x1, x2))
        inside_y = all(-TOLERANCE * high <= y <= (1 + TOLERANCE) * high for y in (y1, y2))
        if not (inside_x and inside_y):
            return None
        step_x, step_y = self.region.width / wide, self.region.height / high
        left, top = self.region.x1, self.region.y1
        box = Box(left + x1 * step_x, top + y1 * step_y, left + x2 * step_x, top + y2 * step_y)
        return clip(box, Box.whole(image))

    def written(self, box: Box) -> tuple[float, float, float, float]:
        """What the model would write for a box in image pixels; inverse of `box` inside the image."""
        step_x, step_y = self.region.width / self.size.width, self.region.height / self.size.height
        left, top = self.region.x1, self.region.y1
        return (
            (box.x1 - left) / step_x,
            (box.y1 - top) / step_y,
            (box.x2 - left) / step_x,
            (box.y2 - top) / step_y,
        )


class View(NamedTuple):
    """One way to see the picture through image tokens.

    columns: prompt positions of the grid's cells, row-major; stitched tiles are a permutation over a larger grid.
    """

    columns: Int[Tensor, " cell"]
    grid: TokenGrid
