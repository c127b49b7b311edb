"""Every table and figure of the paper has a name, and every page says what it was measured on."""

import pytest

from glintbox.errors import UnknownName
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.catalogue import ALL, CATALOGUE, about, all_needs, names
from glintbox.reproduce.plan import FULL, Data, Need

PAPER = [*(f"table{k}" for k in range(1, 7)), "models", "fig1", *(f"fig{k}" for k in range(3, 16)), "decisions"]


def test_all_of_the_paper_is_there() -> None:
    assert set(PAPER) <= set(CATALOGUE)
    assert names(ALL, Data("scenes")) == list(CATALOGUE)
    assert names("fig4", Data("scenes")) == ["fig4"]
    with pytest.raises(UnknownName, match="Did you mean 'table2'"):
        names("tabel2", Data("scenes"))


def test_all_leaves_out_the_other_style_where_it_must() -> None:
    for data in (Data("coco"), Data("scenes", split="validation")):
        assert set(CATALOGUE) - set(names(ALL, data)) == {"transfer", "fig15"}


def test_answers_are_needed_once() -> None:
    every = all_needs(names(ALL, Data("scenes")), FULL)
    assert len(set(every)) == len(every) == 1 + 6 + 1
    assert sum(map(len, every)) == 1 + 6 * 3 + 1
    assert all_needs(["models"], FULL) == []
    assert [[need.part for need in drawn] for drawn in all_needs(["table1", "fig4"], FULL)] == [["learn"]]
    assert (Need("learn-quarter", 1.0, moment="predicted"),) in all_needs(["decisions"], FULL)


def test_a_page_says_what_it_was_measured_on(made: Bench) -> None:
    told = about(made, "table2", "glintbox reproduce table2")
    assert told["cases"] == "4 learn (T 1), 4 choose (T 0.5, 0.7, 1), 3 report (T 0.5, 0.7, 1)"
    assert (
        told["model"] == "scripted at 1"
        and told["reported on"] == "test"
        and told["command"] == "`glintbox reproduce table2`"
    )
    assert {"data", "N", "seeds", "regressor", "commit"} <= set(told)
    assert "boxes of" in told["regressor"]
    assert set(about(made, "models", "x")) == {"command", "commit"}
