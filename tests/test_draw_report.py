"""Figures of reports: what they show is where the numbers say, by the objects drawn, not by pixels."""

import io
from dataclasses import replace

import pytest
import torch
from matplotlib.patches import Rectangle

from glintbox.boxes import Box
from glintbox.draw import save_figure
from glintbox.draw_report import report_figure, separation_figure, sizes_figure
from glintbox.errors import BadInput
from glintbox.evaluate import Evaluation, Judged, evaluate, judge
from glintbox.records import COORDS, Head, HeadMap, HeadSeparation, Place
from tests.sets import SETTING
from tests.test_evaluate import FAR, case, result

SMALL, LARGE = Box(10, 10, 17, 17), Box(5, 5, 65, 45)
RIGHT = (10, 10, 17, 17.5)


def methods(temperature: float) -> list[Judged]:
    """Greedy never right; "a" right on 3 of 4 small targets and on the large one."""
    truth = [*[SMALL] * 4, LARGE]
    chosen = [*[RIGHT] * 3, FAR, (5, 5, 65, 45)]
    made = [
        judge(
            (case(str(k), box), result(str(k), FAR if name == "greedy" else chosen[k], method=name))
            for k, box in enumerate(truth)
        )
        for name in ("greedy", "a")
    ]
    return [replace(method, temperature=temperature) for method in made]


def evaluation(*temperatures: float) -> Evaluation:
    return evaluate([m for t in temperatures for m in methods(t)], about={"model": "m"})


def png(figure: object) -> bytes:
    written = io.BytesIO()
    save_figure(figure, written)
    return written.getvalue()


def test_every_method_stands_at_its_accuracy_in_the_panel_of_each_size() -> None:
    figure = report_figure(evaluation(0.5, 1.0))
    assert [axes.get_title() for axes in figure.axes] == [
        "all targets, n = 5", "targets of 0.1-1 %, n = 4", "targets of > 5 %, n = 1",
    ]  # fmt: skip
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["best sample (oracle)", "greedy", "a"]
    for axes, right in zip(figure.axes, (80, 75, 100), strict=True):
        dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert {round(x) for x, y in dots if 1.5 < y < 2.5} == {right}
        assert {round(x) for x, y in dots if 0.5 < y < 1.5} == {0}
        assert len(dots) == 6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["T = 0.5", "T = 1"]
    assert png(figure).startswith(b"\x89PNG")


def test_one_size_has_one_panel() -> None:
    small = [replace(m, cases=m.cases[:4]) for m in methods(0.7)]
    figure = report_figure(evaluate(small, about={}))
    assert [axes.get_title() for axes in figure.axes] == ["targets of 0.1-1 %, n = 4"]
    assert sizes_figure(evaluate(small, about={})) is None, "nothing to compare"


def test_large_targets_stand_left_of_small_ones_with_greedy_the_choice_and_the_oracle() -> None:
    figure = sizes_figure(evaluation(0.5, 1.0))
    assert figure is not None
    [axes] = figure.axes
    bars = sorted((patch.get_x(), patch.get_height()) for patch in axes.patches if isinstance(patch, Rectangle))
    assert [round(height) for _, height in bars] == [0, 100, 0, 0, 75, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "targets of > 5 %\nn = 1", "targets of 0.1-1 %\nn = 4",
    ]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["greedy", "a", "best sample (oracle)"]
    assert png(figure).startswith(b"\x89PNG")


def separation(layers: int = 3, heads: int = 5) -> HeadSeparation:
    every = tuple(Head(layer, index) for layer in range(2, 2 + layers) for index in range(heads))
    auc = torch.linspace(0.3, 0.9, 4 * len(every)).reshape(4, -1)
    return HeadSeparation(SETTING, "made up, 3 cases", 40, 30, every, 2 * (auc - 0.5), auc)


def test_every_head_is_counted_once_per_coordinate_and_lies_at_its_layer() -> None:
    found = separation()
    chosen: dict[Place, tuple[Head, ...]] = {coord: (Head(3, 1),) for coord in COORDS}
    figure = separation_figure(found, HeadMap(SETTING, "by hand", chosen))
    above, below, *maps = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    for axes in (above, below):
        bars = [p for p in axes.patches if isinstance(p, Rectangle)]
        assert round(sum(bar.get_height() for bar in bars)) == 4 * 15
        assert sum(line.get_marker() == "v" for line in axes.lines) == 4, "the chosen head of each coordinate"
    place = found.heads.index(Head(3, 1))
    assert [line.get_xdata()[0] for line in above.lines if line.get_marker() == "v"] == pytest.approx(
        found.auc[:, place].tolist()
    )
    for axes, coord, values in zip(maps, COORDS, found.auc, strict=False):
        assert axes.get_title() == coord
        shown = axes.images[0].get_array()
        assert shown.shape == (3, 5) and shown[1, 1] == pytest.approx(float(values[place]))
        [frame] = axes.patches
        assert frame.get_xy() == (0.5, 0.5), "around row 1 (layer 3), column 1"
    assert png(figure).startswith(b"\x89PNG")


def test_heads_that_are_not_there_or_say_nothing_leave_a_gap() -> None:
    found = separation()
    broken = replace(found, heads=found.heads[:-1], delta=found.delta[:, :-1], auc=found.auc[:, :-1].clone())
    broken.auc[1, 3] = torch.nan
    figure = separation_figure(broken)
    maps = [axes for axes in figure.axes if axes.get_title() in COORDS]
    assert [int(torch.tensor(axes.images[0].get_array().filled(torch.nan)).isnan().sum()) for axes in maps] == [
        1,
        2,
        1,
        1,
    ]
    assert png(figure).startswith(b"\x89PNG")


def test_a_chosen_head_that_was_not_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="chosen heads among those measured, got L9H0"):
        separation_figure(separation(), HeadMap(SETTING, "by hand", {"x2": (Head(9, 0),)}))
