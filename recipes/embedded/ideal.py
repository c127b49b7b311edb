"""The ideal code: what an image token should say (what is here, its colour, where the cell is, where the box ends)."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from glintbox.datasets.scenes import COLORS, categories

PARTS = CLASS_WIDTH, COLOR_WIDTH, POSITION_WIDTH, BOX_WIDTH = 96, 16, 48, 48
WIDTH = sum(PARTS)  # also the hidden size of the language model
NAMES_WIDTH = CLASS_WIDTH + COLOR_WIDTH  # what words share with image tokens
POSITION_WAVES = tuple(0.25 * 2 ** (k * 5 / 11) for k in range(12))  # periods per image side, up to 8
BOX_WAVES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)  # decimal, as the numbers of an answer are
EDGE_REACH = 1.0  # cells from a cell's middle within which it says an edge
BACKGROUND = -1
NATURAL = -1  # no paint


class Cells(NamedTuple):
    """Truth per cell of a batch of pictures; label -1 is background, whose box is zero; color -1 is no paint."""

    label: Int[np.ndarray, "picture cell"]
    color: Int[np.ndarray, "picture cell"]
    box: Float[np.ndarray, "picture cell coord=4"]  # shares of width and height
    weight: Float[np.ndarray, "picture cell"]  # every object weighs about the same, whatever its size


def directions(count: int, width: int) -> Float[Tensor, "name {width}"]:
    """Orthogonal directions of unit root mean square, the same in every run."""
    drawn = torch.randn(width, width, generator=torch.Generator().manual_seed(7))
    return torch.linalg.qr(drawn).Q[:count] * math.sqrt(width)


@cache
def class_directions() -> Float[Tensor, "label {CLASS_WIDTH}"]:
    """One direction a category."""
    return directions(len(categories()), CLASS_WIDTH)


@cache
def color_directions() -> Float[Tensor, "color {COLOR_WIDTH}"]:
    """One direction a colour."""
    return directions(len(COLORS), COLOR_WIDTH)


def waves(shares: Tensor, periods: tuple[float, ...]) -> Tensor:
    """Sine and cosine of the shares at several periods per side, unit root mean square, on a new last axis."""
    angles = shares[..., None] * (2 * math.pi * torch.tensor(periods))
    return torch.cat([angles.sin(), angles.cos()], dim=-1) * math.sqrt(2)


def position_code(rows: int, cols: int) -> Float[Tensor, "cell {POSITION_WIDTH}"]:
    """Where a cell lies in its image, row-major."""
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(cols) + 0.5) / cols
    down = waves(y, POSITION_WAVES)[:, None].expand(rows, cols, -1)
    right = waves(x, POSITION_WAVES)[None].expand(rows, cols, -1)
    return torch.cat([right, down], dim=-1).reshape(rows * cols, POSITION_WIDTH)


def box_code(box: Float[Tensor, "*any coord=4"]) -> Float[Tensor, "*any {BOX_WIDTH}"]:
    """Where the box x1 y1 x2 y2 (shares) ends."""
    return waves(box, BOX_WAVES).flatten(-2)


def ideal_code(cells: Cells, rows: int, cols: int) -> Float[Tensor, "picture cell {WIDTH}"]:
    """The whole code of a batch; class and colour are zero on background, an edge where it is out of a cell's reach."""
    label, color = torch.from_numpy(cells.label), torch.from_numpy(cells.color)
    there = (label >= 0)[..., None]
    what = torch.where(there, class_directions()[label.clamp_min(0)], 0.0)
    paint = torch.where((color >= 0)[..., None], color_directions()[color.clamp_min(0)], 0.0)
    where = position_code(rows, cols).expand(label.shape[0], -1, -1)
    ends = box_code(torch.from_numpy(cells.box)).unflatten(-1, (4, -1))
    ends = torch.where((edges_here(cells, rows, cols) & there)[..., None], ends, 0.0).flatten(-2)
    return torch.cat([what, paint, where, ends], dim=-1)


def edges_here(cells: Cells, rows: int, cols: int) -> Bool[Tensor, "picture cell coord=4"]:
    """Which edges of its object a cell can know: those close to it. So nobody can read a large box off one cell."""
    y = (torch.arange(rows) + 0.5).repeat_interleave(cols)
    x = (torch.arange(cols) + 0.5).repeat(rows)
    middle = torch.stack([x, y, x, y], dim=-1)
    return (torch.from_numpy(cells.box) * torch.tensor([cols, rows, cols, rows]) - middle).abs() <= EDGE_REACH


def cells_of(objects: Float[np.ndarray, "object 7"], owner: Int[np.ndarray, "picture cell"]) -> Cells:
    """Truth per cell from rows (picture, label, color, x1, y1, x2, y2 in shares) and the row that owns it, or -1."""
    there = owner >= 0
    rows = np.append(objects, [[0, BACKGROUND, NATURAL, 0, 0, 0, 0]], axis=0)[owner]
    count = np.bincount(owner[there], minlength=len(objects))
    weight = np.where(there, np.append(count, 1)[owner] ** -0.7, 0.03)
    label, color = (rows[..., k].astype(np.int64) for k in (1, 2))
    return Cells(label, color, rows[..., 3:].astype(np.float32), weight.astype(np.float32))
