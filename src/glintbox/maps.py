"""Pure functions on attention maps: how spread they are, how much of the attention they hold, another grid."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.errors import BadInput


def entropy(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map"]:
    """Spatial entropy H of each map in nats (ACS eq. 3): 0 for one cell, log(cells) for an even map.

    A map is normalised over its cells, so scale does not matter; 0 log 0 is 0. An all-zero map tells nothing and gets
    the worst value, log(cells) (docs/acs.md 17). Half precision is computed in float32.
    """
    flat = _full(maps).flatten(-2)
    total = flat.sum(-1)
    # with p = a/S, -sum p log p = log S - sum(a log a)/S: one pass over the cells less than normalising them first
    spread: Tensor = total.log() + torch.special.entr(flat).sum(-1) / total
    return torch.where(total == 0, math.log(flat.shape[-1]), spread.clamp(min=0))


def image_share(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map"]:
    """Share of all attention that falls on the image: the sum over the cells of each map."""
    return _full(maps).sum((-2, -1))


def resample(maps: Float[Tensor, "*map row col"], rows: int, cols: int) -> Float[Tensor, "*map {rows} {cols}"]:
    """Each map on a grid of `rows` x `cols` over the same region (docs/acs.md 5).

    Per axis: exact area averaging when shrinking, bilinear with half-cell centres (align_corners=False) when enlarging.
    What is preserved is each map's sum: a cell of the new grid holds the share of attention that falls on it, so
    `image_share` stays what it was. Peaks are not: more cells, smaller shares.
    """
    if rows < 1 or cols < 1:
        raise BadInput(f"expected a grid of at least 1 x 1 cells, got {rows} x {cols}")
    full = _full(maps)
    high, wide = full.shape[-2:]
    if (high, wide) == (rows, cols):
        return full
    changed = _weights(high, rows).to(full) @ full @ _weights(wide, cols).to(full).T
    before, after = full.sum((-2, -1), keepdim=True), changed.sum((-2, -1), keepdim=True)
    return changed * torch.where(after > 0, before / torch.where(after > 0, after, torch.ones_like(after)), before)


def _full(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map row col"]:
    """At least float32: sums of half-precision shares lose the small ones."""
    return maps if maps.dtype == torch.float64 else maps.float()


def _weights(old: int, new: int) -> Float[Tensor, "{new} {old}"]:
    """How much each of `old` cells counts in each of `new` cells along one axis; rows sum to 1."""
    cells = torch.arange(old, dtype=torch.float64)
    step = old / new
    if new <= old:
        start = (torch.arange(new, dtype=torch.float64) * step)[:, None]
        shared = torch.minimum(cells + 1, start + step) - torch.maximum(cells, start)
        return shared.clamp(min=0) / step
    centre = ((torch.arange(new, dtype=torch.float64) + 0.5) * step - 0.5).clamp(0, old - 1)[:, None]
    return (1 - (centre - cells).abs()).clamp(min=0)
