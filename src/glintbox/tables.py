"""An Evaluation as Markdown and as CSV: numbers in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.cells import differs, ends, percent, plus, rows_as_csv, signed, table, within
from glintbox.evaluate import ALL, GREEDY, ORACLE, Cost, Evaluation, Paired, Report, sizes_of


def markdown(evaluation: Evaluation) -> str:
    """A table per size of target, the differences between methods at each temperature, and the cost."""
    parts = ["; ".join(f"{name} {value}" for name, value in evaluation.about.items()) + ".", _LEGEND]
    for size in sizes_of(evaluation):
        reports = [report for report in evaluation.reports if report.size == size]
        parts += [f"## Targets: {size} ({reports[0].n} cases)", _results(reports)]
    for temperature in dict.fromkeys(pair.temperature for pair in evaluation.pairs):
        pairs = [p for p in evaluation.pairs if p.temperature == temperature and p.size == ALL]
        parts += [f"## Acc@0.5 of the row minus that of the column, T={temperature:g}", _matrix(pairs)]
    if evaluation.costs:
        parts += ["## Cost of a case", _COSTS, _costs(evaluation.costs)]
    return "\n\n".join(parts) + "\n"


_LEGEND = (
    "Acc@0.5, mIoU and AP@0.5 in % with 95 % bootstrap intervals; differences are paired case by case, bold where 0 "
    "lies outside the interval. Gap closed: share of the way from greedy to the best sample. AP@0.5 ranks the boxes of "
    "all cases by score; beside it the same with score 1 for all."
)


_COSTS = (
    "Prompts run, image tokens in all of them, answers written (those to one prompt together), and the median of "
    "seconds on the first cases, from the open picture to the box; CPU seconds where there is no GPU."
)


def _results(reports: Sequence[Report]) -> str:
    heading = ("T", "method", "Acc@0.5", "gain over greedy", "gap closed", "mIoU", "AP@0.5", "score 1", "no box")
    rows: list[Sequence[object]] = []
    for temperature in dict.fromkeys(report.temperature for report in reports):
        these = [report for report in reports if report.temperature == temperature]
        rows += [_row(report) for report in these]
        first = these[0]
        best = within(first.oracle, first.oracle_interval)
        rows.append((f"{temperature:g}", ORACLE, best, "-", "-", "-", "-", "-", "-", percent(first.unreadable)))
    return table((*heading, "unreadable"), rows, words=2)


def _row(report: Report) -> Sequence[object]:
    greedy = report.method == GREEDY
    gain = "-" if greedy else signed(report.gain, report.gain_interval)
    closed = "-" if greedy or report.gap_closed is None else percent(report.gap_closed, digits=0)
    if report.gap_interval and closed != "-":
        closed += f" ({ends(report.gap_interval, digits=0)})"
    ranked = ("-", "-")
    if report.ap_at_50 is not None and report.ap_interval is not None:
        ranked = (within(report.ap_at_50, report.ap_interval), percent(report.ap_unranked))
    acc, iou = within(report.acc_at_50, report.acc_interval), within(report.mean_iou, report.iou_interval)
    odd = percent(report.unreadable)
    return (f"{report.temperature:g}", report.method, acc, gain, closed, iou, *ranked, report.missing, odd)


def _matrix(pairs: Sequence[Paired]) -> str:
    """Every method against every other; the lower triangle is the upper one's negative."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.method, pair.other)))
    cells: dict[tuple[str, str], str] = {}
    for pair in pairs:
        for way, (one, other) in ((1, (pair.method, pair.other)), (-1, (pair.other, pair.method))):
            text = plus(way * pair.gain)
            cells[one, other] = f"**{text}**" if differs(pair.interval) else text
    rows = [(one, *(cells.get((one, other), "") for other in names)) for one in names]
    return table(("", *names), rows, words=1)


def _costs(costs: Sequence[Cost]) -> str:
    heading = ("method", "prompts", "image tokens", "answers", "seconds", "times greedy")
    base = next((cost.seconds for cost in costs if cost.method == GREEDY), None)
    rows = [
        (cost.method, f"{cost.prompts:.2g}", f"{cost.image_tokens:.0f}", f"{cost.answers:.3g}", f"{cost.seconds:.3f}",
         f"{cost.seconds / base:.1f}" if base else "-")
        for cost in costs
    ]  # fmt: skip
    return table(heading, rows, words=1)


def as_csv(evaluation: Evaluation) -> str:
    """One line per report, as `rows_as_csv` writes it."""
    return rows_as_csv(Report, evaluation.reports)
