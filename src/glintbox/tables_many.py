"""A ManyEvaluation as Markdown and as CSV: Table 6 of the paper with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.cells import ends, plus, rows_as_csv, signed, table, within
from glintbox.evaluate_many import BASE, ManyEvaluation, ManyReport, shown_sizes

_LEGEND = (
    "Precision, recall and F1 in %, counted over all cases together (boxes matched one to one at IoU 0.5), with 95 % "
    f"bootstrap intervals over cases. Gain: F1 minus that of {BASE}, in points, cases drawn together, bold where 0 "
    "lies outside the interval; relative: the same as a share of it. The oracle keeps exactly the samples that match."
)


def markdown_many(evaluation: ManyEvaluation) -> str:
    """A table per size of target."""
    parts = ["; ".join(f"{name} {value}" for name, value in evaluation.about.items()) + ".", _LEGEND]
    for size in shown_sizes(evaluation):
        reports = [report for report in evaluation.reports if report.size == size]
        first = reports[0]
        parts += [f"## Targets: {size} ({first.n} cases, {first.truth} true boxes)", _results(reports)]
    return "\n\n".join(parts) + "\n"


def _results(reports: Sequence[ManyReport]) -> str:
    heading = ("T", "method", "precision", "recall", "F1", "gain", "relative gain", "boxes", "no box")
    return table(heading, [_row(report) for report in reports], words=2)


def _row(report: ManyReport) -> Sequence[object]:
    base = report.method == BASE
    relative = "-" if base or report.relative is None else plus(report.relative) + " %"
    if report.relative_interval and relative != "-":
        relative += f" ({ends(report.relative_interval)})"
    return (
        f"{report.temperature:g}",
        report.method,
        within(report.precision, report.precision_interval),
        within(report.recall, report.recall_interval),
        within(report.f1, report.f1_interval),
        "-" if base else signed(report.gain, report.gain_interval),
        relative,
        report.boxes,
        report.missing,
    )


def many_as_csv(evaluation: ManyEvaluation) -> str:
    """One line per report, as `rows_as_csv` writes it."""
    return rows_as_csv(ManyReport, evaluation.reports)
