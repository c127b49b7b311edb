"""A ManyEvaluation as a figure: precision, recall and F1 of every method, a row of panels per size of target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from glintbox.draw import DPI, Axes, Figure, matplotlib_parts
from glintbox.draw_report import PALETTE
from glintbox.evaluate_many import BASE, ManyEvaluation, ManyReport, shown_sizes

NUMBERS: tuple[Literal["precision", "recall", "f1"], ...] = ("precision", "recall", "f1")


def many_figure(evaluation: ManyEvaluation) -> Figure:
    """Dots with 95 % intervals, a colour per temperature; the dashed line is greedy after suppression.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    sizes = shown_sizes(evaluation)
    methods = list(dict.fromkeys(report.method for report in evaluation.reports))
    temperatures = list(dict.fromkeys(report.temperature for report in evaluation.reports))
    with mpl.style.context("default"):
        high = 1.0 + len(sizes) * (0.6 + 0.09 * len(methods) * (1.6 + len(temperatures)))
        figure = mpl.Figure(figsize=(11.0, high), dpi=DPI, facecolor="white", layout="constrained")
        panels = figure.subplots(len(sizes), len(NUMBERS), sharex=True, sharey=True, squeeze=False)
        for row, size in zip(panels, sizes, strict=True):
            reports = [report for report in evaluation.reports if report.size == size]
            for axes, number in zip(row, NUMBERS, strict=True):
                _dots(axes, reports, number, methods=methods, temperatures=temperatures)
                axes.set_title("F1" if number == "f1" else number, fontsize=10)
            told = "all targets" if size == "all" else f"targets of {size}"
            row[0].set_ylabel(f"{told}\n{reports[0].n} cases, {reports[0].truth} boxes", fontsize=9)
            row[0].set_yticks(range(len(methods)), methods, fontsize=9)
            row[0].set_ylim(len(methods) - 0.4, -0.6)
        for axes in panels[-1]:
            axes.set_xlabel("%, 95 % interval over cases", fontsize=9)
        keys = [
            mpl.Line([], [], color=PALETTE[k % len(PALETTE)], marker="o", markersize=4.5, label=f"T = {temperature:g}")
            for k, temperature in enumerate(temperatures)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=9)
    return figure


def _dots(
    axes: Axes,
    reports: Sequence[ManyReport],
    number: Literal["precision", "recall", "f1"],
    *,
    methods: Sequence[str],
    temperatures: Sequence[float],
) -> None:
    """One panel: a row per method, temperatures a little apart."""
    offsets = np.linspace(-0.26, 0.26, len(temperatures)) if len(temperatures) > 1 else [0.0]
    for report in reports:
        place = temperatures.index(report.temperature)
        row, color = methods.index(report.method) + offsets[place], PALETTE[place % len(PALETTE)]
        value, interval = getattr(report, number), getattr(report, f"{number}_interval")
        axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=color, linewidth=1.6)
        axes.plot([100 * value], [row], "o", color=color, markersize=4.5)
        if report.method == BASE:
            axes.axvline(100 * value, color="#777777", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
