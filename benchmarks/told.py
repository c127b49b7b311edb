"""What benchmarks of localization heads share: validation scenes with all that is in them, and how a map is judged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.assembly import coverage
from glintbox.boxes import Box, Size
from glintbox.datasets.resolve import drawn_rows
from glintbox.datasets.scenes import categories
from glintbox.geometry import TokenGrid
from glintbox.masks import decode
from glintbox.records import Rle, TextMaps

SPLIT = "validation"


class Thing(NamedTuple):
    """An object of a scene."""

    label: str
    box: Box
    mask: Rle

    @property
    def share(self) -> float:
        """Share of the picture that its box covers."""
        return self.box.area / (self.mask.size.width * self.mask.size.height)


class Said(NamedTuple):
    """A referring expression, and the one thing that it means."""

    text: str
    kind: str
    target: int


class Told(NamedTuple):
    """A scene with its things and the expressions that mean one of them."""

    id: str
    image: Path
    size: Size
    things: tuple[Thing, ...]
    said: tuple[Said, ...]


def scenes(count: int) -> Iterator[Told]:
    """The first so many scenes of the validation split, drawn into the user's cache where they are not there."""
    for images, rows in islice(drawn_rows(SPLIT, None), count):
        size = Size(rows["image"]["width"], rows["image"]["height"])
        things = []
        for one in rows["annotations"]:
            x, y, wide, high = one["bbox"]
            mask = Rle(size, tuple(one["segmentation"]["counts"]))
            things.append(Thing(categories()[one["category_id"] - 1], Box(x, y, x + wide, y + high), mask))
        first = rows["annotations"][0]["id"] if rows["annotations"] else 0
        said = tuple(Said(one["sentence"], one["kind"], one["ann_id"] - first) for one in rows["expressions"])
        yield Told(str(rows["image"]["id"]), images / rows["image"]["file_name"], size, tuple(things), said)


def perfect(mask: Rle, looked: TextMaps) -> TextMaps:
    """The maps of heads that look at nothing but the truth: each cell's number of its pixels, as shares."""
    grid, pixels = looked.grid, decode(mask)
    rows, cols = np.nonzero(pixels)
    values = np.zeros((grid.rows, grid.cols))
    down, across = ((place + 0.5 - start) / extent * cells for place, start, extent, cells in (
        (rows, grid.region.y1, grid.region.height, grid.rows), (cols, grid.region.x1, grid.region.width, grid.cols),
    ))  # fmt: skip
    np.add.at(values, (down.astype(int).clip(0, grid.rows - 1), across.astype(int).clip(0, grid.cols - 1)), 1.0)
    shares = torch.from_numpy(values / values.sum()).float()
    return TextMaps(looked.setting, looked.heads[:1], grid, shares[None])


def shares(looked: TextMaps) -> Float[Tensor, "row col"]:
    """The heads' attention on the picture together, of sum 1."""
    summed = looked.values.sum(0)
    return summed / summed.sum()


def inside(looked: TextMaps, box: Box) -> float:
    """The share of the heads' attention on the picture that falls into a box; a cell counts by its covered part."""
    return float((shares(looked).double() * coverage(box, looked.grid)).sum())


def points_at(looked: TextMaps, box: Box) -> bool:
    """Whether the brightest cell touches a box by half of itself, or by what the box has at most in any cell."""
    covered = coverage(box, looked.grid)
    brightest = divmod(int(shares(looked).argmax()), looked.grid.cols)
    return float(covered[brightest]) >= min(0.5, float(covered.max()))


def density(looked: TextMaps, box: Box) -> float:
    """Attention inside a box against what an even map has there: 1 = no preference."""
    return inside(looked, box) / even(box, looked.grid)


def even(box: Box, grid: TokenGrid) -> float:
    """The share of an even map that falls into a box."""
    return float(coverage(box, grid).sum()) / grid.cells
