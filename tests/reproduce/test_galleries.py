"""Figures 1, 5 and 11-15: pictures that nobody picked."""

import pytest

from glintbox.errors import BadInput
from glintbox.reproduce import galleries
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.galleries import LOST, OPEN, WON


def test_large_and_small_objects_stand_side_by_side(made: Bench) -> None:
    page = galleries.fig1(made, {})
    bars = page.numbers["bars"]["Acc@0.5, %"]
    assert list(bars) == ["large", "small"] and bars["small"]["Greedy"].value == 0
    assert len(page.figures["fig1"].subfigs) == 2


@pytest.mark.parametrize(("number", "outcome"), [(5, WON), (11, WON), (13, LOST), (14, OPEN)])
def test_a_gallery_shows_the_first_case_of_each_category(made: Bench, number: int, outcome: str) -> None:
    page = galleries.gallery(made, {}, number=number)
    every = page.numbers["outcomes"]
    assert outcome in page.title and outcome in page.parts[0]
    query = {sample.id: sample.query for sample in made.samples("report")}
    categories = {query[id] for id in every[outcome]}
    skip, most = galleries.GALLERIES[number].skip, galleries.GALLERIES[number].most
    wanted = min(most, max(0, len(categories) - skip))
    pictures = sum(bool(axes.images) for figure in page.figures.values() for axes in figure.axes if axes.get_title())
    assert pictures == wanted
    assert bool(page.figures) == bool(wanted) != ("There is no such case." in page.parts)


def test_the_gallery_of_another_style_needs_its_pictures(made: Bench) -> None:
    with pytest.raises(BadInput, match="expected scenes for a transfer"):
        galleries.gallery(made, {}, number=15)
