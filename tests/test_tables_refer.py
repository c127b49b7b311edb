"""A ReferEvaluation on paper: one table of all methods, the winner of each column bold, every pair with an interval."""

import csv
import io
from dataclasses import replace

import pytest

from glintbox.evaluate_refer import ReferCase, ReferEvaluation, ReferMethod, evaluate_refer
from glintbox.metrics import Overlap
from glintbox.tables_refer import markdown_refer, refer_as_csv

KINDS = ("category", "ordinal", "relation", "position", "attribute", "combined")


def evaluation(*, masks: bool = True, category: bool = True, count: int = 12) -> ReferEvaluation:
    """Localization heads are right where the target is large, greedy where k is even."""

    def one(k: int, right: bool) -> ReferCase:
        return ReferCase(
            id=str(k),
            area=0.2 if k % 3 else 0.005,
            kind=KINDS[k % 6],
            needs_more=k % 2 == 0,
            iou=0.8 if right else 0.1,
            missing=False,
            mask=Overlap(80 if right else 10, 100) if masks else None,
            category=0.7 if k % 4 == 0 else 0.0,
        )

    heads = ReferMethod("localization-heads", tuple(one(k, k % 3 != 0) for k in range(count)))
    greedy = ReferMethod("greedy", tuple(one(k, k % 2 == 0) for k in range(count)))
    found = evaluate_refer([heads, greedy], about={"model": "scripted", "data": "made up"})
    if category:
        return found
    bare = [ReferMethod(m.method, tuple(replace(c, category=None) for c in m.cases)) for m in (heads, greedy)]
    return evaluate_refer(bare, about={"model": "scripted"})


@pytest.fixture(scope="module")
def told() -> str:
    return markdown_refer(evaluation())


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_all_methods_stand_in_one_table(told: str) -> None:
    assert told.startswith("model scripted; data made up.")
    part = told.split("## All expressions (12)")[1].split("## ")[0]
    heads, greedy = row(part, "localization-heads"), row(part, "greedy")
    assert heads[1].startswith("66.7 (") and greedy[1].startswith("50.0 (")
    assert heads[3].startswith("56.7 (") and heads[4].startswith("56.7 (")
    assert heads[5].startswith("25.0 (") and heads[6].startswith("+41.7 (") and heads[7] == "0"


def test_the_winner_of_each_column_is_bold(told: str) -> None:
    part = told.split("## By size of the target")[1].split("### ")[0]
    assert "| method | all (12) | 0.1-1 % (4) | > 5 % (8) |" in part
    assert row(part, "localization-heads") == ["localization-heads", "**66.7**", "0.0", "**100.0**"]
    assert row(part, "greedy") == ["greedy", "50.0", "**50.0**", "50.0"]
    for title in ("## By kind of expression", "## By need for words", "### needs more than the category"):
        assert title in told


def test_every_two_methods_are_compared_in_pairs(told: str) -> None:
    part = told.split("## Acc@0.5 of the row minus that of the column: all expressions")[1].split("## ")[0]
    heads, greedy = row(part, "localization-heads"), row(part, "greedy")
    assert heads[1] == "" and heads[2].startswith("+16.7 (") and greedy[1].startswith("-16.7 (")
    low, high = heads[2].split("(")[1].rstrip(")").split(" to ")
    assert greedy[1].endswith(f"({-float(high):.1f} to {-float(low):.1f})")
    large = told.split("column: targets of > 5 %")[1]
    assert row(large, "localization-heads")[2].startswith("**+50.0** (")


def test_what_is_unknown_is_a_dash() -> None:
    part = markdown_refer(evaluation(masks=False, category=False)).split("## All expressions")[1]
    assert row(part, "greedy")[3:7] == ["-"] * 4


def test_csv_has_a_line_per_report() -> None:
    found = evaluation()
    rows = list(csv.DictReader(io.StringIO(refer_as_csv(found))))
    assert len(rows) == len(found.reports)
    words = found.reports[0].words_interval
    assert words is not None and rows[0]["method"] == "localization-heads"
    assert float(rows[0]["words_interval_low"]) == words.low
    bare = list(csv.DictReader(io.StringIO(refer_as_csv(evaluation(masks=False)))))
    assert bare[0]["ciou"] == bare[0]["giou_interval_high"] == ""
