"""Masks as run lengths: in and out of arrays, COCO's strings and polygons; what two of them share; cells in pixels.

An array is indexed [y, x]; run lengths go down the columns and begin with background, as COCO's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.metrics import Overlap
from glintbox.records import Rle

FINE = 5
"""How many steps a pixel is cut into, each way, before a polygon is filled."""


def encode(mask: Bool[np.ndarray, "y x"]) -> Rle:
    """Run lengths of a mask."""
    return _encoded(mask.ravel(order="F"), Size(mask.shape[1], mask.shape[0]))


def decode(rle: Rle) -> Bool[np.ndarray, "y x"]:
    """The mask of run lengths."""
    on = np.arange(len(rle.counts)) % 2 == 1
    flat: Bool[np.ndarray, " pixel"] = np.repeat(on, np.array(rle.counts, dtype=np.int64))
    return flat.reshape(rle.size.width, rle.size.height).T


def _encoded(flat: Bool[np.ndarray, " pixel"], size: Size) -> Rle:
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return Rle(size, tuple([0, *lengths] if flat.size and flat[0] else lengths))


def area(rle: Rle) -> int:
    """Pixels of the mask."""
    return sum(rle.counts[1::2])


def overlap(a: Rle, b: Rle, *, ignore: Rle | None = None) -> Overlap:
    """Pixels that two masks share, and that one or both have; those of `ignore` count neither way.

    Raises:
        BadInput: masks of pictures of two sizes.
    """
    masks = [mask for mask in (a, b, ignore) if mask is not None]
    if odd := [mask.size for mask in masks if mask.size != a.size]:
        raise BadInput(f"expected two masks of one picture, got {tuple(a.size)} and {tuple(odd[0])} px")
    one, other = decode(a), decode(b)
    counts = True if ignore is None else ~decode(ignore)
    return Overlap(int((one & other & counts).sum()), int(((one | other) & counts).sum()))


def mask_iou(a: Rle, b: Rle) -> float:
    """Intersection over union of two masks, in [0, 1]; two empty masks agree: 1."""
    return overlap(a, b).iou


def tight_box(rle: Rle) -> Box | None:
    """The smallest box (px) that holds the mask, None where it is empty."""
    mask = decode(rle)
    if not mask.any():
        return None
    ys, xs = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return Box(float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1))


# ---- COCO's compressed string: base 32 with a sign, low digits first, from the fourth run on as differences to the
# run before the last


def to_string(rle: Rle) -> str:
    """COCO's compressed counts, as `segmentation["counts"]` of an instances file holds them."""
    text = []
    for place, count in enumerate(rle.counts):
        left = count - rle.counts[place - 2] if place > 2 else count
        more = True
        while more:
            digit, left = left & 31, left >> 5
            more = left != (-1 if digit & 16 else 0)  # the digit's sign bit says what is above it
            text.append(chr(48 + digit + (32 if more else 0)))
    return "".join(text)


def from_string(size: Size, counts: str) -> Rle:
    """The run lengths that a compressed string of a picture of `size` means.

    Raises:
        BadInput: characters that no such string has, a string that breaks off, or lengths of another picture.
    """
    found: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise BadInput(f"expected compressed run lengths, got a string with {character!r}: {counts[:40]!r}")
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            value -= (1 << shift) if digit & 16 else 0
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    if shift:
        raise BadInput(f"expected compressed run lengths, got a string that breaks off: {counts[-40:]!r}")
    return Rle(size, tuple(found))


# ---- polygons


def from_polygons(size: Size, polygons: Sequence[Sequence[float]]) -> Rle:
    """The pixels inside any of some polygons, each x1 y1 x2 y2 … in px, by COCO's rule to the pixel.

    Corners are rounded to a fifth of a pixel. On the line down the middle of each column of pixels a polygon is filled
    by even-odd counting of its sides, so that where it crosses itself holes are left; several polygons are united.

    Raises:
        BadInput: fewer than three corners, an odd number of coordinates, or one that is not finite.
    """
    mask = np.zeros(size.width * size.height, dtype=bool)
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
            raise BadInput(f"expected a polygon x1 y1 x2 y2 x3 y3 … of finite numbers, got {list(polygon[:8])}")
        mask |= _filled(size, np.asarray(polygon, dtype=np.float64).reshape(-1, 2))
    return _encoded(mask, size)


