"""What the paper's figures have in common: the width of a column, print resolution, red and yellow boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from glintbox.boxes import Box
from glintbox.draw import Axes, Figure, matplotlib_parts, printable
from glintbox.geometry import TokenGrid

COLUMN, PAGE = 3.35, 6.9
"""Inches: the width of one column of a paper, and of both."""

PRINT = 200
"""Dots per inch: a gallery stays below 2 MB."""

PREDICTED, TRUE = "#E6194B", "#FFE119"
"""Red and yellow, as in the paper; one is dark and one light, and black beneath keeps both apart from any picture."""


@contextmanager
def sheet(width: float, height: float, *, tight: bool = False) -> Iterator[Figure]:
    """An empty figure of these inches to draw on; tight: pictures almost touch."""
    mpl = matplotlib_parts()
    with mpl.style.context("default"):
        figure = mpl.Figure(figsize=(width, height), dpi=PRINT, facecolor="white", layout="constrained")
        if tight:
            figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
        yield figure


def outline(axes: Axes, box: Box, color: str, width: float) -> None:
    """A box in the coordinates of the picture, with black beneath its line."""
    mpl = matplotlib_parts()
    under = [mpl.stroke(linewidth=width + 0.7, foreground="black")]
    look = dict(fill=False, edgecolor=color, linewidth=width, joinstyle="miter", path_effects=under)
    axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, **look))


def heading(axes: Axes, words: str, *, points: float, letters: int = 22) -> None:
    """Words above a panel, cut where they are too long; no character of them is taken for markup."""
    text = printable(words)
    text = text if len(text) <= letters else f"{text[: letters - 1]}…"
    axes.set_title(text, fontsize=points, pad=2, parse_math=False)


def picture(axes: Axes, image: Image.Image) -> None:
    """The picture with no more pixels than are printed, in its own coordinates."""
    small = image.copy()
    small.thumbnail((600, 600), reducing_gap=2.0)
    axes.imshow(np.asarray(small), extent=(0, image.width, image.height, 0), cmap="gray", vmin=0, vmax=255)
    axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def attended(axes: Axes, image: Image.Image, grid: TokenGrid, shares: Float[Tensor, "row col"]) -> None:
    """Attention over the dimmed picture, scaled to its brightest cell; padded pictures' grids reach beyond it."""
    picture(axes, image.convert("L").point([value * 11 // 20 for value in range(256)]))
    values, region = shares.numpy(), grid.region
    bright = values / (values.max() or 1.0)
    extent = (region.x1, region.x2, region.y2, region.y1)
    look = dict(cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
    axes.imshow(bright, extent=extent, alpha=0.15 + 0.75 * bright, **look)
    axes.set(xlim=(0, image.width), ylim=(image.height, 0))
