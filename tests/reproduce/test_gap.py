"""The way to the best sample in two steps: the right place, then the edges there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glintbox.boxes import Box, Size
from glintbox.records import Sample
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.gap import gap, steps
from glintbox.reproduce.plan import TEMPERATURES
from glintbox.store import Stored
from tests.sets import a_set

TRUTH = Box(10, 10, 30, 20)
SAMPLE = Sample("a", Path("a.png"), Size(80, 60), "cup", (TRUTH,))


def case(*boxes: Box) -> Stored:
    return Stored(SAMPLE, replace(a_set([(box.x1, box.y1, box.x2, box.y2) for box in boxes]), id="a"))


def test_the_most_agreed_box_stands_for_its_place() -> None:
    near, agreed, far = Box(10, 10, 30, 20), Box(12, 10, 32, 20), Box(60, 40, 70, 50)
    one = steps(case(near, agreed, Box(14, 10, 34, 20), far), (6, 8))
    assert one.best == 1 and one.place == pytest.approx(18 / 22), "the middle one of three, not the lucky one"
    assert one.edges == pytest.approx((0 + 1 + 2) / 3), (
        "two of four edges are off by 2 and 4; what is far counts nowhere"
    )
    assert one.side == pytest.approx(np.sqrt(200)) and one.token == pytest.approx(10)


def test_a_place_is_chosen_by_the_truth_however_few_are_there() -> None:
    crowd = [Box(60, 40, 70, 50)] * 5
    assert steps(case(*crowd, TRUTH), (6, 8)).place == 1


def test_a_case_without_boxes_gets_nothing() -> None:
    one = steps(case(), None)
    assert (one.greedy, one.place, one.best) == (0, 0, 0) and np.isnan(one.edges) and np.isnan(one.token)


def test_the_steps_go_up_at_every_temperature(made: Bench) -> None:
    page = gap(made, {})
    assert list(page.numbers) == [f"{T:g}" for T in TEMPERATURES]
    for told in page.numbers.values():
        greedy, place, best = (told["right"][name]["share"] for name in ("greedy", "place", "best"))
        assert greedy == 0 and place <= best == 1
        assert told["gap closed by place"] == pytest.approx(place)
    assert len(page.parts[-1].splitlines()) == 2 + len(TEMPERATURES)
