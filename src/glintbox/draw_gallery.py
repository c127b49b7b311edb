"""Wins and failures as one figure: true box yellow, greedy's red, the chosen one green; tiny targets enlarged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from glintbox.boxes import Box, Size, overlap
from glintbox.draw import DPI, SMALL, Axes, Figure, matplotlib_parts, printable
from glintbox.evaluate import Case
from glintbox.layout import free_corner, square_around

TRUE, GREEDY, CHOSEN = "#FFE119", "#E6194B", "#2ECC40"
DASHES = (0, (4, 2))
"""Greedy's box is dashed, so that red and green are told apart without their colours."""


class Shown(NamedTuple):
    """A case with its upright picture."""

    image: Image.Image
    query: str
    truth: tuple[Box, ...]
    case: Case


def gallery_figure(shown: Mapping[str, Sequence[Shown]], *, title: str, counts: Mapping[str, int]) -> Figure:
    """One row of pictures per outcome, headed by its name and how many cases it has in all.

    In the corner of each picture the IoU of greedy's and of the chosen box. Outcomes without a case have no row.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    rows = {outcome: cases for outcome, cases in shown.items() if cases}
    cols = max((len(cases) for cases in rows.values()), default=1)
    with mpl.style.context("default"):
        size = (2.7 * cols + 0.2, 3.1 * len(rows) + 0.7)
        figure = mpl.Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        figure.suptitle(title, fontsize=10)
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0] if rows else ()
        for part, (outcome, cases) in zip(parts, rows.items(), strict=True):
            part.suptitle(f"{outcome}: {counts[outcome]} cases", fontsize=9.5)
            panels = part.subplots(1, cols, squeeze=False)[0]
            for axes, one in zip(panels, cases, strict=False):
                _picture(axes, one)
            for axes in panels[len(cases) :]:
                axes.set_axis_off()
        looks = ((TRUE, "solid", "true"), (GREEDY, DASHES, "greedy"), (CHOSEN, "solid", "chosen"))
        keys = [mpl.Line([], [], color=color, lw=2, ls=dashes, label=name) for color, dashes, name in looks]
        figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=9, facecolor="gray")
    return figure


def _picture(axes: Axes, one: Shown) -> None:
    size = Size(*one.image.size)
    rgb = one.image.convert("RGB")
    axes.imshow(np.asarray(rgb), interpolation="bilinear")
    axes.set(xticks=[], yticks=[], xlim=(0, size.width), ylim=(size.height, 0))
    axes.spines[:].set_visible(False)
    query = printable(one.query)
    axes.set_title(query if len(query) <= 34 else f"{query[:33]}…", fontsize=8.5, pad=3, parse_math=False)
    _outlines(axes, one)
    told = f"greedy {one.case.greedy:.2f} · chosen {one.case.chosen:.2f}"
    frame = dict(boxstyle="square,pad=0.25", facecolor="black", edgecolor="none", alpha=0.7)
    axes.text(
        0.02, 0.02, told, transform=axes.transAxes, fontsize=7.5, color="white", va="bottom", bbox=frame, zorder=9
    )
    _enlarged(axes, rgb, one)


def _outlines(axes: Axes, one: Shown) -> None:
    mpl = matplotlib_parts()
    boxes: list[tuple[Box, str, float, Any]] = [(box, TRUE, 1.6, "solid") for box in one.truth]
    boxes += [(one.case.chosen_box, CHOSEN, 1.8, "solid")] if one.case.chosen_box else []
    boxes += [(one.case.greedy_box, GREEDY, 1.6, DASHES)] if one.case.greedy_box else []
    for box, color, width, dashes in boxes:
        under = [mpl.stroke(linewidth=width + 1.2, foreground="black")]
        look = dict(fill=False, edgecolor=color, linewidth=width, linestyle=dashes, path_effects=under)
        axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, **look))


def _enlarged(axes: Axes, image: Image.Image, one: Shown) -> None:
    """The surroundings of a small true box again, in the corner that hides least."""
    size, [target, *_] = Size(*image.size), one.truth
    if target.area >= SMALL * size.width * size.height:
        return
    boxes = [box for box in (one.case.chosen_box, one.case.greedy_box) if box]
    region = square_around([target, *(box for box in boxes if overlap(box, target) > 0)], size)
    side = 0.45 * min(size)
    if side < 1.25 * region.width:
        return
    told = Box(0, 0.9 * size.height, 0.75 * size.width, size.height)  # the words about IoU
    corner = free_corner(side, region, [*((box, 5.0) for box in (*boxes, target)), (told, 20.0)], size)
    inset = axes.inset_axes((corner.x1, corner.y1, side, side), transform=axes.transData)
    cut = (int(region.x1), int(region.y1), math.ceil(region.x2), math.ceil(region.y2))
    inset.imshow(np.asarray(image.crop(cut)), extent=(cut[0], cut[2], cut[3], cut[1]), interpolation="bicubic")
    _outlines(inset, one)
    inset.set(xlim=(region.x1, region.x2), ylim=(region.y2, region.y1), xticks=[], yticks=[])
    inset.spines[:].set(edgecolor="white", linewidth=1.5)
    axes.indicate_inset((region.x1, region.y1, region.width, region.height), inset, edgecolor="white", linewidth=0.8)
