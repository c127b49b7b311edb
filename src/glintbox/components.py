"""What stands out of attention maps: the foreground, its connected parts and the largest of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import ConvexHull
from torch import Tensor

from glintbox.errors import BadInput

ROUNDING = 1e-6
"""Nothing stands out by less than this share of a map's mean: an even map has no foreground, whatever its rounding."""

Largest = Literal["hull", "cells", "all"]
"""Which part counts: that of the largest convex hull (the paper), of most cells, or all of them (the public code)."""


def foreground(
    maps: Float[Tensor, "*map row col"], *, factor: float = 1.0, floor: float = 0.0
) -> Bool[Tensor, "*map row col"]:
    """Cells where map - factor * mean > floor (attention shares); the paper of localization heads: 1 and 0.

    Raises:
        BadInput: NaN or infinity in a map.
    """
    exact = _exact(maps)
    mean = exact.mean((-2, -1), keepdim=True)
    return exact - factor * mean > torch.clamp(ROUNDING * mean, min=floor)


def label(masks: Bool[Tensor, "*map row col"]) -> Int[Tensor, "*map row col"]:
    """The 8-connected parts of each mask, numbered from 1 on through all masks; 0 where there is none."""
    plane = np.zeros((3, 3, 3), dtype=bool)
    plane[1] = True  # neighbours in the same mask only
    stacked = masks.reshape(-1, *masks.shape[-2:]).cpu().numpy()
    numbers, _ = ndimage.label(stacked, structure=plane)
    return torch.from_numpy(numbers.astype(np.int64)).reshape(masks.shape)


def hull_area(cells: Bool[Tensor, "row col"]) -> float:
    """Area of the convex hull around squares of side 1 at some cells; 0 for none."""
    corners = _corners(cells)
    return float(ConvexHull(corners).volume) if len(corners) else 0.0  # of a flat hull, scipy calls the area volume


def hull_cells(cells: Bool[Tensor, "row col"]) -> Bool[Tensor, "row col"]:
    """The cells whose middle lies in the convex hull around the squares of some cells."""
    corners = _corners(cells)
    if not len(corners):
        return cells
    planes = ConvexHull(corners).equations  # a point is inside where a x + b y + c <= 0 for each
    row, col = np.indices(cells.shape) + 0.5
    away = planes[:, 0, None, None] * row + planes[:, 1, None, None] * col + planes[:, 2, None, None]
    return torch.from_numpy((away <= ROUNDING).all(0))


def largest(cells: Bool[Tensor, "row col"], by: Largest = "hull") -> Bool[Tensor, "row col"]:
    """The largest 8-connected part of some cells; of equally large ones that of most cells, then the uppermost."""
    if by == "all":
        return cells
    parts = label(cells)
    found = [parts == number for number in range(1, int(parts.max()) + 1)]

    def size(part: Bool[Tensor, "row col"]) -> tuple[float, int]:
        return round(hull_area(part), 6) if by == "hull" else 0.0, int(part.sum())

    return max(found, key=size, default=cells)  # the first of equal ones: parts are numbered row by row


def _exact(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map row col"]:
    exact = maps.double()
    if not bool(exact.isfinite().all()):
        raise BadInput(
            "expected attention that is a number in every cell, got NaN or infinity; load the model in bfloat16 or "
            "float32 (float16 overflows)"
        )
    return exact


def _corners(cells: Bool[Tensor, "row col"]) -> Int[np.ndarray, "corner 2"]:
    """Corners (row, col) of the squares of some cells."""
    at = np.argwhere(cells.cpu().numpy())
    return np.concatenate([at + np.array(step) for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
