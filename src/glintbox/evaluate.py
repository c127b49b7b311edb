"""How often is the chosen box right? Pairs of a case and its Grounding → Report; knows neither models nor selectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.metrics import Interval, acc_at, best_iou, bootstrap, gap_closed, mean_iou, paired_bootstrap
from glintbox.records import Grounding, Sample, sampled

SIZES = {"0.1-1 %": (0.001, 0.01), "1-5 %": (0.01, 0.05), "> 5 %": (0.05, 1.01)}
"""Share of the picture that the (largest) true box covers; the first is the paper's small object."""

SEED = 0
"""Of the bootstrap: the same cases give the same intervals."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case, judged: IoU of the chosen box, of greedy's first box and of the best sampled box; 0 where none is."""

    id: str
    area: float
    chosen: float
    greedy: float
    oracle: float
    missing: bool
    unreadable: float


@dataclass(frozen=True, slots=True)
class Report:
    """One method over many cases; intervals are 95 % bootstrap, those of a gain paired case by case.

    missing: cases without a chosen box. unreadable: share of answers that could not be read. oracle, greedy: Acc@0.5 of
    the best sampled box and of greedy's first. gap_closed: (chosen - greedy) / (oracle - greedy) in Acc@0.5, None where
    there is no gap.
    """

    method: str
    n: int
    missing: int
    unreadable: float
    acc_at_50: float
    acc_interval: Interval
    mean_iou: float
    iou_interval: Interval
    gain: float
    gain_interval: Interval
    greedy: float
    oracle: float
    gap_closed: float | None
    per_sample: tuple[Case, ...]


def judged(sample: Sample, grounding: Grounding) -> Case:
    """Compare a result with the truth; the first box is the chosen one, as in the single-object setting.

    Raises:
        BadInput: the result belongs to another case, or the case has no true box.
    """
    if sample.id != grounding.id or not sample.truth:
        raise BadInput(
            f"expected a result and a true box of case {sample.id}, got a result of {grounding.id} "
            f"and {len(sample.truth)} true boxes"
        )
    found = grounding.found
    candidates = [found.candidates[i].box for i in sampled(found)]
    area = max(box.area for box in sample.truth) / (sample.size.width * sample.size.height)
    return Case(
        id=sample.id,
        area=area,
        chosen=_first([scored.box for scored in grounding.boxes], sample),
        greedy=_first(grounding.greedy, sample),
        oracle=best_iou(candidates, sample.truth),
        missing=not grounding.boxes,
        unreadable=sum(r == "unreadable" for r in found.readings) / max(1, len(found.readings)),
    )


def _first(boxes: Sequence[Box], sample: Sample) -> float:
    return best_iou(boxes[:1], sample.truth)


def evaluate(pairs: Iterable[tuple[Sample, Grounding]]) -> Report:
    """Judge every pair of one method.

    Raises:
        BadInput: no pair, results of several methods, or a pair that does not belong together.
    """
    cases: list[Case] = []
    methods: set[str] = set()
    for sample, grounding in pairs:
        cases.append(judged(sample, grounding))
        methods.add(grounding.method)
    if len(methods) != 1:
        raise BadInput(f"expected results of one method, got {', '.join(sorted(methods)) or 'none'}")
    return summarised(methods.pop(), cases)


def summarised(method: str, cases: Sequence[Case]) -> Report:
    """The report of some judged cases.

    Raises:
        BadInput: no case.
    """
    if not cases:
        raise BadInput(f"expected at least one case to report on for {method}, got none")

    def hits(value: Callable[[Case], float]) -> list[float]:
        return [float(value(case) >= 0.5) for case in cases]

    chosen, greedy, best = (hits(value) for value in (lambda c: c.chosen, lambda c: c.greedy, lambda c: c.oracle))
    ious = [case.chosen for case in cases]
    return Report(
        method=method,
        n=len(cases),
        missing=sum(case.missing for case in cases),
        unreadable=sum(case.unreadable for case in cases) / len(cases),
        acc_at_50=acc_at(ious),
        acc_interval=bootstrap(chosen, seed=SEED),
        mean_iou=mean_iou(ious),
        iou_interval=bootstrap(ious, seed=SEED),
        gain=mean_iou(chosen) - mean_iou(greedy),
        gain_interval=paired_bootstrap(chosen, greedy, seed=SEED),
        greedy=mean_iou(greedy),
        oracle=mean_iou(best),
        gap_closed=gap_closed(mean_iou(greedy), mean_iou(chosen), mean_iou(best)),
        per_sample=tuple(cases),
    )


def by_size(report: Report) -> dict[str, Report]:
    """The report of each size of target that occurs."""
    groups = {
        name: [case for case in report.per_sample if low <= case.area < high] for name, (low, high) in SIZES.items()
    }
    return {name: summarised(report.method, cases) for name, cases in groups.items() if cases}
