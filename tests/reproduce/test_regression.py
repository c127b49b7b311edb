"""Table 3 and its relatives: a regressor beside what needs no training."""

import numpy as np
import pytest

from glintbox.predictions import quality
from glintbox.reproduce import regression
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import ANSWERS, needs
from glintbox.reproduce.trained import ALL, learned_from, predictions_of_first


def test_table_3_measures_the_first_ten_answers_at_every_temperature(made: Bench) -> None:
    page = regression.table3(made, {})
    for need in needs("report", made.amounts):
        rows = made.first(need, ANSWERS).rows
        said = predictions_of_first(made, need, ANSWERS)
        told = page.numbers[f"{need.temperature:g}"]
        assert told["quality"] == quality(said, rows.iou, rows.case) and told["candidates"] == 3 * 3 * ANSWERS
        mean = made.store(learned_from(ALL)).rows.iou.mean()
        assert told["mean_mae"] == pytest.approx(np.abs(rows.iou.astype(np.float64) - mean).mean())
    table = page.parts[-1]
    for words in ("| 0.5 | acs-learned |", "0.165 | 0.737 | 0.180 | 0.682 |", "| 1 | consensus |", "| 1 | box area |",
                  "| 0.7 | token entropy |", "the mean of the training data"):  # fmt: skip
        assert words in table, words


def test_the_diagram_is_of_the_chosen_temperature(made: Bench) -> None:
    page = regression.reliable(made, {})
    assert list(page.figures) == ["reliability"] and "chosen on validation" in page.parts[-1]
    assert {len(told["bins"]) for told in page.numbers.values()} == {10}


def test_the_learning_curve_names_what_was_used(made: Bench) -> None:
    page = regression.learning(made, {})
    used = [page.numbers[name]["trained on"].pairs for name in ("quarter", "half", "all")]
    assert used == sorted(used) and len(page.parts[-1].splitlines()) == 2 + 3


def test_layers_are_compared_on_the_same_candidates(made: Bench) -> None:
    page = regression.layers_page(made, {})
    names = list(page.numbers)
    assert names[0] == "critical" and names[-1] == "all" and all(name.startswith("random") for name in names[1:-1])
    critical, every = (set(page.numbers[name]["layers"]) for name in ("critical", "all"))
    assert critical < every
    assert all(not set(page.numbers[name]["layers"]) & critical for name in names[1:-1])
