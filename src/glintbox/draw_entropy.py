"""The paper's curves by layer: entropy of attention by IoU group (Figures 4 and 10), and Equation 2 behind Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glintbox.analysis.importance import CriticalLayers, Importance
from glintbox.analysis.separation import GROUPS, Group, LayerEntropies
from glintbox.draw import Axes, Figure, matplotlib_parts
from glintbox.draw_paper import COLUMN, PAGE, sheet
from glintbox.errors import BadInput
from glintbox.records import COORDS, Coord

LOOKS: Mapping[Group, tuple[str, str, str]] = {
    "high": ("#0072B2", "o", "solid"),
    "low": ("#E69F00", "s", "dashed"),
    "zero": ("#CC3311", "^", "dotted"),
}
"""Colour (told apart by colour-blind eyes), marker and dashes of each IoU group."""

OF_COORD: Mapping[Coord, tuple[str, str]] = {
    "x1": ("#0072B2", "o"),
    "y1": ("#D55E00", "s"),
    "x2": ("#009E73", "^"),
    "y2": ("#CC79A7", "D"),
}


def entropy_figure(
    found: LayerEntropies, *, coords: Sequence[Coord] = COORDS, layers: Sequence[int] = (), marked: Sequence[int] = ()
) -> Figure:
    """Mean entropy of each layer by IoU group, a panel per coordinate: Figure 10; with two coordinates Figure 4.

    Whiskers are 95 % intervals of the means over cases, bands one standard deviation of candidates. layers: those to
    show, none = all. marked: the critical ones, on gray ground.

    Raises:
        BadInput: a layer that was not measured.
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    shown = list(layers) or list(found.layers)
    if odd := sorted({*shown, *marked} - set(found.layers)):
        raise BadInput(f"expected layers among {found.layers[0]} to {found.layers[-1]}, got {odd}")
    narrow = len(coords) < 3
    with sheet(*((COLUMN, 1.8) if narrow else (PAGE, 3.9))) as figure:
        panels = figure.subplots(*((1, len(coords)) if narrow else (2, 2)), sharex=True, squeeze=False).flat
        for axes, coord in zip(panels, coords, strict=True):
            _groups(axes, found, COORDS.index(coord), shown)
            _dress(axes, shown, marked)
            axes.set_title(coord, fontsize=8, pad=3)
        figure.supxlabel("layer", fontsize=8)
        figure.supylabel("entropy, nats", fontsize=8)
        keys = [
            mpl.Line([], [], color=color, marker=marker, ls=dashes, lw=1.2, ms=3, label=_words(found, group))
            for group, (color, marker, dashes) in LOOKS.items()
        ]
        look = (
            dict(fontsize=6.3, handlelength=1.9, columnspacing=0.9, handletextpad=0.4) if narrow else dict(fontsize=7.5)
        )
        figure.legend(handles=keys, loc="outside upper center", ncols=3, frameon=False, **look)
    return figure


def _groups(axes: Axes, found: LayerEntropies, coord: int, shown: Sequence[int]) -> None:
    """One line per group, a little apart, so that whiskers do not cover each other."""
    places = [found.layers.index(layer) for layer in shown]
    for group, shift in zip(GROUPS, (-0.12, 0.0, 0.12), strict=True):
        color, marker, dashes = LOOKS[group]
        mean, spread, error = (part[group][coord, places].numpy() for part in (found.mean, found.spread, found.error))
        x = np.arange(len(shown)) + shift
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.1, linewidth=0)
        look = dict(color=color, marker=marker, ms=3, lw=1.2, ls=dashes, elinewidth=0.8, capsize=0)
        axes.errorbar(x, mean, yerr=1.96 * error, **look)


def _words(found: LayerEntropies, group: Group) -> str:
    range_of = {"high": f"IoU > {found.tau_high:g}", "low": f"0 < IoU ≤ {found.tau_low:g}", "zero": "IoU = 0"}
    return f"{range_of[group]} ({found.count[group]})"


def importance_figure(found: Importance, critical: CriticalLayers) -> Figure:
    """Equation 2 by layer: a thin line per coordinate, bold their mean, which layers are ranked by.

    Filled dots are the layers of the highest score (Table 1), the gray ground is the contiguous range of the text.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    shown = list(found.layers)
    x = np.arange(len(shown))
    with sheet(COLUMN, 2.1) as figure:
        axes = figure.subplots()
        for coord, row in zip(COORDS, found.by_layer.numpy(), strict=True):
            color, marker = OF_COORD[coord]
            axes.plot(x, row, color=color, marker=marker, ms=2.5, lw=0.8, label=coord)
        score = found.score.numpy()
        axes.plot(x, score, color="black", lw=1.6, label="mean")
        top = [shown.index(layer) for layer in critical.top]
        axes.plot(top, score[top], "o", color="black", ms=4.5, label=f"top {len(top)}")
        _dress(axes, shown, critical.range)
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.yaxis.get_offset_text().set_fontsize(7)
        axes.set_xlabel("layer", fontsize=8)
        what = "∂ loss" if found.of == "loss" else "∂ predicted IoU"
        axes.set_ylabel(f"max |{what} / ∂ attention|", fontsize=8)
        look = dict(fontsize=7, handlelength=1.4, columnspacing=1, handletextpad=0.4)
        figure.legend(loc="outside upper center", ncols=6, frameon=False, **look)
    return figure


def _dress(axes: Axes, shown: Sequence[int], marked: Sequence[int]) -> None:
    """Layer numbers below, gray ground under the marked ones, a light grid, no frame."""
    for layer in marked:
        if layer in shown:
            at = shown.index(layer)
            axes.axvspan(at - 0.5, at + 0.5, color="#EEEEEE", linewidth=0, zorder=0)
    step = max(1, round(len(shown) / 10))
    axes.set_xticks(range(0, len(shown), step), shown[::step])
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.tick_params(labelsize=7, length=2)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
