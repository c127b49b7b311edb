"""Reports as figures: accuracy by method, temperature and size of target; how well each head separates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from glintbox.draw import DPI, Axes, Figure, matplotlib_parts
from glintbox.errors import BadInput
from glintbox.evaluate import ALL, GREEDY, ORACLE, Evaluation, Report, sizes_of
from glintbox.metrics import Interval
from glintbox.records import COORDS, Head, HeadMap, HeadSeparation

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind eyes tell apart."""


def report_figure(evaluation: Evaluation) -> Figure:
    """Acc@0.5 of every method with its 95 % interval: a panel per size of target, a colour per temperature.

    Greedy's accuracy is the dashed line; the best of the samples stands on top, which no selector can pass.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    sizes = sizes_of(evaluation)
    methods = list(dict.fromkeys(report.method for report in evaluation.reports))
    temperatures = list(dict.fromkeys(report.temperature for report in evaluation.reports))
    with mpl.style.context("default"):
        high = 1.5 + 0.09 * (len(methods) + 1) * (1.6 + len(temperatures))
        figure = mpl.Figure(figsize=(2.2 + 3.3 * len(sizes), high), dpi=DPI, facecolor="white", layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            reports = [report for report in evaluation.reports if report.size == size]
            _accuracies(axes, reports, methods, temperatures)
            axes.set_title(f"{_words(size)}, n = {reports[0].n}", fontsize=10)
        panels[0].set_yticks(range(len(methods) + 1), [ORACLE, *methods], fontsize=9)
        panels[0].set_ylim(len(methods) + 0.6, -0.6)
        keys = [
            mpl.Line([], [], color=color, marker="o", markersize=4.5, label=f"T = {temperature:g}")
            for color, temperature in zip(_colors(temperatures), temperatures, strict=True)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=9)
    return figure


def _accuracies(axes: Axes, reports: Sequence[Report], methods: Sequence[str], temperatures: Sequence[float]) -> None:
    """One panel: dots with intervals, one row per method, temperatures a little apart."""
    offsets = np.linspace(-0.26, 0.26, len(temperatures)) if len(temperatures) > 1 else [0.0]
    for temperature, color, off in zip(temperatures, _colors(temperatures), offsets, strict=True):
        these = {report.method: report for report in reports if report.temperature == temperature}
        first = next(iter(these.values()))
        axes.axvline(100 * first.greedy, color="#777777", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        rows = [(methods.index(name) + 1, r.acc_at_50, r.acc_interval) for name, r in these.items()]
        for row, value, ends in [(0, first.oracle, first.oracle_interval), *rows]:
            axes.plot([100 * ends.low, 100 * ends.high], [row + off] * 2, color=color, linewidth=1.6)
            axes.plot([100 * value], [row + off], "o", color=color, markersize=4.5)
    axes.set_xlabel("Acc@0.5 in %, 95 % interval", fontsize=9)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axhline(0.5, color="#bbbbbb", linewidth=0.8)
    axes.tick_params(labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def sizes_figure(evaluation: Evaluation) -> Figure | None:
    """Large targets against small ones, as Figure 1 of the paper: greedy, the first selector named, the best sample.

    At the first temperature, with 95 % intervals; None where all targets are of one size.
    """
    sizes = [size for size in sizes_of(evaluation) if size != ALL][::-1]
    if len(sizes) < 2:
        return None
    mpl = matplotlib_parts()
    like = evaluation.reports[0].temperature
    reports = [report for report in evaluation.reports if report.temperature == like]
    names = list(dict.fromkeys(report.method for report in reports))
    shown = [name for name in names if name == GREEDY][:1] + [name for name in names if name != GREEDY][:1]
    with mpl.style.context("default"):
        figure = mpl.Figure(figsize=(1.6 + 2.0 * len(sizes), 3.6), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for place, size in enumerate(sizes):
            of = {report.method: report for report in reports if report.size == size}
            bars = [(name, of[name].acc_at_50, of[name].acc_interval) for name in shown]
            first = of[shown[0]]
            _bars(axes, place, [*bars, (ORACLE, first.oracle, first.oracle_interval)])
        counts = {report.size: report.n for report in reports}
        axes.set_xticks(range(len(sizes)), [f"{_words(size)}\nn = {counts[size]}" for size in sizes], fontsize=9)
        axes.set(ylim=(0, 102), yticks=range(0, 101, 20))
        axes.set_ylabel(f"Acc@0.5 in % (T = {like:g})", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        keys = [mpl.Rectangle((0, 0), 1, 1, color=color) for color in PALETTE[: len(shown) + 1]]
        figure.legend(keys, [*shown, ORACLE], loc="outside upper center", ncols=len(keys), frameon=False, fontsize=9)
    return figure


def _bars(axes: Axes, place: int, bars: Sequence[tuple[str, float, Interval]]) -> None:
    """Bars side by side around `place`, with their intervals, their values at the foot."""
    wide = 0.8 / len(bars)
    for k, (_, value, ends) in enumerate(bars):
        x = place - 0.4 + (k + 0.5) * wide
        axes.bar(x, 100 * value, 0.92 * wide, color=PALETTE[k])
        axes.plot([x, x], [100 * ends.low, 100 * ends.high], color="black", linewidth=1.2)
        axes.text(x, 2, f"{100 * value:.1f}", color="white", ha="center", va="bottom", fontsize=9)


def _words(size: str) -> str:
    return "all targets" if size == ALL else f"targets of {size}"


def _colors(temperatures: Sequence[float]) -> list[str]:
    return [PALETTE[k % len(PALETTE)] for k in range(len(temperatures))]


def separation_figure(separation: HeadSeparation, heads: HeadMap | None = None) -> Figure:
    """Does the entropy of a head tell good boxes from poor ones? Histograms over all heads, and layer x head maps.

    Left AUC (0.5 = says nothing, above = poor boxes are written with the more spread attention) and ΔH of every head
    and coordinate; right the AUC of each head. The heads of `heads` are marked.

    Raises:
        BadInput: a chosen head was not measured.
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    chosen = [head for coord in COORDS for head in heads.heads.get(coord, ())] if heads else []
    if odd := [str(head) for head in chosen if head not in separation.heads]:
        raise BadInput(f"expected chosen heads among those measured, got {', '.join(odd)}; calibrate again for both")
    with mpl.style.context("default"):
        figure = mpl.Figure(figsize=(11.5, 5.6), dpi=DPI, facecolor="white", layout="constrained")
        figure.suptitle(
            f"{separation.high} good and {separation.low} poor boxes of {separation.data} · {separation.setting.model}",
            fontsize=10,
        )
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
        above, below = left.subplots(2, 1)
        _histogram(above, separation.auc, separation.heads, heads, at=0.5)
        above.set_xlabel("AUC of a head (0.5: its entropy says nothing)", fontsize=9)
        _histogram(below, separation.delta, separation.heads, heads, at=0.0)
        below.set_xlabel("ΔH of a head, nats (entropy of poor boxes minus that of good ones)", fontsize=9)
        _head_maps(right, separation, heads)
        keys = [mpl.Rectangle((0, 0), 1, 1, color=c, label=coord) for coord, c in zip(COORDS, PALETTE, strict=False)]
        look = dict(marker="v", ls="", color="white", markeredgecolor="black")
        keys += [mpl.Line([], [], label="chosen heads (framed on the right)", **look)] if chosen else []
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=9)
    return figure


