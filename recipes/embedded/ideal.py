"""The ideal code: what an image token should say (what is here, where the cell is, where its object's box ends)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

CLASS_WIDTH, POSITION_WIDTH, BOX_WIDTH = 96, 48, 48
WIDTH = CLASS_WIDTH + POSITION_WIDTH + BOX_WIDTH  # also the hidden size of the language model
POSITION_WAVES = tuple(0.25 * 2 ** (k * 5 / 11) for k in range(12))  # periods per image side, up to 8
BOX_WAVES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
BACKGROUND = -1


class Cells(NamedTuple):
    """Truth per cell of a batch of pictures; label -1 is background, whose box is zero."""

    label: Int[np.ndarray, "picture cell"]
    box: Float[np.ndarray, "picture cell coord=4"]  # shares of width and height
    weight: Float[np.ndarray, "picture cell"]  # every object weighs about the same, whatever its size


def class_directions(count: int) -> Float[Tensor, "label {CLASS_WIDTH}"]:
    """Orthogonal directions of unit root mean square, the same in every run."""
    drawn = torch.randn(CLASS_WIDTH, CLASS_WIDTH, generator=torch.Generator().manual_seed(7))
    return torch.linalg.qr(drawn).Q[:count] * math.sqrt(CLASS_WIDTH)


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


def ideal_code(cells: Cells, rows: int, cols: int, directions: Tensor) -> Float[Tensor, "picture cell {WIDTH}"]:
    """The whole code of a batch; class and box parts are zero on background."""
    label = torch.from_numpy(cells.label)
    there = (label >= 0)[..., None]
    what = torch.where(there, directions[label.clamp_min(0)], 0.0)
    where = position_code(rows, cols).expand(label.shape[0], -1, -1)
    ends = torch.where(there, box_code(torch.from_numpy(cells.box)), 0.0)
    return torch.cat([what, where, ends], dim=-1)


def cells_of(objects: Float[np.ndarray, "object 6"], pictures: int, rows: int, cols: int) -> Cells:
    """Truth per cell from rows (picture, label, x1, y1, x2, y2 in shares).

    A cell belongs to an object that covers a fifth of the cell, or a fifth of whose box lies in it;
    where two do, the smaller one wins.
    """
    picture, label, box = objects[:, 0].astype(int), objects[:, 1].astype(int), objects[:, 2:]
    left, top = np.arange(cols) / cols, np.arange(rows) / rows
    wide = np.minimum(box[:, 2:3], left + 1 / cols) - np.maximum(box[:, 0:1], left)
    high = np.minimum(box[:, 3:4], top + 1 / rows) - np.maximum(box[:, 1:2], top)
    shared = high.clip(0)[:, :, None] * wide.clip(0)[:, None, :]
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    inside = (shared >= 0.2 * np.minimum(1 / (rows * cols), area)[:, None, None]).reshape(len(objects), -1)
    found = Cells(
        np.full((pictures, rows * cols), BACKGROUND),
        np.zeros((pictures, rows * cols, 4), dtype=np.float32),
        np.full((pictures, rows * cols), 0.03, dtype=np.float32),
    )
    for k in np.argsort(-area):
        found.label[picture[k], inside[k]] = label[k]
        found.box[picture[k], inside[k]] = box[k]
        found.weight[picture[k], inside[k]] = inside[k].sum() ** -0.7
    return found
