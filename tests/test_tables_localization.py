"""Ablations as Markdown: every way has its row, and what the paper says stands in columns that say so."""

import pytest

from glintbox.ablations import DEFAULT, WHAT, Judged, Outcome, Way, outcomes, ways
from glintbox.records import Head, Search
from glintbox.tables_localization import REPORTED, ablation_table
from tests.text_cases import a_table

WAYS = [Way("1", (Head(2, 0),), Search()), Way("3", None, Search()), Way("9", (), Search())]


def told(what: str) -> list[Outcome]:
    ious: list[list[float | None]] = [[0.6, 0.2, 0.5], [0.6, 0.8, 0.5], [None, None, None]]
    return outcomes(what, Judged(WAYS, ious, [0.005, 0.02, 0.0001]))


def test_a_table_by_hand() -> None:
    legend, _, heading, rule, *rows = ablation_table(told("k")).splitlines()
    assert "*reported* are the paper's own (arXiv 2503.06287, RefCOCO val)" in legend
    cells = [cell.strip() for cell in heading.strip("|").split("|")]
    assert cells == [
        "k", "heads", "all (3)", "0.1-1 % (1)", "1-5 % (1)", "to the default", "mIoU", "no box",
        "*reported*: LLaVA-1.5-7B, cIoU", "*reported*: LLaVA-1.5-13B, cIoU", "*reported*: ten models, cIoU",
    ]  # fmt: skip
    assert rule.count("|") == heading.count("|")
    one, three, nine = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    assert one[:2] == ["1", "L2H0"] and three[:2] == ["3", "each case's own"] and nine[:2] == ["9", "none"]
    assert one[2].startswith("66.7 (") and one[3] == "100.0 (100.0 to 100.0)" and one[4] == "0.0 (0.0 to 0.0)"
    assert one[5].startswith("-33.3 (") and three[5] == "0.0 (0.0 to 0.0)"
    assert one[6].startswith("43.3 (") and (one[7], nine[7]) == ("0", "3")
    assert one[8:] == ["70.3", "71.7", "64.5"] and nine[8:] == ["", "", ""]


def test_ablations_of_ours_alone_report_nothing() -> None:
    text = ablation_table(told("part"))
    assert "reported" not in text and text.splitlines()[2].endswith("| mIoU | no box |")


@pytest.mark.parametrize("what", REPORTED)
def test_what_is_reported_belongs_to_ways_that_are_tried(what: str) -> None:
    tried = [way.name for way in ways(what, a_table([[0.5, 0.4]] * 2, [[0.0, 0.1]] * 2), Search(samples=2, draws=1))]
    assert [name for name in tried if name in REPORTED[what].rows] == list(REPORTED[what].rows)
    assert set(tried) - set(REPORTED[what].rows) <= {"IoU with the truth, fixed"}, "ours alone, with the truth known"
    assert all(len(row) == len(REPORTED[what].columns) for row in REPORTED[what].rows.values())
    assert what in WHAT and DEFAULT[what] in tried