def _filled(size: Size, corners: Float64[np.ndarray, "corner xy=2"]) -> Bool[np.ndarray, " pixel"]:
    """One polygon, flat down the columns: every side flips all that follows its crossing of a column's middle."""
    fine = np.trunc(corners * FINE + 0.5).astype(np.int64)
    walks = [_walk(start, end) for start, end in zip(fine, np.roll(fine, -1, axis=0), strict=True)]
    path = np.concatenate(walks)
    before, after = path[:-1], path[1:]
    stepped = before[:, 0] != after[:, 0]
    before, after = before[stepped], after[stepped]
    column = (np.minimum(before[:, 0], after[:, 0]) + 0.5) / FINE - 0.5
    row = np.ceil((np.minimum(before[:, 1], after[:, 1]) + 0.5) / FINE - 0.5).clip(0, size.height)
    crossed = (column == np.floor(column)) & (column >= 0) & (column <= size.width - 1)
    flips = np.bincount(
        (column[crossed] * size.height + row[crossed]).astype(np.int64), minlength=size.width * size.height + 1
    )
    inside: Bool[np.ndarray, " pixel"] = flips.cumsum()[:-1] % 2 == 1
    return inside


def _walk(start: Int64[np.ndarray, "xy=2"], end: Int64[np.ndarray, "xy=2"]) -> Int64[np.ndarray, "step xy=2"]:
    """Fine points along a side, one per step of its longer extent; the shorter is rounded, the same either way."""
    low, high = (start, end) if _ascends(start, end) else (end, start)
    extent = np.abs(end - start)
    long = int(extent[1] > extent[0])
    steps = np.arange(extent[long] + 1)
    slope = (high[1 - long] - low[1 - long]) / max(1, int(extent[long]))
    path = np.empty((len(steps), 2), dtype=np.int64)
    path[:, long] = low[long] + steps
    path[:, 1 - long] = np.trunc(low[1 - long] + slope * steps + 0.5)
    return path if low is start else path[::-1]


def _ascends(start: Int64[np.ndarray, "xy=2"], end: Int64[np.ndarray, "xy=2"]) -> bool:
    """Whether a side goes up along its longer extent."""
    wide, high = np.abs(end - start)
    return bool(start[0] <= end[0] if wide >= high else start[1] <= end[1])


# ---- cells


def in_pixels(
    cells: Bool[Tensor, "row col"], grid: TokenGrid, image: Size, *, method: Literal["cells", "bilinear"] = "cells"
) -> Rle:
    """A mask of cells of a token grid as pixels of the picture.

    A pixel belongs to the cell that its middle lies in; what the grid's region leaves out is background, what of it
    lies outside the picture is dropped. "bilinear" (the localization heads' public code): values between the middles of
    cells, cut at a half, which rounds corners.

    Raises:
        BadInput: a mask of another grid.
    """
    if tuple(cells.shape) != (grid.rows, grid.cols):
        raise BadInput(f"expected a mask of {grid.rows} x {grid.cols} cells, got {tuple(cells.shape)}")
    left, top = grid.region.x1, grid.region.y1
    across = (np.arange(image.width) + 0.5 - left) / grid.region.width * grid.cols
    down = (np.arange(image.height) + 0.5 - top) / grid.region.height * grid.rows
    values = cells.cpu().numpy().astype(np.float64)
    weigh = _nearest if method == "cells" else _between
    shares = weigh(down, grid.rows) @ values @ weigh(across, grid.cols).T
    return encode(shares > 0.5)


def _nearest(places: Float64[np.ndarray, " pixel"], cells: int) -> Float64[np.ndarray, "pixel cell"]:
    """Weight 1 of the cell that each place lies in, none outside all; places count in cells."""
    weights: Float64[np.ndarray, "pixel cell"] = (np.floor(places)[:, None] == np.arange(cells)).astype(np.float64)
    return weights


def _between(places: Float64[np.ndarray, " pixel"], cells: int) -> Float64[np.ndarray, "pixel cell"]:
    """Weights of the two cells whose middles each place lies between; at the border the outer cell's alone."""
    inside = ((places >= 0) & (places < cells)).astype(np.float64)[:, None]
    middle = (places - 0.5).clip(0, cells - 1)[:, None]
    weights: Float64[np.ndarray, "pixel cell"] = (1 - np.abs(middle - np.arange(cells))).clip(min=0) * inside
    return weights
