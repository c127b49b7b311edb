"""A ReferEvaluation as a figure: Acc@0.5 of every method by size of target and by kind of expression."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.draw import DPI, Axes, Figure, matplotlib_parts
from glintbox.draw_report import PALETTE
from glintbox.evaluate_refer import EVERY, Group, ReferEvaluation, ReferReport
from glintbox.tables_refer import shown_groups

TITLE = "Acc@0.5 in %, 95 % interval"

MOST = 4
"""Panels beside each other."""


def refer_figure(evaluation: ReferEvaluation) -> Figure:
    """Dots with 95 % intervals, a panel per group; rings show the same method asked for the category alone.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    rows = _rows(shown_groups(evaluation))
    methods = list(dict.fromkeys(one.method for one in evaluation.reports))
    with mpl.style.context("default"):
        wide, high = max(map(len, rows)), len(rows) * (0.9 + 0.26 * len(methods)) + 0.5
        figure = mpl.Figure(figsize=(2.2 + 2.5 * wide, high), dpi=DPI, facecolor="white", layout="constrained")
        panels = figure.subplots(len(rows), wide, sharex=True, sharey=True, squeeze=False)
        for line, groups in zip(panels, rows, strict=True):
            for axes, group in zip(line, groups, strict=False):
                reports = [one for one in evaluation.reports if (one.by, one.group) == group]
                _dots(axes, reports, methods)
                name = "all expressions" if group == EVERY else group.name
                name = f"targets of {name}" if group.by == "size" else name
                axes.set_title(f"{name}, n = {reports[0].n}", fontsize=9)
            for axes in line[len(groups) :]:
                axes.set_axis_off()
            line[0].set_yticks(range(len(methods)), methods, fontsize=9)
            line[0].set_ylim(len(methods) - 0.4, -0.6)
        told = ["expression", "category alone"][: 1 + any(one.category is not None for one in evaluation.reports)]
        keys = [
            mpl.Line([], [], color="black", ls="", marker="o", mfc=fill, markersize=4.5, label=name)
            for name, fill in zip(told, ("black", "white"), strict=False)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False, fontsize=9, title=TITLE)
    return figure


def _rows(groups: Sequence[Group]) -> list[list[Group]]:
    """All and sizes in the first row, kinds and need for words in those below."""
    sizes = [group for group in groups if group.by in (EVERY.by, "size")]
    others = [group for group in groups if group not in sizes]
    wide = max(MOST, len(sizes))
    return [sizes] + [others[at : at + wide] for at in range(0, len(others), wide)]


def _dots(axes: Axes, reports: Sequence[ReferReport], methods: Sequence[str]) -> None:
    """One panel: a row and a colour per method."""
    for one in reports:
        row = methods.index(one.method)
        color = PALETTE[row % len(PALETTE)]
        axes.plot([100 * one.acc_interval.low, 100 * one.acc_interval.high], [row, row], color=color, linewidth=1.6)
        axes.plot([100 * one.acc_at_50], [row], "o", color=color, markersize=4.5)
        if one.category is not None:
            axes.plot([100 * one.category], [row + 0.25], "o", color=color, mfc="white", markersize=4.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
