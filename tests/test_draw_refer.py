"""The figure of a ReferEvaluation: a panel per group, a ring where the category alone was asked for."""

from glintbox.draw_refer import MOST, refer_figure
from tests.test_tables_refer import evaluation


def test_the_figure_has_a_panel_per_group() -> None:
    figure = refer_figure(evaluation())
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 3 + 6 + 2 and MOST == 4
    assert shown[0].get_title() == "all expressions, n = 12"
    assert [text.get_text() for text in shown[0].get_yticklabels()] == ["localization-heads", "greedy"]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["expression", "category alone"]


def test_without_the_control_there_are_no_rings() -> None:
    figure = refer_figure(evaluation(category=False))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["expression"]
    filled = [line.get_markerfacecolor() for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert filled and "white" not in filled
