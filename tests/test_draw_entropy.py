"""Curves by layer: what stands in the record is what is drawn, by the objects drawn, not by pixels."""

import numpy as np
import pytest
import torch
from matplotlib.container import ErrorbarContainer

from glintbox.analysis.importance import CriticalLayers, Importance
from glintbox.analysis.separation import GROUPS, LayerEntropies
from glintbox.draw_entropy import LOOKS, entropy_figure, importance_figure
from glintbox.errors import BadInput
from glintbox.records import COORDS, Head
from tests.sets import SETTING
from tests.test_draw_report import png

LAYERS = (3, 4, 6, 7, 8)


def measured() -> LayerEntropies:
    def values(low: float, high: float) -> torch.Tensor:
        return torch.linspace(low, high, 4 * len(LAYERS), dtype=torch.float64).reshape(4, -1)

    return LayerEntropies(
        layers=LAYERS,
        count={"high": 40, "low": 30, "zero": 20},
        mean={group: values(4 + 0.1 * k, 5 + 0.1 * k) for k, group in enumerate(GROUPS)},
        spread={group: values(0.1, 0.2) for group in GROUPS},
        error={group: values(0.01, 0.02) for group in GROUPS},
        tau_high=0.6,
        tau_low=0.3,
    )


def test_each_group_is_a_line_with_its_interval_in_the_panel_of_each_coordinate() -> None:
    found = measured()
    figure = entropy_figure(found, marked=(6, 7))
    assert [axes.get_title() for axes in figure.axes] == list(COORDS)
    for row, axes in enumerate(figure.axes):
        bars = [part for part in axes.containers if isinstance(part, ErrorbarContainer)]
        for group, bar in zip(GROUPS, bars, strict=True):
            line, _, (whiskers,) = bar.lines
            assert line.get_color() == LOOKS[group][0]
            assert np.asarray(line.get_ydata()).tolist() == pytest.approx(found.mean[group][row].tolist())
            heights = [np.ptp(segment[:, 1]) for segment in whiskers.get_segments()]
            assert heights == pytest.approx((2 * 1.96 * found.error[group][row]).tolist())
        assert len(axes.collections) == 2 * len(GROUPS), "a band and whiskers each"
        assert len(axes.patches) == 2, "gray ground"
    assert [label.get_text() for label in figure.axes[3].get_xticklabels()] == list(map(str, LAYERS))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "IoU > 0.6 (40)", "0 < IoU ≤ 0.3 (30)", "IoU = 0 (20)",
    ]  # fmt: skip
    assert png(figure).startswith(b"\x89PNG")


def test_figure_4_is_one_column_wide_and_shows_the_layers_asked_for() -> None:
    figure = entropy_figure(measured(), coords=("y1", "x2"), layers=(6, 7))
    assert figure.get_size_inches()[0] == pytest.approx(3.35) and len(figure.axes) == 2
    line = figure.axes[1].containers[0].lines[0]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(measured().mean["high"][2, [2, 3]].tolist())
    with pytest.raises(BadInput, match=r"layers among 3 to 8, got \[5\]"):
        entropy_figure(measured(), layers=(4, 5))


def test_layers_are_drawn_by_importance_with_the_critical_ones_marked() -> None:
    heads = tuple(Head(layer, index) for layer in LAYERS for index in range(2))
    values = torch.arange(4 * len(heads), dtype=torch.float64).reshape(4, -1) / 1e4
    found = Importance(SETTING, "abc", "made up", "loss", 9, heads, values)
    figure = importance_figure(found, CriticalLayers((6, 8), (6, 7, 8)))
    [axes] = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [*COORDS, "mean", "top 2"] and len(axes.patches) == 3
    assert lines["y2"].get_ydata().tolist() == pytest.approx(found.by_layer[3].tolist())
    assert lines["mean"].get_ydata().tolist() == pytest.approx(found.score.tolist())
    assert lines["top 2"].get_xdata().tolist() == [2, 4] and axes.get_ylim()[0] == 0
    assert png(figure).startswith(b"\x89PNG")
