"""The failures of localization heads as one figure: truth green, what was found orange, its cells blue."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from glintbox.boxes import Box
from glintbox.draw import CANDIDATE, CHOSEN, DPI, TRUTH, printable
from glintbox.masks import decode
from glintbox.records import Rle

RIVAL = "#FFFFFF"
SIDE = 2.5
"""Inches: a panel."""


class Shown(NamedTuple):
    """A case. truth: its boxes, or where shapes are compared its mask. rivals: what is not meant though of its kind.

    box, hull: what was found; cells: the same without its hull. words: how well it fits.
    """

    image: Image.Image
    text: str
    boxes: tuple[Box, ...]
    rivals: tuple[Box, ...]
    truth: Rle | None
    box: Box | None
    cells: Rle
    hull: Rle | None
    words: str


def failures_figure(rows: Mapping[str, Sequence[Shown]]) -> Any:
    """A row of pictures per kind of failure."""
    rows = {name: cases for name, cases in rows.items() if cases}
    cols = max(map(len, rows.values()), default=1)
    figure = Figure(
        figsize=(SIDE * cols + 0.2, (SIDE + 0.75) * len(rows) + 0.5), dpi=DPI, facecolor="white", layout="constrained"
    )
    places = figure.subfigures(len(rows), 1, squeeze=False)[:, 0] if rows else ()
    for place, (name, cases) in zip(places, rows.items(), strict=True):
        place.suptitle(name, fontsize=11, fontweight="bold")
        panels = place.subplots(1, cols, squeeze=False)[0]
        for axes, case in zip(panels, cases, strict=False):
            _panel(axes, case)
        for axes in panels[len(cases) :]:
            axes.set_axis_off()
    under = [withStroke(linewidth=3.4, foreground="#444444")]
    keys = [
        Line2D([], [], color=TRUTH.color, lw=2, ls=TRUTH.dashes, label="true box, or outline of the true mask"),
        Line2D([], [], color=RIVAL, lw=1.4, ls=(0, (3, 2)), label="same category, not meant", path_effects=under),
        Line2D([], [], color=CHOSEN.color, lw=2, label="found: box, or outline of the hull"),
        Patch(color=CANDIDATE.color, alpha=0.55, label="found: cells, before the hull"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _panel(axes: Any, case: Shown) -> None:
    wide, high = case.image.size
    axes.imshow(np.asarray(case.image.convert("RGB")))
    axes.set(xticks=[], yticks=[], xlim=(0, wide), ylim=(high, 0))
    axes.spines[:].set_visible(False)
    axes.set_title(textwrap.fill(printable(case.text), 30), fontsize=8.5, pad=3, parse_math=False)
    tint = np.zeros((high, wide, 4))
    tint[decode(case.cells)] = (0.34, 0.71, 0.91, 0.45)
    axes.imshow(tint, extent=(0, wide, high, 0), interpolation="nearest")
    for box in case.rivals:
        _box(axes, box, RIVAL, 1.2, (0, (3, 2)))
    if case.truth is None:
        for box in case.boxes:
            _box(axes, box, TRUTH.color, 2.0, TRUTH.dashes)
    else:
        _contour(axes, case.truth, TRUTH.color)
    if case.truth is not None and case.hull is not None:
        _contour(axes, case.hull, CHOSEN.color)
    elif case.box is not None:
        _box(axes, case.box, CHOSEN.color, 2.0, "solid")
    frame = dict(boxstyle="square,pad=0.25", facecolor="black", edgecolor="none", alpha=0.75)
    axes.text(
        0.02, 0.02, case.words, transform=axes.transAxes, fontsize=8, color="white", va="bottom", bbox=frame, zorder=9
    )


def _box(axes: Any, box: Box, color: str, width: float, dashes: Any) -> None:
    under = [withStroke(linewidth=width + 1.4, foreground="#222222" if color == RIVAL else "white")]
    look = dict(fill=False, edgecolor=color, linewidth=width, linestyle=dashes, path_effects=under)
    axes.add_patch(Rectangle((box.x1, box.y1), box.width, box.height, **look))


def _contour(axes: Any, mask: Rle, color: str) -> None:
    pixels = np.pad(decode(mask).astype(float), 1)
    across, down = np.arange(-1, mask.size.width + 1) + 0.5, np.arange(-1, mask.size.height + 1) + 0.5
    for line, width in (("white", 3.0), (color, 1.8)):
        axes.contour(across, down, pixels, levels=[0.5], colors=line, linewidths=width)
