"""Attention on the picture, layer by layer: Figure 3 (critical layers beside the box) and Figures 6-9 (all layers)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from glintbox.boxes import Box
from glintbox.draw import Axes, Figure, printable
from glintbox.draw_paper import PAGE, PREDICTED, TRUE, attended, heading, outline, picture, sheet
from glintbox.errors import BadInput
from glintbox.records import COORDS, AttentionMaps, Coord


class Looked(NamedTuple):
    """An upright picture, what was asked for, the box written for it, and the attention while writing its coordinates.

    maps: of this one box, with as many heads of each layer as its mean is to be of.
    """

    name: str
    image: Image.Image
    box: Box
    truth: tuple[Box, ...]
    maps: AttentionMaps


def layers_figure(rows: Sequence[Looked], layers: Sequence[int], *, coord: Coord | None = None) -> Figure:
    """A row per picture: with its boxes (red the written one, yellow the true), then the attention of these layers.

    Each map is the mean over the heads of a layer, and over the four coordinates where `coord` is None, scaled to its
    brightest cell, whose share of all attention stands above it.

    Raises:
        BadInput: no row or layer, maps of more than one box, or a layer without maps.
        MissingExtra: matplotlib is not installed.
    """
    if not rows or not layers:
        raise BadInput(f"expected pictures and layers to show, got {len(rows)} and {len(layers)}")
    side = PAGE / (len(layers) + 1)
    heights = [_shape(one) * side for one in rows]
    with sheet(PAGE, sum(heights) + 0.14 * len(rows), tight=True) as figure:
        ratios = dict(height_ratios=heights)
        grid = figure.subplots(len(rows), len(layers) + 1, squeeze=False, gridspec_kw=ratios)
        for panels, one in zip(grid, rows, strict=True):
            _boxed(panels[0], one)
            for axes, layer in zip(panels[1:], layers, strict=True):
                _attention(axes, one, _mean(one, layer, coord), f"layer {layer}")
    return figure


def all_layers_figure(one: Looked, coords: Sequence[Coord] = ("x1", "y1")) -> Figure:
    """The attention of every layer while each of the coordinates was written, one block per coordinate: Figures 6-9.

    Maps are means over the heads of a layer, as in `layers_figure`; the box that was written is drawn thin.

    Raises:
        BadInput: no coordinate, or maps of more than one box.
        MissingExtra: matplotlib is not installed.
    """
    if not coords:
        raise BadInput("expected coordinates to show, got none")
    layers = sorted({head.layer for head in one.maps.heads})
    cols = max(4, math.ceil(len(layers) / 4))
    lines = math.ceil(len(layers) / cols)
    high = lines * (_shape(one) * PAGE / cols + 0.12) + 0.2
    with sheet(PAGE, len(coords) * high, tight=True) as figure:
        blocks = figure.subfigures(len(coords), 1, squeeze=False)[:, 0]
        for block, coord, letter in zip(blocks, coords, "abcd", strict=False):
            block.suptitle(f"({letter}) {coord} of “{printable(one.name)}”", fontsize=8, parse_math=False)
            panels = list(block.subplots(lines, cols, squeeze=False).flat)
            for axes, layer in zip(panels, layers, strict=False):
                _attention(axes, one, _mean(one, layer, coord), f"{layer}")
            for axes in panels[len(layers) :]:
                axes.set_axis_off()
    return figure


def _shape(one: Looked) -> float:
    """Height over width of a panel; very long pictures get less than they ask for."""
    return min(1.6, max(0.5, one.image.height / one.image.width))


def _mean(one: Looked, layer: int, coord: Coord | None) -> Float[Tensor, "row col"]:
    """Shares of attention, mean over the heads of a layer and over one coordinate or all."""
    places = [k for k, head in enumerate(one.maps.heads) if head.layer == layer]
    if len(one.maps.values) != 1 or not places:
        raise BadInput(
            f"expected the maps of one box with heads of layer {layer}, got {len(one.maps.values)} boxes and "
            f"{len(places)} such heads"
        )
    maps = one.maps.values[0][:, places].float().mean(1)
    return maps.mean(0) if coord is None else maps[COORDS.index(coord)]


def _attention(axes: Axes, one: Looked, shares: Float[Tensor, "row col"], title: str) -> None:
    attended(axes, one.image, one.maps.grid, shares)
    outline(axes, one.box, "white", 0.6)
    axes.set_title(f"{title} · {float(shares.max()):.1%}", fontsize=6, pad=1.5)


def _boxed(axes: Axes, one: Looked) -> None:
    picture(axes, one.image.convert("RGB"))
    for box in one.truth:
        outline(axes, box, TRUE, 0.9)
    outline(axes, one.box, PREDICTED, 0.9)
    heading(axes, one.name, points=6)
