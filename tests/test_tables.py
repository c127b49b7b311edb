"""Tables say what the numbers say: nothing is lost, rounded away or turned round."""

import csv
import io

from glintbox.evaluate import Cost, Evaluation, evaluate, judge
from glintbox.tables import as_csv, markdown
from tests.test_evaluate import FAR, NEAR, case, method, result


def evaluation(**options: object) -> Evaluation:
    """Twenty cases: greedy never right, "a" in ten, with its right boxes first; five times it finds nothing."""
    greedy = method(*[FAR] * 20, name="greedy", score=None)
    ranked = judge(
        (case(str(k)), result(str(k), box, method="a", score=score))
        for k, (box, score) in enumerate([(NEAR, 0.9), (FAR, 0.1), (NEAR, 0.8), (None, None)] * 5)
    )
    return evaluate([greedy, ranked], about={"model": "m", "N": "2"}, **options)  # type: ignore[arg-type]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_table_per_size_with_greedy_the_oracle_and_what_was_asked() -> None:
    text = markdown(evaluation())
    assert text.startswith("model m; N 2.\n")
    assert text.count("## Targets") == 1 and "## Targets: 1-5 % (20 cases)" in text, "all targets are of one size"
    heading, _, greedy, ranked, oracle, *_ = rows(text)
    of = dict(zip(heading, ranked, strict=True))
    assert (of["T"], of["method"], of["no box"], of["unreadable"]) == ("0.7", "a", "5", "0.0")
    assert of["Acc@0.5"].startswith("50.0 (") and of["gain over greedy"].startswith("**+50.0** (")
    assert of["gap closed"].startswith("50 (")
    assert of["AP@0.5"].startswith("50.0 (") and of["score 1"] == "33.3"
    assert dict(zip(heading, greedy, strict=True))["gain over greedy"] == "-"
    assert oracle[:3] == ["0.7", "best sample (oracle)", "100.0 (100.0 to 100.0)"]


def test_differences_stand_both_ways_round_and_a_zero_has_no_sign() -> None:
    matrix = rows(markdown(evaluation()).split("## Acc@0.5 of the row minus")[1])
    assert matrix[0] == ["", "greedy", "a"]
    assert matrix[2:] == [["greedy", "", "**-50.0**"], ["a", "**+50.0**", ""]]
    same = evaluate([method(NEAR, FAR, name=name) for name in ("greedy", "a")], about={"model": "m"})
    assert rows(markdown(same))[-1] == ["a", "0.0", ""]


def test_costs_are_told_as_times_of_greedy() -> None:
    costs = (Cost("greedy", 1, 144, 1, 0.05), Cost("crop", 1.9, 273.6, 1.9, 0.1))
    table = rows(markdown(evaluation(costs=costs)).split("## Cost")[1])
    assert table[2] == ["greedy", "1", "144", "1", "0.050", "1.0"]
    assert table[3] == ["crop", "1.9", "274", "1.9", "0.100", "2.0"]
    assert "## Cost" not in markdown(evaluation())


def test_csv_holds_every_report_to_the_last_digit() -> None:
    found = evaluation()
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(lines) == len(found.reports)
    for line, report in zip(lines, found.reports, strict=True):
        assert (line["method"], line["size"], int(line["n"])) == (report.method, report.size, report.n)
        assert float(line["mean_iou"]) == report.mean_iou
        assert (float(line["acc_interval_low"]), float(line["acc_interval_high"])) == report.acc_interval
        assert line["ap_at_50"] == ("" if report.ap_at_50 is None else str(report.ap_at_50))
        assert (line["ap_interval_low"] == "") == (report.ap_interval is None)
