"""Where the parts of a figure lie: pictures of any shape, text and enlargements that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from glintbox.boxes import Box, Size, overlap

EDGE, GAP, LINE, NAME, MIN_WIDTH = 0.12, 0.14, 0.19, 0.22, 1.1
"""Inches: around everything, between panels, for a line of text, for a panel's name above it."""


class Layout(NamedTuple):
    """Places in inches from the bottom left of what lies between the words above and the legend below."""

    extent: tuple[float, float]
    picture: Box
    panels: tuple[Box, ...]


def layout(aspect: float, *, panels: bool) -> Layout:
    """Panels right of a picture that is about square, in one row right of a tall one, under a wide one."""
    high = 9 / aspect if aspect > 2 else 6.5 if aspect < 0.5 else min(5.2, 6 / aspect)
    rows, cols = (1, 4) if aspect < 0.5 else (2, 2)
    inner = (9 - GAP) / 2 / aspect if aspect > 2 else (high - (rows - 1) * GAP) / rows - NAME
    small = Box(0, 0, max(inner * aspect, MIN_WIDTH), max(inner, 0.35))
    step = small.height + NAME + GAP
    under = rows * step if panels and aspect > 2 else 0
    picture = Box(0, under, max(high * aspect, MIN_WIDTH), under + max(high, 0.5))
    left = 0 if aspect > 2 else picture.width + GAP
    spots = [(row, col) for row in range(rows) for col in range(cols) if panels]
    places = [shifted(small, left + col * (small.width + GAP), (rows - 1 - row) * step) for row, col in spots]
    right = max(box.x2 for box in (picture, *places))
    width = max(right, 5.2)  # room for the legend
    shift = (width - right) / 2
    return Layout((width, picture.y2), shifted(picture, shift, 0), tuple(shifted(box, shift, 0) for box in places))


def shifted(box: Box, x: float, y: float) -> Box:
    """The box moved right and down, or up where y points up."""
    return Box(box.x1 + x, box.y1 + y, box.x2 + x, box.y2 + y)


def square_around(boxes: Sequence[Box], size: Size) -> Box:
    """A square inside the picture around boxes, with as much again beside them."""
    left, top = min(b.x1 for b in boxes), min(b.y1 for b in boxes)
    right, bottom = max(b.x2 for b in boxes), max(b.y2 for b in boxes)
    side = min(max(2 * (right - left), 2 * (bottom - top), 24.0), float(min(size)))
    x = min(max((left + right - side) / 2, 0.0), size.width - side)
    y = min(max((top + bottom - side) / 2, 0.0), size.height - side)
    return Box(x, y, x + side, y + side)


def free_corner(side: float, region: Box, marked: Sequence[tuple[Box, float]], size: Size) -> Box:
    """The square of `side` px in the corner of a picture that hides the least weight of boxes, and not `region`."""
    places = [(x, y) for x in (0, size.width - side) for y in (0, size.height - side)]

    def hidden(corner: Box) -> float:
        boxes = sum(weight * overlap(corner, box) / box.area for box, weight in marked)
        far = math.dist((corner.x1, corner.y1), (region.x1, region.y1)) / sum(size)  # decides between empty corners
        return 10 * overlap(corner, region) / region.area + boxes + far

    return min((shifted(Box(0, 0, side, side), *place) for place in places), key=hidden)
