"""A localization as a figure: the picture with box and mask, beside it where the localization heads look."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from PIL import Image

from glintbox.assembly import Assembly, Localized, assemble
from glintbox.boxes import Box, Size
from glintbox.draw import CANDIDATE, CHOSEN, DPI, TRUTH, Axes, Figure, Style, matplotlib_parts, printable
from glintbox.errors import BadInput
from glintbox.masks import decode
from glintbox.records import Grounding, Rle, TextMaps

SIDE = 4.6
"""Inches: the longer side of a panel."""


SPANS = ("#D55E00", "#0072B2", "#CC79A7", "#E69F00", "#56B4E9")
"""Box and mask of each of several spans, in turn; green is the truth's."""

ACROSS = 4
"""Panels beside each other, at most."""


def locate_figure(
    image: Image.Image,
    grounding: Grounding,
    *,
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
    truth: tuple[Box, ...] = (),
) -> Figure:
    """The picture with its box (bold) and its mask (tinted), and true boxes dotted; beside it the combined map.

    Each of several spans has a colour, its words at its box, and a map of its own. A map is scaled to its brightest
    cell, whose share of the heads' attention on the picture stands above it; the region that was cut from it is
    outlined. assembly: with which the boxes were found. `image` is the upright picture that was asked about; 150 dots
    per inch.

    Raises:
        BadInput: `image` has another size than the picture that was asked about, or no text map was kept.
        MissingExtra: matplotlib is not installed.
    """
    found, size = grounding.found, Size(*image.size)
    looked = [one.maps for one in found.span_maps] or [one for one in (found.text_map,) if one]
    if size != found.image or not looked:
        raise BadInput(
            f"expected the picture that was asked about, of {found.image}, and the maps of its localization heads, got "
            f"one of {size} and {'maps' if looked else 'no maps'}; draw what glintbox.localize gives"
        )
    mpl, (wide, high) = matplotlib_parts(), _panel(size)
    cols = 1 if wide > 2 * high else min(1 + len(looked), ACROSS)
    rows = -(-(1 + len(looked)) // cols)
    with mpl.style.context("default"):
        extent = (max(cols * wide + 0.3, 4.2), rows * (high + 0.25) + 0.6)
        figure = mpl.Figure(figsize=extent, dpi=DPI, facecolor="white", layout="constrained")
        figure.suptitle(_heading(grounding, looked[0]), fontsize=9, parse_math=False)
        first, *others = figure.subplots(rows, cols).flat
        _picture(first, image.convert("RGB"))
        _answer(first, grounding, truth)
        for axes, maps, words in zip(others, looked, _titles(grounding), strict=False):
            _picture(axes, image.convert("L").point([value * 6 // 10 for value in range(256)]))
            _attention(axes, maps, assemble(maps.values, maps.grid, assembly, image=size), words)
        _empty(others[len(looked) :])
    return figure


def _empty(panels: Sequence[Axes]) -> None:
    for axes in panels:
        axes.set_axis_off()


def _titles(grounding: Grounding) -> list[str]:
    """What stands above each map."""
    return [f"“{_short(one.text)}”" for one in grounding.found.span_maps] or ["where the heads look"]


def _short(words: str) -> str:
    words = printable(words)
    return words if len(words) <= 34 else f"{words[:33]}…"


def _panel(size: Size) -> tuple[float, float]:
    """Inches; very long pictures get no narrower than a fifth of their length."""
    long = max(size)
    return max(SIDE * size.width / long, SIDE / 5), max(SIDE * size.height / long, SIDE / 5)


def _heading(grounding: Grounding, looked: TextMaps) -> str:
    nothing = "" if grounding.boxes else " · not found"
    heads = ", ".join(map(str, looked.heads))
    return f"“{printable(grounding.found.query)}”{nothing}\n{heads} · {printable(grounding.found.setting.model)}"


def _picture(axes: Axes, image: Image.Image) -> None:
    small = image.copy()
    small.thumbnail((2 * DPI * SIDE, 2 * DPI * SIDE), reducing_gap=2.0)
    axes.imshow(np.asarray(small), extent=(0, image.width, image.height, 0), cmap="gray", vmin=0, vmax=255)
    axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _answer(axes: Axes, grounding: Grounding, truth: tuple[Box, ...]) -> None:
    spans = [one.text for one in grounding.found.span_maps]
    colors = dict(zip(spans, cycle(SPANS), strict=False))
    for best in grounding.boxes if spans else grounding.boxes[:1]:
        color = colors.get(best.label or "", CHOSEN.color)
        if best.mask is not None:
            _tint(axes, best.mask, color if spans else CANDIDATE.color)
        _outline(axes, best.box, CHOSEN._replace(color=color))
        if spans:
            frame = dict(boxstyle="square,pad=0.2", facecolor=color, edgecolor="none")
            axes.text(
                best.box.x1, best.box.y1, _short(best.label or ""), fontsize=7.5, color="white", va="top",
                bbox=frame, parse_math=False, clip_on=True,
            )  # fmt: skip
    for box in truth:
        _outline(axes, box, TRUTH)
    axes.set_title(_told(grounding), fontsize=8.5, pad=3)


def _told(grounding: Grounding) -> str:
    """The box and its score, or how many of several spans have one."""
    if spans := grounding.found.span_maps:
        return f"{len(grounding.boxes)} of {len(spans)} spans found"
    for best in grounding.boxes[:1]:
        shown = "" if best.score is None else f" · {best.score:.0%} of the attention"
        return f"{', '.join(f'{value:.0f}' for value in best.box)}{shown}"
    return ""


def _tint(axes: Axes, mask: Rle, color: str) -> None:
    tint = np.zeros((mask.size.height, mask.size.width, 4))
    tint[decode(mask)] = (*(int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)), 0.45)
    axes.imshow(tint, extent=(0, mask.size.width, mask.size.height, 0), interpolation="nearest")


def _attention(axes: Axes, looked: TextMaps, region: Localized | None, words: str) -> None:
    """Shares of the heads' attention on the picture, and the outline of the region's cells."""
    area = looked.grid.region
    extent, limits = (area.x1, area.x2, area.y2, area.y1), (axes.get_xlim(), axes.get_ylim())
    shares = (looked.values.sum(0) if region is None else region.combined).numpy()
    shares = shares / (shares.sum() or 1.0)
    shown = shares / (shares.max() or 1.0)
    axes.imshow(shown, extent=extent, cmap="inferno", vmin=0, vmax=1, alpha=0.1 + 0.75 * shown, interpolation="nearest")
    if region is not None:
        xs, ys = (np.linspace(low, high, 20 * n + 1) for low, high, n in (
            (area.x1, area.x2, looked.grid.cols), (area.y1, area.y2, looked.grid.rows),
        ))  # fmt: skip
        fine = np.kron(region.mask.numpy(), np.ones((20, 20)))
        middles = ((xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2)
        axes.contour(*middles, fine, levels=[0.5], colors="white", linewidths=1.2)
    axes.set(xlim=limits[0], ylim=limits[1])
    axes.set_title(f"{words} · max {shares.max():.1%}", fontsize=8.5, pad=3, parse_math=False)


def _outline(axes: Axes, box: Box, style: Style) -> None:
    mpl = matplotlib_parts()
    white = mpl.stroke(linewidth=style.width + 1.2, foreground="white")
    look = dict(fill=False, edgecolor=style.color, linewidth=style.width, linestyle=style.dashes, path_effects=[white])
    axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, joinstyle="miter", **look))
