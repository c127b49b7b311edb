"""A localization as a figure: the picture with box and mask, beside it where the localization heads look."""

from __future__ import annotations

import numpy as np
from PIL import Image

from glintbox.assembly import Assembly, Localized, assemble
from glintbox.boxes import Box, Size
from glintbox.draw import CHOSEN, DPI, TRUTH, Axes, Figure, Style, matplotlib_parts, printable
from glintbox.errors import BadInput
from glintbox.masks import decode
from glintbox.records import Grounding, TextMaps

SIDE = 4.6
"""Inches: the longer side of a panel."""


def locate_figure(
    image: Image.Image,
    grounding: Grounding,
    *,
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
    truth: tuple[Box, ...] = (),
) -> Figure:
    """The picture with its box (bold) and its mask (tinted), and true boxes dotted; beside it the combined map.

    The map is scaled to its brightest cell, whose share of the heads' attention on the picture stands above it; the
    region that was cut from it is outlined. assembly: with which the box was found. `image` is the upright picture that
    was asked about; 150 dots per inch.

    Raises:
        BadInput: `image` has another size than the picture that was asked about, or no text map was kept.
        MissingExtra: matplotlib is not installed.
    """
    found, size = grounding.found, Size(*image.size)
    if size != found.image or found.text_map is None:
        raise BadInput(
            f"expected the picture that was asked about, of {found.image}, and the maps of its localization heads, got "
            f"one of {size} and {'no maps' if found.text_map is None else 'maps'}; draw what glintbox.localize gives"
        )
    region = assemble(found.text_map.values, found.text_map.grid, assembly, image=size)
    mpl = matplotlib_parts()
    wide, high = _panel(size)
    rows, cols = (2, 1) if wide > 2 * high else (1, 2)
    with mpl.style.context("default"):
        extent = (max(cols * wide + 0.3, 4.2), rows * (high + 0.25) + 0.6)
        figure = mpl.Figure(figsize=extent, dpi=DPI, facecolor="white", layout="constrained")
        figure.suptitle(_heading(grounding, found.text_map), fontsize=9, parse_math=False)
        left, right = figure.subplots(rows, cols).flat
        _picture(left, image.convert("RGB"))
        _answer(left, grounding, truth)
        _picture(right, image.convert("L").point([value * 6 // 10 for value in range(256)]))
        _attention(right, found.text_map, region, size)
    return figure


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
    size = grounding.found.image
    for best in grounding.boxes[:1]:
        if best.mask is not None:
            tint = np.zeros((size.height, size.width, 4))
            tint[decode(best.mask)] = (0.34, 0.71, 0.91, 0.45)
            axes.imshow(tint, extent=(0, size.width, size.height, 0), interpolation="nearest")
        _outline(axes, best.box, CHOSEN)
        shown = "" if best.score is None else f" · {best.score:.0%} of the attention"
        axes.set_title(f"{', '.join(f'{value:.0f}' for value in best.box)}{shown}", fontsize=8.5, pad=3)
    for box in truth:
        _outline(axes, box, TRUTH)


def _attention(axes: Axes, looked: TextMaps, region: Localized | None, size: Size) -> None:
    """Shares of the heads' attention on the picture, and the outline of the region's cells."""
    area = looked.grid.region
    extent = (area.x1, area.x2, area.y2, area.y1)
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
    axes.set(xlim=(0, size.width), ylim=(size.height, 0))
    axes.set_title(f"where the heads look · max {shares.max():.1%}", fontsize=8.5, pad=3)


def _outline(axes: Axes, box: Box, style: Style) -> None:
    mpl = matplotlib_parts()
    white = mpl.stroke(linewidth=style.width + 1.2, foreground="white")
    look = dict(fill=False, edgecolor=style.color, linewidth=style.width, linestyle=style.dashes, path_effects=[white])
    axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, joinstyle="miter", **look))