def _histogram(
    axes: Axes, values: Float[Tensor, "coord=4 head"], order: Sequence[Head], heads: HeadMap | None, *, at: float
) -> None:
    """Counts over all heads, coordinate on coordinate; triangles are the chosen heads."""
    columns = [row[~row.isnan()].numpy() for row in values]
    bins = np.histogram_bin_edges(np.concatenate([*columns, [at]]), bins=40)
    axes.hist(columns, bins=bins, stacked=True, color=PALETTE[:4])
    axes.axvline(at, color="black", linewidth=0.9, linestyle=(0, (4, 3)))
    top = axes.get_ylim()[1]
    for row, (coord, color) in enumerate(zip(COORDS, PALETTE, strict=False)):
        for head in heads.heads.get(coord, ()) if heads else ():
            x = float(values[row, order.index(head)])
            axes.plot([x], [(1.05 + 0.05 * row) * top], "v", color=color, markersize=6, markeredgecolor="black")
    axes.set_ylim(0, 1.3 * top)
    axes.set_ylabel("heads × coordinates", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _head_maps(figure: Figure, separation: HeadSeparation, heads: HeadMap | None) -> None:
    """AUC of each head, layers down and heads to the right, a panel per coordinate; frames are the chosen heads."""
    mpl = matplotlib_parts()
    layers = sorted({head.layer for head in separation.heads})
    width = max(head.index for head in separation.heads) + 1
    reach = max(0.05, float((separation.auc - 0.5).abs().nan_to_num(0).max()))
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, coord, values in zip(panels.flat, COORDS, separation.auc, strict=True):
        grid = np.full((len(layers), width), np.nan)
        for head, value in zip(separation.heads, values.tolist(), strict=True):
            grid[layers.index(head.layer), head.index] = value
        shown = axes.imshow(grid, cmap="RdBu_r", vmin=0.5 - reach, vmax=0.5 + reach, aspect="auto")
        for head in heads.heads.get(coord, ()) if heads else ():
            corner = (head.index - 0.5, layers.index(head.layer) - 0.5)
            axes.add_patch(mpl.Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=1.8, clip_on=False))
        axes.set_title(coord, fontsize=9)
        step = max(1, len(layers) // 8)
        axes.set_yticks(range(0, len(layers), step), layers[::step], fontsize=8)
        axes.set_xticks(range(0, width, max(1, width // 8)))
        axes.tick_params(labelsize=8)
    figure.supxlabel("head", fontsize=9)
    figure.supylabel("layer", fontsize=9)
    figure.colorbar(shown, ax=panels, shrink=0.8).set_label("AUC", fontsize=9)
