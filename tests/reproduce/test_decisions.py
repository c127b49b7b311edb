"""Every open reading stands beside the default of its point."""

import pytest

from glintbox.reproduce import decisions
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.pages import Page


@pytest.fixture(scope="module")
def page(made: Bench) -> Page:
    return decisions.decisions(made, {})


def test_the_default_comes_first_and_has_no_difference(page: Page) -> None:
    tables = [part for part in page.parts if part.startswith("| point")]
    rows = [[[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]] for table in tables]
    chosen, trained, grouped = rows
    firsts = {row[0]: row for row in reversed(chosen)}
    assert set(firsts) == {"12", "13", "14", "16", "19", "25", "33"}
    assert all(row[-1] == "" for row in firsts.values())
    assert all(row[-1] for row in chosen if row is not firsts[row[0]])
    same = {row[2] for point, row in firsts.items() if point in {"12", "13", "14", "16", "19"}}
    assert len(same) == 1, "one default, one number"
    assert [row[0] for row in trained] == ["", "1", "5", "7", "39", "39"] and trained[0][-1] == ""
    assert len(grouped) == len(decisions.GROUPINGS) and grouped[0][-1] == "" and all(row[-1] for row in grouped[1:])
    assert "maps resampled to 4 x 4" in trained[2][1]
    assert set(page.numbers) == {"selection", "regressors", "clusters"}


def test_greedys_best_box_by_the_truth_is_no_worse_than_its_first(page: Page) -> None:
    found = page.numbers["selection"]
    assert found["25: its best box, by the truth"]["mean_iou"] >= found["25: greedy's first box"]["mean_iou"]
