"""Pure functions on attention maps: how spread they are, how much they hold, smoothed, on another grid."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from glintbox.components import foreground, label
from glintbox.errors import BadInput


def entropy(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map"]:
    """Spatial entropy H of each map in nats (ACS eq. 3): 0 for one cell, log(cells) for an even map.

    A map is normalised over its cells, so scale does not matter; 0 log 0 is 0. An all-zero map tells nothing and gets
    the worst value, log(cells) (docs/acs.md 17). Half precision is computed in float32.
    """
    flat = _full(maps).flatten(-2)
    total = flat.sum(-1)
    # normalised first: log S - sum(a log a)/S is a pass less, but cancels: off by 1e-5 nats where shares are tiny
    spread: Tensor = torch.special.entr(flat / total[..., None]).sum(-1)
    return torch.where(total == 0, math.log(flat.shape[-1]), spread.clamp(min=0))


def image_share(maps: Float[Tensor, "*map row col"]) -> Float[Tensor, "*map"]:
    """Share of all attention that falls on the image: the sum over the cells of each map."""
    return _full(maps).sum((-2, -1))


def spatial_entropy(
    maps: Float[Tensor, "*map row col"],
    *,
    weight: Literal["area", "mass"] = "area",
    factor: float = 1.0,
    floor: float = 0.0,
) -> Float[Tensor, "*map"]:
    """-sum P log P over the connected parts of each map's foreground, nats; no part = inf, the worst.

    The second criterion of the localization-heads paper (CVPR 2025, section 3.2). weight: P is a part's share of the
    foreground's cells (the paper), or of map - factor * mean, summed over all cells where that is positive, also those
    below the floor (its public code, which has factor 2 and floor 0.001; a map without a part gets the best value
    there).

    Raises:
        BadInput: NaN or infinity in a map.
    """
    parts = label(foreground(maps, factor=factor, floor=floor)).reshape(-1, maps.shape[-2] * maps.shape[-1]).numpy()
    exact = maps.double().cpu()
    above = (exact - factor * exact.mean((-2, -1), keepdim=True)).clamp(min=0).reshape(parts.shape).numpy()
    worth, counted = (np.ones(parts.shape), parts > 0) if weight == "area" else (above, parts >= 0)
    owner = np.zeros(parts.max(initial=0) + 1, dtype=np.int64)
    owner[parts] = np.arange(len(parts))[:, None]
    owner = owner[1:]  # the map of each part; number 0 is none
    share = np.bincount(parts.ravel(), worth.ravel())[1:] / (worth * counted).sum(1)[owner]
    spread = np.abs(np.bincount(owner, share * np.log(share), len(parts))).astype(np.float64)
    spread[np.bincount(owner, minlength=len(parts)) == 0] = np.inf
    return torch.from_numpy(spread).reshape(maps.shape[:-2])


def elbow(values: Float[Tensor, " value"], *, method: Literal["chord", "curvature"] = "chord") -> float:
    """The value at the elbow of the curve of ascending values: the threshold tau of the attention sums.

    chord: where the curve is farthest from the line between its ends (the authors' code; the paper says "maximum
    curvature" and names no way). curvature: where the curve bends most, both axes from 0 to 1, after a Gaussian over
    2 % of the values (at least 1) that continues the curve by point reflection at its ends. At most two values, or
    equal ones, have no elbow: the least of them. Of equal elbows the lower value.

    Raises:
        BadInput: no value, or one that is not finite.
    """
    curve = np.sort(values.double().cpu().numpy())
    if not len(curve) or not np.isfinite(curve).all():
        raise BadInput(f"expected at least one value and only finite ones, got {len(curve)}; check the attention sums")
    if len(curve) <= 2 or curve[0] == curve[-1]:
        return float(curve[0])
    level = (curve - curve[0]) / (curve[-1] - curve[0])
    step = 1 / (len(curve) - 1)
    if method == "chord":
        bend = np.abs(np.arange(len(curve)) * step - level)
    else:
        sigma = max(1.0, 0.02 * len(curve))
        room = min(len(curve) - 1, math.ceil(4 * sigma))
        longer = np.pad(level, room, mode="reflect", reflect_type="odd")
        once = np.gradient(ndimage.gaussian_filter1d(longer, sigma), step)
        bend = (np.abs(np.gradient(once, step)) / (1 + once**2) ** 1.5)[room:-room]
    return float(curve[bend.argmax()])


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


def smooth(
    maps: Float[Tensor, "*map row col"], *, sigma: float = 1.0, kernel: int = 7
) -> Float[Tensor, "*map row col"]:
    """Each map under a Gaussian of `sigma` cells with `kernel` taps per axis (localization heads, section 3.3).

    The border reflects with its edge repeated (c b a | a b c), so each map's sum is preserved and an even map stays
    even. sigma 0 or a kernel of 1 changes nothing.

    Raises:
        BadInput: a negative sigma, or a kernel that is no odd number of taps.
    """
    check_gaussian(sigma, kernel)
    full = _full(maps)
    if sigma == 0 or kernel == 1:
        return full
    high, wide = full.shape[-2:]
    return _blur(high, sigma, kernel).to(full) @ full @ _blur(wide, sigma, kernel).to(full).T


def check_gaussian(sigma: float, kernel: int) -> None:
    """Raise BadInput for what is no Gaussian of `sigma` cells with `kernel` taps."""
    if not 0 <= sigma < math.inf or kernel < 1 or kernel % 2 == 0:
        raise BadInput(f"expected sigma >= 0 cells and an odd kernel >= 1, got {sigma} and {kernel}")


def focuses_bottom(maps: Float[Tensor, "*map row col"], *, above: float = 0.05) -> Bool[Tensor, "*map"]:
    """Whether any cell of a map's last row holds more than `above` of all attention.

    The authors' code drops such heads; the paper does not speak of it.
    """
    return (maps[..., -1, :] > above).any(-1)


def _blur(cells: int, sigma: float, kernel: int) -> Float[Tensor, "{cells} {cells}"]:
    """What each cell along one axis takes from each other one; rows and columns sum to 1."""
    taps = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    weights = (-(taps**2) / (2 * sigma**2)).softmax(0)
    there = (torch.arange(cells)[:, None] + taps.long()) % (2 * cells)
    there = torch.where(there < cells, there, 2 * cells - 1 - there)
    return torch.zeros(cells, cells, dtype=torch.float64).scatter_add_(1, there, weights.expand(cells, kernel))


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
