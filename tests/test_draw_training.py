"""Curves and reliability as figures: what they show is where the numbers say, by the objects drawn, not by pixels."""

import io
from dataclasses import replace

import pytest

from glintbox.analysis.reliability import Predictor, Reliability
from glintbox.draw import save_figure
from glintbox.draw_training import curves_figure, reliability_figure
from glintbox.errors import BadInput
from glintbox.metrics import Interval
from glintbox.predictions import Bin, Quality
from glintbox.training import Epoch

HISTORY = tuple(
    Epoch(k, 1e-3, Quality(0.09 / k, 0.2, 0.5, 0.4, 0.3), Quality(mse, 0.2, 0.6, None, 0.1 * k), 1.0)
    for k, mse in ((1, 0.08), (2, 0.04), (3, 0.05))
)
FOUND = Reliability(
    "made up", 12, 40, Quality(0.02, 0.1, 0.8, 0.7, 0.6),
    (Bin(0, 0.5, 30, 0.2, 0.25), Bin(0.5, 1, 10, 0.7, 0.6)), 0.0625, 0.24,
    {"box area": Predictor(0.3, 0.2, 0.1), "token entropy": Predictor(-0.5, None, None)},
    0.7, 0.6, 0.9, 0.55, Interval(0.5, 0.6), 0.49,
)  # fmt: skip


def png(figure: object) -> bytes:
    written = io.BytesIO()
    save_figure(figure, written)
    return written.getvalue()


def test_curves_are_the_history_and_the_ring_is_the_epoch_that_was_kept() -> None:
    figure = curves_figure(HISTORY)
    errors, correlations = figure.axes
    by_label = {line.get_label(): line for line in errors.lines}
    assert list(by_label["held out"].get_ydata()) == [0.08, 0.04, 0.05]
    assert list(by_label["training, with dropout"].get_xdata()) == [1, 2, 3]
    assert list(by_label["kept: epoch 2"].get_ydata()) == [0.04]
    ranks = next(line for line in correlations.lines if line.get_label() == "rank within a pair")
    assert list(ranks.get_ydata()) == pytest.approx([0.1, 0.2, 0.3])
    assert png(figure).startswith(b"\x89PNG")


def test_one_epoch_is_a_curve_and_none_is_refused() -> None:
    assert png(curves_figure(HISTORY[:1]))
    with pytest.raises(BadInput, match="at least one epoch to draw, got none"):
        curves_figure(())


def test_points_of_the_reliability_diagram_are_the_bins() -> None:
    figure = reliability_figure(FOUND)
    diagram, counts, rivals = figure.axes
    points = next(line for line in diagram.lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == [0.2, 0.7] and list(points.get_ydata()) == [0.25, 0.6]
    assert [patch.get_height() for patch in counts.patches] == [30, 10]
    [told] = [text.get_text() for text in diagram.texts]
    assert "ECE 0.062" in told and "AP@0.5 55.0, with score 1 49.0" in told and "the mean: 0.240" in told
    assert [label.get_text() for label in rivals.get_yticklabels()] == ["acs-learned", "box area", "token entropy"]
    assert [patch.get_width() for patch in rivals.patches] == [0.8, 0.6, 0.3, 0.1, -0.5, 0]
    assert rivals.get_xlim()[0] < -0.5
    assert png(figure).startswith(b"\x89PNG")


def test_an_empty_bin_is_no_point() -> None:
    figure = reliability_figure(replace(FOUND, bins=(FOUND.bins[0], Bin(0.5, 1, 0, None, None))))
    points = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == [0.2]
