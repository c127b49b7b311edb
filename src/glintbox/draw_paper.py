"""What the paper's figures have in common: the width of a column, print resolution, red and yellow boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from glintbox.boxes import Box
from glintbox.draw import Axes, Figure, matplotlib_parts, printable

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
