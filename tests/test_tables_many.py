"""Several objects as text: what was counted stands in the table, greedy after suppression beside everything."""

import csv
import io

from glintbox.evaluate import ORACLE
from glintbox.evaluate_many import BASE, ManyEvaluation, ManyReport, evaluate_many, judge_many
from glintbox.tables_many import many_as_csv, markdown_many
from tests.test_evaluate_many import CONSENSUS, LEFT, answers, case


def an_evaluation(*, large: bool = False) -> ManyEvaluation:
    cases = [(case("a"), answers("a")), (case("b", LEFT, *[(0, 20, 60, 60)] * large), answers("b"))]
    return evaluate_many(judge_many(cases, CONSENSUS), about={"model": "tiny", "size": "small"})


def test_a_table_holds_every_method_and_what_it_is_compared_with() -> None:
    text = markdown_many(an_evaluation())
    assert text.startswith("model tiny; size small.\n") and "## Targets: 1-5 % (2 cases, 4 true boxes)" in text
    rows = {line.split("|")[2].strip(): line for line in text.splitlines() if line.startswith("| 0.7")}
    assert list(rows) == ["greedy", BASE, "greedy + NMS 0.8", "consensus", ORACLE]
    assert rows[BASE].split("|")[6:8] == [" - ", " - "]
    assert "75.0 (66.7 to 100.0)" in rows["consensus"] and "| 4 | 0 |" in rows["consensus"]
    cells = rows["consensus"].split("|")
    assert cells[6].strip().startswith("+") or cells[6].strip().startswith("**+") or cells[6].strip().startswith("0.0")


def test_several_sizes_make_several_tables() -> None:
    text = markdown_many(an_evaluation(large=True))
    assert [line.split(" (")[0] for line in text.splitlines() if line.startswith("## ")] == [
        "## Targets: all", "## Targets: 1-5 %", "## Targets: > 5 %",
    ]  # fmt: skip


def test_csv_holds_every_number() -> None:
    found = an_evaluation()
    rows = list(csv.DictReader(io.StringIO(many_as_csv(found))))
    assert len(rows) == len(found.reports) and isinstance(found.reports[0], ManyReport)
    for row, report in zip(rows, found.reports, strict=True):
        assert (row["method"], float(row["f1"]), float(row["f1_interval_low"])) == (
            report.method, report.f1, report.f1_interval.low,
        )  # fmt: skip
