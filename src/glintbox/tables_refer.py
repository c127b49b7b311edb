"""A ReferEvaluation as Markdown and as CSV: one table of all methods, where each wins, and every paired difference."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.cells import percent, rows_as_csv, signed, table, within
from glintbox.evaluate_refer import EVERY, Group, ReferEvaluation, ReferPaired, ReferReport
from glintbox.metrics import Interval

_LEGEND = (
    "REC: Acc@0.5 (a box is right at IoU >= 0.5; no box is wrong) and mIoU. RES: cIoU (shared pixels of all cases over "
    "those of all unions) and gIoU (mean IoU of the masks; an empty mask where nothing is found). A method that gives "
    "a box and no mask is judged by its box, filled. *Category alone*: Acc@0.5 when the category is asked for in place "
    "of the expression, against the same box; *words*: what the expression adds to that. In %, with 95 % bootstrap "
    "intervals; differences are paired case by case, bold where 0 lies outside the interval."
)
_WINS = "Acc@0.5 in %, the highest of each column bold; under each group its number of expressions."
_TITLES = {"size": "size of the target", "kind": "kind of expression", "words": "need for words"}


def markdown_refer(evaluation: ReferEvaluation) -> str:
    """All methods over all cases, then by size, kind and need for words, then in pairs."""
    parts = ["; ".join(f"{name} {value}" for name, value in evaluation.about.items()) + ".", _LEGEND]
    parts += [f"## All expressions ({_of(evaluation, EVERY)[0].n})", _results(_of(evaluation, EVERY))]
    for by, title in _TITLES.items():
        groups = [group for group in shown_groups(evaluation) if group.by == by]
        if groups:
            parts += [f"## By {title}", _WINS, _wins(evaluation, groups)]
            parts += [f"### {group.name}\n\n{_results(_of(evaluation, group))}" for group in groups]
    for group in shown_groups(evaluation):
        pairs = [pair for pair in evaluation.pairs if (pair.by, pair.group) == group]
        if pairs and group.by in (EVERY.by, "size"):
            name = "all expressions" if group == EVERY else f"targets of {group.name}"
            parts += [f"## Acc@0.5 of the row minus that of the column: {name}", _matrix(pairs)]
    return "\n\n".join(parts) + "\n"


def shown_groups(evaluation: ReferEvaluation) -> list[Group]:
    """The groups of an evaluation, all cases first."""
    return list(dict.fromkeys(Group(one.by, one.group) for one in evaluation.reports))


def _of(evaluation: ReferEvaluation, group: Group) -> list[ReferReport]:
    return [one for one in evaluation.reports if (one.by, one.group) == group]


def _results(reports: Sequence[ReferReport]) -> str:
    heading = ("method", "Acc@0.5", "mIoU", "cIoU", "gIoU", "category alone", "words", "no box")
    return table(heading, [_row(one) for one in reports], words=1)


def _row(one: ReferReport) -> Sequence[object]:
    return (
        one.method,
        within(one.acc_at_50, one.acc_interval),
        within(one.mean_iou, one.iou_interval),
        _known(one.ciou, one.ciou_interval),
        _known(one.giou, one.giou_interval),
        _known(one.category, one.category_interval),
        "-" if one.words is None or one.words_interval is None else signed(one.words, one.words_interval),
        one.missing,
    )


def _known(value: float | None, interval: Interval | None) -> str:
    return "-" if value is None or interval is None else within(value, interval)


def _wins(evaluation: ReferEvaluation, groups: Sequence[Group]) -> str:
    """Every method's accuracy in every group, side by side."""
    columns = [{one.method: one for one in _of(evaluation, group)} for group in (EVERY, *groups)]
    names = ["all", *(group.name for group in groups)]
    heading = ("method", *(f"{name} ({next(iter(of.values())).n})" for name, of in zip(names, columns, strict=True)))
    best = [max(one.acc_at_50 for one in of.values()) for of in columns]
    rows = [
        (method, *(_marked(of[method].acc_at_50, top) for of, top in zip(columns, best, strict=True)))
        for method in columns[0]
    ]
    return table(heading, rows, words=1)


def _marked(value: float, best: float) -> str:
    return f"**{percent(value)}**" if value == best else percent(value)


def _matrix(pairs: Sequence[ReferPaired]) -> str:
    """Every method against every other, with the paired interval; the lower triangle is the upper one's negative."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.method, pair.other)))
    cells: dict[tuple[str, str], str] = {}
    for pair in pairs:
        low, high = pair.interval
        cells[pair.method, pair.other] = signed(pair.gain, pair.interval)
        cells[pair.other, pair.method] = signed(-pair.gain, Interval(-high, -low))
    return table(("", *names), [(one, *(cells.get((one, other), "") for other in names)) for one in names], words=1)


def refer_as_csv(evaluation: ReferEvaluation) -> str:
    """One line per report, as `rows_as_csv` writes it."""
    return rows_as_csv(ReferReport, evaluation.reports)
