"""Greedy above ours, case by case: Figure 5 and the galleries 11-15; large against small targets: Figure 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from glintbox.boxes import Box, Size, overlap
from glintbox.draw import Axes, Figure, matplotlib_parts
from glintbox.draw_paper import PAGE, PREDICTED, TRUE, heading, outline, sheet
from glintbox.errors import BadInput
from glintbox.layout import free_corner, square_around
from glintbox.metrics import Interval

CONTEXT = 0.3
"""Pictures are cut to a square of at least this share of their shorter side."""


class Told(NamedTuple):
    """A case: an upright picture, its true boxes, and per method the box it chose (None = none) with its IoU."""

    query: str
    image: Image.Image
    truth: tuple[Box, ...]
    chosen: Mapping[str, tuple[Box | None, float]]


class Bar(NamedTuple):
    """A share in [0, 1] with its 95 % interval."""

    value: float
    interval: Interval


def pairs_figure(cases: Sequence[Told], *, methods: Sequence[str], cols: int = 6) -> Figure:
    """A column per case, a line per method (the paper: Greedy above Ours), in as many blocks as `cols` asks for.

    Yellow is the true box, red the predicted one, its IoU in the corner. A small target is shown with its surroundings,
    the same for all methods; the little picture says where that is.

    Raises:
        BadInput: no case, or a case without one of the methods.
        MissingExtra: matplotlib is not installed.
    """
    if not cases or (odd := [case.query for case in cases if set(methods) - set(case.chosen)]):
        raise BadInput(
            f"expected cases with {' and '.join(methods)}, got {len(cases)} and none in {odd if cases else []}"
        )
    blocks = [cases[k : k + cols] for k in range(0, len(cases), cols)]
    wide, side = min(cols, len(cases)), (PAGE - 0.17) / cols
    with sheet(wide * side + 0.17, len(blocks) * (len(methods) * side + 0.15), tight=True) as figure:
        for part, block in zip(figure.subfigures(len(blocks), 1, squeeze=False)[:, 0], blocks, strict=True):
            grid = part.subplots(len(methods), wide, squeeze=False)
            for line, method in zip(grid, methods, strict=True):
                line[0].set_ylabel(method, fontsize=8, labelpad=2)
                for axes, case in zip(line, block, strict=False):
                    _case(axes, case, method)
                for axes in line[len(block) :]:
                    axes.set_axis_off()
            for axes, case in zip(grid[0], block, strict=False):
                heading(axes, case.query, points=7)
    return figure


def gap_figure(
    pictures: Sequence[tuple[Told, str, str]], bars: Mapping[str, Mapping[str, Mapping[str, Bar]]]
) -> Figure:
    """Large targets against small ones, by example and in numbers: Figure 1.

    pictures: a case, the method whose box is shown, and words below it. bars: measure → size of target → method → bar.

    Raises:
        BadInput: nothing to show on one of the sides.
        MissingExtra: matplotlib is not installed.
    """
    if not pictures or not bars:
        raise BadInput(f"expected pictures and bars, got {len(pictures)} and {len(bars)}")
    mpl = matplotlib_parts()
    with sheet(PAGE, 1.95, tight=True) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(len(pictures), 1.1 * len(bars)))
        panels = left.subplots(1, len(pictures), squeeze=False)[0]
        for axes, (case, method, words) in zip(panels, pictures, strict=True):
            _case(axes, case, method)
            heading(axes, case.query, points=7)
            axes.set_xlabel(words, fontsize=7, labelpad=3)
        methods = list(dict.fromkeys(name for sizes in bars.values() for of in sizes.values() for name in of))
        for axes, (measure, sizes) in zip(right.subplots(1, len(bars), squeeze=False)[0], bars.items(), strict=True):
            _bars(axes, sizes, methods)
            axes.set_title(measure, fontsize=8, pad=3)
        keys = [mpl.Rectangle((0, 0), 1, 1, color=color) for color in _colors(methods).values()]
        right.legend(keys, methods, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=7)
    return figure


def _bars(axes: Axes, sizes: Mapping[str, Mapping[str, Bar]], methods: Sequence[str]) -> None:
    wide, colors = 0.8 / len(methods), _colors(methods)
    for place, of in enumerate(sizes.values()):
        for name, bar in of.items():
            x = place - 0.4 + (methods.index(name) + 0.5) * wide
            axes.bar(x, 100 * bar.value, 0.92 * wide, color=colors[name])
            axes.plot([x, x], [100 * bar.interval.low, 100 * bar.interval.high], color="black", linewidth=0.8)
            axes.text(x, 2, f"{100 * bar.value:.0f}", color="white", ha="center", va="bottom", fontsize=6.5)
    axes.set_xticks(range(len(sizes)), list(sizes), fontsize=7)
    axes.set(ylim=(0, 100), yticks=range(0, 101, 25))
    axes.tick_params(labelsize=7, length=2)
    axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _colors(methods: Sequence[str]) -> dict[str, str]:
    return dict(zip(methods, ("#777777", "#0072B2", "#D55E00", "#009E73"), strict=False))


def _case(axes: Axes, case: Told, method: str) -> None:
    """The surroundings of the target with the true and the chosen box, and how well they fit."""
    box, iou = case.chosen[method]
    size, window = Size(*case.image.size), _window(case)
    cut = (int(window.x1), int(window.y1), math.ceil(window.x2), math.ceil(window.y2))
    part = case.image.convert("RGB").crop(cut)
    part.thumbnail((500, 500), reducing_gap=2.0)
    axes.imshow(np.asarray(part), extent=(cut[0], cut[2], cut[3], cut[1]), interpolation="bilinear")
    for true in case.truth:
        outline(axes, true, TRUE, 1.3)
    if box is not None:
        outline(axes, box, PREDICTED, 1.3)
    axes.set(xlim=(window.x1, window.x2), ylim=(window.y2, window.y1), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    told = f"IoU {iou:.2f}" if box is not None else "no box"
    frame = dict(boxstyle="square,pad=0.2", facecolor="black", edgecolor="none", alpha=0.75)
    place = dict(transform=axes.transAxes, va="top", zorder=9)
    axes.text(0.03, 0.97, told, fontsize=6.5, color="white", bbox=frame, **place)
    if window.area < 0.9 * size.width * size.height:
        inset = _whereabouts(axes, case, window)
        if box is not None and overlap(box, window) == 0:
            outline(inset, box, PREDICTED, 0.7)


def _window(case: Told) -> Box:
    """What is shown: a square around the true boxes and those predicted near them, the same for every method."""
    size = Size(*case.image.size)
    near = square_around(case.truth, size)
    boxes = [box for box, _ in case.chosen.values() if box is not None and overlap(box, near) > 0]
    window = square_around([*case.truth, *boxes], size)
    side = min(max(window.width, CONTEXT * min(size)), float(min(size)))
    x = min(max((window.x1 + window.x2 - side) / 2, 0.0), size.width - side)
    y = min(max((window.y1 + window.y2 - side) / 2, 0.0), size.height - side)
    return Box(x, y, x + side, y + side)


def _whereabouts(axes: Axes, case: Told, window: Box) -> Axes:
    """The whole picture, small, in the corner that hides least, with what is shown of it framed."""
    size, side = Size(*case.image.size), 0.32 * window.width
    boxes = [box for box, _ in case.chosen.values() if box is not None]
    inside = [_moved(box, window) for box in (*case.truth, *boxes) if overlap(box, window) > 0]
    view = Size(math.ceil(window.width), math.ceil(window.height))
    words = Box(0, 0, 0.6 * view.width, 0.2 * view.height)
    corner = free_corner(side, inside[0], [*((box, 5.0) for box in inside), (words, 20.0)], view)
    wide, high = side * size.width / max(size), side * size.height / max(size)
    x = corner.x1 if corner.x1 == 0 else corner.x2 - wide  # into the corner, whatever the shape
    y = corner.y1 if corner.y1 == 0 else corner.y2 - high
    inset = axes.inset_axes((window.x1 + x, window.y1 + y, wide, high), transform=axes.transData)
    small = case.image.convert("RGB")
    small.thumbnail((120, 120), reducing_gap=2.0)
    inset.imshow(np.asarray(small), extent=(0, size.width, size.height, 0))
    outline(inset, window, "white", 0.7)
    inset.set(xticks=[], yticks=[], xlim=(0, size.width), ylim=(size.height, 0))
    inset.spines[:].set(edgecolor="white", linewidth=0.7)
    return inset


def _moved(box: Box, window: Box) -> Box:
    return Box(box.x1 - window.x1, box.y1 - window.y1, box.x2 - window.x1, box.y2 - window.y1)
