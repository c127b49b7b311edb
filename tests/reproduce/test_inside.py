"""Table 1 and the figures of attention."""

import pytest

from glintbox.reproduce import inside
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import layers


def test_table_1_stands_beside_the_papers(made: Bench) -> None:
    page = inside.table1(made, {})
    table = next(part for part in page.parts if part.startswith("| model"))
    assert "14-21, 24, 25 | 14-21 |" in table and "17-24, 26, 35 | 17-26 |" in table and "*reported*" in table
    assert page.numbers["critical"] == layers(made) and list(page.figures) == ["table1"]
    assert set(page.numbers["heads"]) == {"x1", "y1", "x2", "y2"}


def test_entropies_are_drawn_for_two_coordinates_and_for_four(made: Bench) -> None:
    two, four = inside.fig4(made, {}).figures["fig4"], inside.fig10(made, {}).figures["fig10"]
    assert [axes.get_title() for axes in two.axes] == ["x1", "y1"]
    assert [axes.get_title() for axes in four.axes] == ["x1", "y1", "x2", "y2"]


def test_attention_is_shown_before_in_and_after_the_critical_layers(made: Bench) -> None:
    figure = inside.fig3(made, {}).figures["fig3"]
    critical = set(layers(made).range)
    titles = [axes.get_title() for axes in figure.axes]
    shown = {int(title.split()[1]) for title in titles if title.startswith("layer")}
    assert shown & critical and 0 in shown and 3 in shown
    assert len({title for title in titles if not title.startswith("layer")}) == inside.ROWS, "two queries"


@pytest.mark.parametrize(("number", "coords"), [(6, ("x1", "y1")), (7, ("x2", "y2")), (8, ("x1", "y1"))])
def test_every_layer_is_drawn_for_two_coordinates(made: Bench, number: int, coords: tuple[str, str]) -> None:
    page = inside.all_layers(made, {}, number=number)
    [figure] = page.figures.values()
    assert page.name == f"fig{number}" and f"while {coords[0]} and {coords[1]} were written" in page.parts[0]
    assert sum(bool(axes.images) for axes in figure.axes) == 2 * 4
