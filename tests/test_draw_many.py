"""Several objects as a figure: a row of panels per size, a row in it per method, greedy after suppression as a line."""

import io
from dataclasses import replace

from PIL import Image

from glintbox.draw import save_figure
from glintbox.draw_many import many_figure
from glintbox.evaluate_many import SUPPRESSION, evaluate_many, judge_many
from tests.test_evaluate_many import CONSENSUS, answers, case
from tests.test_tables_many import an_evaluation


def test_every_number_of_every_method_is_drawn_where_it_belongs() -> None:
    judged = judge_many([(case(), answers())], CONSENSUS)
    found = evaluate_many([*judged, *(replace(method, temperature=1.0) for method in judged)], about={})
    figure = many_figure(found)
    assert [axes.get_title() for axes in figure.axes] == ["precision", "recall", "F1"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[: len(SUPPRESSION) + 1] == [*SUPPRESSION, "consensus"]
    dots = [line for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert sorted(dot.get_xdata()[0] for dot in dots) == sorted(100 * r.f1 for r in found.reports if r.size == "all")
    [text] = {text.get_text() for legend in figure.legends for text in legend.get_texts()} ^ {"T = 0.7"}
    assert text == "T = 1"


def test_every_size_has_its_row_and_the_picture_can_be_opened() -> None:
    figure = many_figure(an_evaluation(large=True))
    assert [axes.get_ylabel().partition("\n")[0] for axes in figure.axes[::3]] == [
        "all targets", "targets of 1-5 %", "targets of > 5 %",
    ]  # fmt: skip
    written = io.BytesIO()
    save_figure(figure, written)
    assert Image.open(written).width > 800
