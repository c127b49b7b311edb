"""Cases for tests of localization heads: 90 x 60 px under 4 x 6 cells, 3 layers of 2 heads, one of which localizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.finding import Table
from glintbox.geometry import TokenGrid
from glintbox.masks import encode
from glintbox.records import Head, Sample, Setting
from glintbox.text_stats import TextCard, TextCase, TextStats, TextWriter, numbers_of

IMAGE = Size(90, 60)
GRID = TokenGrid(4, 6, Box.whole(IMAGE))
HEADS = tuple(Head(layer, index) for layer in range(1, 5) for index in range(2))
GOOD, WIDE, STRAY = Head(3, 1), Head(2, 0), Head(4, 0)
"""It looks at the object; it looks at many places in the picture; it looks at one other cell, and faintly."""

SETTING = Setting("tiny", "main", "qwen3_vl", "expression", "default", "min=1 max=9")
CARD = TextCard(SETTING, "made up", HEADS, maps=True)


def a_sample(number: int) -> Sample:
    """A case whose true object is two by two cells somewhere."""
    row, col = number % 3, number % 5
    box = Box(15 * col, 15 * row, 15 * col + 30, 15 * row + 30)
    mask = np.zeros((IMAGE.height, IMAGE.width), dtype=bool)
    mask[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = True
    return Sample(f"{number:03}-0", Path(f"{number}.png"), IMAGE, f"object {number}.", (box,), encode(mask))


def maps_of(number: int) -> Float[Tensor, "head row col"]:
    """Faint noise in places that do not touch, but for the three heads that have names."""
    draw = torch.Generator().manual_seed(number)
    maps = 0.0001 * torch.rand(len(HEADS), GRID.rows, GRID.cols, generator=draw)
    maps[:, ::2, ::2] += 0.002
    row, col = number % 3, number % 5
    at = {head: k for k, head in enumerate(HEADS)}
    maps[at[GOOD], row : row + 2, col : col + 2] += 0.1
    maps[at[WIDE], ::2, ::2] += 0.1 + 0.05 * torch.rand(2, 3, generator=draw)
    maps[at[STRAY], (number + 2) % 4, (number + 3) % 6] += 0.05
    return maps


def a_case(number: int, card: TextCard = CARD) -> TextCase:
    sample, maps = a_sample(number), maps_of(number)
    return TextCase(sample, GRID, numbers_of(maps, GRID, sample.mask, card), maps)


def kept(folder: Path, numbers: Sequence[int], card: TextCard = CARD) -> TextStats:
    """A folder of such cases."""
    with TextWriter(folder, card) as writer:
        for number in numbers:
            writer.add(a_case(number, card))
    return TextStats(folder)


def a_table(
    share: Sequence[Sequence[float]], entropy: Sequence[Sequence[float]], heads: Sequence[Head] | None = None
) -> Table:
    """Numbers by hand, a row per case; bottom, IoU and the share of the true mask are 0 everywhere."""
    known = tuple(heads or (Head(2, k) for k in range(len(share[0]))))
    of_share, of_entropy = torch.tensor(share), torch.tensor(entropy)
    nothing = torch.zeros_like(of_share)
    ids = tuple(f"{k}-0" for k in range(len(share)))
    return Table(known, ids, of_share, of_entropy, nothing, nothing, nothing[:, 0])
