"""A training as figures: its curves, and how far its predictions can be believed."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.analysis.reliability import Predictor, Reliability
from glintbox.draw import DPI, Axes, Figure, matplotlib_parts
from glintbox.draw_report import PALETTE
from glintbox.errors import BadInput
from glintbox.training import Epoch

BLUE, RED, GREEN = PALETTE[:3]
LEARNED = "acs-learned"


def curves_figure(history: Sequence[Epoch]) -> Figure:
    """Left MSE by epoch, on the training data as it went and on held-out pictures; right correlations held out.

    The ring is the epoch whose weights were kept.

    Raises:
        BadInput: no epoch.
        MissingExtra: matplotlib is not installed.
    """
    if not history:
        raise BadInput("expected at least one epoch to draw, got none")
    mpl = matplotlib_parts()
    numbers = [epoch.number for epoch in history]
    best = min(history, key=lambda epoch: epoch.held_out.mse)
    with mpl.style.context("default"):
        figure = mpl.Figure(figsize=(9, 3.6), dpi=DPI, facecolor="white", layout="constrained")
        errors, correlations = figure.subplots(1, 2)
        look = dict(marker=".", markersize=4, linewidth=1.4)
        errors.plot(numbers, [e.train.mse for e in history], color=BLUE, label="training, with dropout", **look)
        errors.plot(numbers, [e.held_out.mse for e in history], color=RED, label="held out", **look)
        ring = dict(marker="o", ls="", markersize=9, fillstyle="none", color="black", clip_on=False)
        errors.plot([best.number], [best.held_out.mse], label=f"kept: epoch {best.number}", **ring)
        errors.set(ylabel="MSE", ylim=(0, None))
        lines = {
            "Pearson r": [e.held_out.r for e in history],
            "r over IoU > 0": [e.held_out.r_positive for e in history],
            "rank within a pair": [e.held_out.rank for e in history],
        }
        for (name, values), color in zip(lines.items(), PALETTE, strict=False):
            shown = [float("nan") if value is None else value for value in values]
            correlations.plot(numbers, shown, color=color, label=name, **look)
        least = min(value for values in lines.values() for value in (0.0, *values) if value is not None)
        correlations.set(ylabel="correlation, held out", ylim=(least, 1))
        for axes in (errors, correlations):
            axes.set_xlabel("epoch")
            axes.legend(frameon=False, fontsize=8)
            _plain(axes)
    return figure


def reliability_figure(found: Reliability) -> Figure:
    """Left the reliability diagram: mean true IoU by predicted IoU, with the count of each bin; right rival predictors.

    A point on the diagonal is an honest prediction.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    mpl = matplotlib_parts()
    with mpl.style.context("default"):
        figure = mpl.Figure(figsize=(9, 4.6), dpi=DPI, facecolor="white", layout="constrained")
        figure.suptitle(
            f"{found.candidates:,} held-out candidates of {found.pairs:,} pairs · {found.data}", fontsize=10
        )
        left, right = figure.subfigures(1, 2)
        above, below = left.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _diagram(above, found)
        middles = [(one.low + one.high) / 2 for one in found.bins]
        below.bar(middles, [one.n for one in found.bins], width=0.9 / len(middles), color="#999999")
        below.set(xlabel="predicted IoU", ylabel="candidates", xlim=(0, 1))
        _rivals(right.subplots(), found)
        for axes in figure.axes:
            _plain(axes)
    return figure


def _diagram(axes: Axes, found: Reliability) -> None:
    axes.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle=(0, (4, 3)))
    full = [one for one in found.bins if one.n]
    for one in full:
        axes.plot([one.predicted] * 2, [one.predicted, one.true], color=RED, linewidth=1.2, alpha=0.5)
    axes.plot([one.predicted for one in full], [one.true for one in full], "o-", color=BLUE, markersize=5)
    axes.set(ylabel="mean true IoU", ylim=(0, 1))
    told = (
        f"ECE {found.ece:.3f}, MAE {found.quality.mae:.3f} (the mean: {found.mean_mae:.3f})\n"
        f"AP@0.5 {100 * found.ap:.1f}, with score 1 {100 * found.ap_unranked:.1f}"
    )
    axes.text(0.03, 0.96, told, transform=axes.transAxes, va="top", fontsize=8.5)


def _rivals(axes: Axes, found: Reliability) -> None:
    """Bars of the correlation with the true IoU, overall and within a pair."""
    own = Predictor(found.quality.r, found.quality.r_positive, found.quality.rank)
    rows = {LEARNED: own} | dict(found.predictors)
    for place, one in enumerate(rows.values()):
        for off, value, color in ((-0.2, one.r, BLUE), (0.2, one.rank, GREEN)):
            axes.barh(place + off, value or 0, height=0.36, color=color)
            axes.text(
                max(0, value or 0) + 0.02,
                place + off,
                "-" if value is None else f"{value:.2f}",
                va="center",
                fontsize=8,
            )
    axes.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axes.set(ylim=(len(rows) - 0.4, -0.9), xlim=(min(-0.2, *((one.r or 0) - 0.05 for one in rows.values())), 1.1))
    axes.set_xlabel("correlation with the true IoU")
    axes.axvline(0, color="black", linewidth=0.8)
    mpl = matplotlib_parts()
    keys = [mpl.Rectangle((0, 0), 1, 1, color=color) for color in (BLUE, GREEN)]
    axes.legend(keys, ["Pearson r", "rank within a pair"], frameon=False, fontsize=8, loc="lower right")


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    axes.spines[["top", "right"]].set_visible(False)
