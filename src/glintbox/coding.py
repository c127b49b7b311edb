"""Attention maps as checksummed pieces of float16 without subnormals: what `glintbox.store` keeps (docs/store.md)."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import threshold

from glintbox.errors import BadInput

TOP = 15
"""The largest cell of a map is scaled into [2^14, 2^15), the upper end of float16."""

LEAST = 2.0**-14
"""The smallest normal float16: scaled cells up to here become 0. They are 2^-28 of their map's largest cell or less."""

FAINTEST = -80
"""Maps below 2^-80 are scaled as if they reached it, so that every scale is a normal float32."""


def piece(rows: int, cols: int) -> np.dtype[Any]:
    """One head of one candidate on disk: crc32 of what follows, a power of two per coordinate, four maps of float16.

    A cell's share of attention is scale x cell.
    """
    return np.dtype([("crc", "<u4"), ("scale", "<f4", (4,)), ("cells", "<f2", (4, rows, cols))])


def encode(values: Float[Tensor, "candidate coord=4 head row col"]) -> Shaped[np.ndarray, "candidate head"]:
    """Shares of attention as pieces. A cell's error is at most 2^-11 of itself, or 2^-28 of its map's largest cell.

    Raises:
        BadInput: a share that is negative or no number.
    """
    maps = values.detach().cpu().float()
    if maps.numel() and not (maps.min() >= 0 and maps.max() < math.inf):  # no number is between others
        raise BadInput("expected shares of attention, got values that are negative or no numbers")
    pieces = np.empty((maps.shape[0], maps.shape[2]), dtype=piece(*maps.shape[-2:]))
    scales, cells = torch.from_numpy(pieces["scale"]), torch.from_numpy(pieces["cells"])
    for k, one in enumerate(maps):  # what is held beside the result is one candidate's
        power = torch.frexp(one.amax((-2, -1))).exponent.clamp(min=FAINTEST) - TOP
        scale = torch.ldexp(torch.ones(power.shape), power)
        scaled = one * scale.reciprocal()[..., None, None]  # by a power of two: exact
        scales[k] = scale.T
        cells[k] = threshold(scaled, LEAST, 0.0).transpose(0, 1)
    pieces["crc"] = _sums(pieces)
    return pieces


def decode(pieces: Shaped[np.ndarray, " head"]) -> Float[Tensor, "coord=4 head row col"]:
    """The shares of attention of one candidate, float32."""
    cells, scale = torch.from_numpy(pieces["cells"]), torch.from_numpy(pieces["scale"])
    return (cells * scale[..., None, None]).transpose(0, 1)  # float16 x float32 is float32


def intact(pieces: Shaped[np.ndarray, "*piece"]) -> bool:
    """Whether every piece is what was written."""
    return bool((pieces["crc"] == _sums(pieces)).all())


def _sums(pieces: Shaped[np.ndarray, "*piece"]) -> Shaped[np.ndarray, "*piece"]:
    """The crc32 of each piece behind its first field."""
    size, content = pieces.dtype.itemsize, memoryview(np.ascontiguousarray(pieces).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    sums = [zlib.crc32(content[at + 4 : at + size]) for at in range(0, len(content), size)]
    return np.array(sums, dtype=np.uint32).reshape(pieces.shape)
