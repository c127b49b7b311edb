"""Boxes in pixels and what can be said of them without any model: overlap, suppression, clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from glintbox.errors import BadInput


class Size(NamedTuple):
    """Width and height, in this order."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle x1 y1 x2 y2 with x right and y down; what exists is valid: finite, x1 < x2, y1 < y2."""

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in self):
            raise BadInput(f"expected four finite numbers for a box, got {tuple(self)}")
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise BadInput(f"expected x1 < x2 and y1 < y2 for a box, got {tuple(self)}")

    def __iter__(self) -> Iterator[float]:
        return iter((self.x1, self.y1, self.x2, self.y2))

    @classmethod
    def whole(cls, size: Size) -> Box:
        """The box that covers a picture of `size`."""
        return cls(0.0, 0.0, float(size.width), float(size.height))

    @property
    def width(self) -> float:
        """Extent to the right."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Extent downwards."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    wide = min(a.x2, b.x2) - max(a.x1, b.x1)
    high = min(a.y2, b.y2) - max(a.y1, b.y1)
    return max(0.0, wide) * max(0.0, high)


def iou(a: Box, b: Box) -> float:
    """Intersection over union, in [0, 1]."""
    shared = overlap(a, b)
    return shared / (a.area + b.area - shared)


def pairwise_iou(boxes: Sequence[Box], others: Sequence[Box]) -> Float64[np.ndarray, "box other"]:
    """`iou` of every box with every other one, to the last digit: crowded pictures have hundreds of candidates."""
    a, b = (np.array([tuple(box) for box in some], dtype=np.float64).reshape(-1, 4) for some in (boxes, others))
    corners = zip(a.T[:, :, None], b.T[:, None], strict=True)
    (x1, u1), (y1, v1), (x2, u2), (y2, v2) = corners
    wide, high = np.minimum(x2, u2) - np.maximum(x1, u1), np.minimum(y2, v2) - np.maximum(y1, v1)
    shared = np.maximum(0.0, wide) * np.maximum(0.0, high)
    shares: Float64[np.ndarray, "box other"] = shared / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared)
    return shares


def clip(box: Box, to: Box) -> Box | None:
    """The part of `box` inside `to`, or None where nothing is left."""
    x1, y1, x2, y2 = max(box.x1, to.x1), max(box.y1, to.y1), min(box.x2, to.x2), min(box.y2, to.y2)
    return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def clusters(boxes: Sequence[Box], threshold: float) -> tuple[tuple[int, ...], ...]:
    """Connected components, by union-find, of the graph whose edges join boxes with IoU >= threshold.

    Indices ascend inside a cluster; clusters are ordered by their first member (ACS section 5.5, docs/acs.md 32).
    """
    parent = list(range(len(boxes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in np.argwhere(np.triu(pairwise_iou(boxes, boxes) >= threshold, 1)).tolist():
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for i in range(len(boxes)):
        members.setdefault(root(i), []).append(i)
    return tuple(tuple(group) for group in members.values())


def nms(boxes: Sequence[Box], scores: Sequence[float], threshold: float) -> tuple[int, ...]:
    """Indices kept by greedy non-maximum suppression, best first; equal scores keep their order."""
    if len(boxes) != len(scores):
        raise BadInput(f"expected one score per box, got {len(boxes)} boxes and {len(scores)} scores")
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if all(iou(boxes[i], boxes[k]) < threshold for k in kept):
            kept.append(i)
    return tuple(kept)
