"""How often is the chosen box right? Cases and their Groundings → Evaluation; knows neither models nor selectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.metrics import (
    Interval,
    acc_at,
    ap_bootstrap,
    average_precision,
    best_iou,
    bootstrap,
    gap_bootstrap,
    gap_closed,
    mean_iou,
    paired_bootstrap,
)
from glintbox.records import Grounding, Sample, sampled

GREEDY = "greedy"
"""The method that takes greedy's first box."""

ORACLE = "best sample (oracle)"
"""What no selector can pass, by the name that tables and figures show."""

ALL = "all"
SIZES = {"< 0.1 %": (0.0, 0.001), "0.1-1 %": (0.001, 0.01), "1-5 %": (0.01, 0.05), "> 5 %": (0.05, 1.01)}
"""Share of the picture that the (largest) true box covers; the second is the paper's small object."""

SEED = 0
"""Of the bootstrap: the same cases give the same intervals."""

HIT = 0.5
"""A box with at least this IoU is right."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case, judged: IoU of the chosen box, of greedy's first box and of the best sampled box; 0 where none is.

    area: share of the picture that the largest true box covers. score: of the chosen box, where the method gives one.
    """

    id: str
    area: float
    chosen: float
    greedy: float
    oracle: float
    missing: bool
    unreadable: float
    score: float | None = None
    chosen_box: Box | None = None
    greedy_box: Box | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One method, at one temperature of the samples, over many cases: what a report is made of."""

    method: str
    temperature: float
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One method over the cases of one size; intervals are 95 % bootstrap, those of differences paired case by case.

    missing: cases without a chosen box. unreadable: share of answers that could not be read. oracle, greedy: Acc@0.5 of
    the best sampled box and of greedy's first. gap_closed: (chosen - greedy) / (oracle - greedy) in Acc@0.5, None where
    there is no gap; its interval is None where a resample has none. ap_at_50: ranked by score across cases, None where
    the method gives no score; ap_unranked: the same with score 1 for every box.
    """

    method: str
    temperature: float
    size: str
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
    oracle_interval: Interval
    gap_closed: float | None
    gap_interval: Interval | None
    ap_at_50: float | None
    ap_interval: Interval | None
    ap_unranked: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Acc@0.5 of one method minus that of another over the same cases, with its paired 95 % bootstrap interval."""

    method: str
    other: str
    temperature: float
    size: str
    gain: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Cost:
    """What one case costs: prompts run, image tokens in all of them, answers written; means.

    seconds: median, from the open picture to the chosen box; CPU seconds where there is no GPU.
    """

    method: str
    prompts: float
    image_tokens: float
    answers: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that one run says: what was asked, every report and difference, and where it was measured the cost."""

    about: Mapping[str, str]
    reports: tuple[Report, ...]
    pairs: tuple[Paired, ...]
    costs: tuple[Cost, ...] = ()


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
    chosen = [scored.box for scored in grounding.boxes[:1]]
    area = max(box.area for box in sample.truth) / (sample.size.width * sample.size.height)
    return Case(
        id=sample.id,
        area=area,
        chosen=best_iou(chosen, sample.truth),
        greedy=best_iou(grounding.greedy[:1], sample.truth),
        oracle=best_iou(candidates, sample.truth),
        missing=not chosen,
        unreadable=sum(r == "unreadable" for r in found.readings) / max(1, len(found.readings)),
        score=grounding.boxes[0].score if grounding.boxes else None,
        chosen_box=next(iter(chosen), None),
        greedy_box=next(iter(grounding.greedy), None),
    )


def judge(pairs: Iterable[tuple[Sample, Grounding]]) -> Judged:
    """Judge every pair of one method.

    Raises:
        BadInput: no pair, results of several methods or temperatures, or a pair that does not belong together.
    """
    cases: list[Case] = []
    methods: set[tuple[str, float]] = set()
    for sample, grounding in pairs:
        cases.append(judged(sample, grounding))
        methods.add((grounding.method, grounding.found.sampling.temperature))
    if len(methods) != 1:
        told = ", ".join(f"{name} at T={temperature}" for name, temperature in sorted(methods)) or "none"
        raise BadInput(f"expected results of one method at one temperature, got {told}")
    return Judged(*methods.pop(), tuple(cases))


def evaluate(methods: Sequence[Judged], *, about: Mapping[str, str], costs: Sequence[Cost] = ()) -> Evaluation:
    """Reports of all cases and of each size, and the difference of every two methods at the same temperature.

    Raises:
        BadInput: no method or no case, or methods of one temperature that were judged on different cases.
    """
    sizes = [by_size(method) for method in methods]
    if not methods or len({tuple(case.id for case in method.cases) for method in methods}) != 1:
        raise BadInput(f"expected at least one method, all judged on the same cases, got {len(methods)} methods")
    reports, pairs = [], []
    for size in sizes[0]:  # sizes outside: resamples of equally many cases are shared
        reports += [report(sized[size], size) for sized in sizes]
        pairs += [
            paired(a, b, size)
            for a, b in combinations([sized[size] for sized in sizes], 2)
            if a.temperature == b.temperature
        ]
    return Evaluation(dict(about), tuple(reports), tuple(pairs), tuple(costs))


def by_size(method: Judged) -> dict[str, Judged]:
    """All cases of a method, and those of each size of target that occurs."""
    groups = {
        name: tuple(case for case in method.cases if low <= case.area < high) for name, (low, high) in SIZES.items()
    }
    named = {ALL: method.cases} | {name: cases for name, cases in groups.items() if cases}
    return {name: Judged(method.method, method.temperature, cases) for name, cases in named.items()}


def sizes_of(evaluation: Evaluation) -> list[str]:
    """The sizes worth showing: "all" only where targets are of several sizes."""
    sizes = list(dict.fromkeys(found.size for found in evaluation.reports))
    return sizes if len(sizes) != 2 else [size for size in sizes if size != ALL]


def report(method: Judged, size: str = ALL) -> Report:
    """The numbers of a method over its cases, which are all of `size`.

    Raises:
        BadInput: no case.
    """
    cases = method.cases
    if not cases:
        raise BadInput(f"expected at least one case to report on for {method.method}, got none")
    chosen, greedy, best = (_hits(cases, which) for which in (_chosen, lambda case: case.greedy, lambda c: c.oracle))
    ious = [case.chosen for case in cases]
    right, scores = [bool(hit) for hit in chosen], [case.score for case in cases]
    ranks = any(score is not None for score in scores)
    return Report(
        method=method.method,
        temperature=method.temperature,
        size=size,
        n=len(cases),
        missing=sum(case.missing for case in cases),
        unreadable=mean_iou([case.unreadable for case in cases]),
        acc_at_50=acc_at(ious, HIT),
        acc_interval=bootstrap(chosen, seed=SEED),
        mean_iou=mean_iou(ious),
        iou_interval=bootstrap(ious, seed=SEED),
        gain=mean_iou(chosen) - mean_iou(greedy),
        gain_interval=paired_bootstrap(chosen, greedy, seed=SEED),
        greedy=mean_iou(greedy),
        oracle=mean_iou(best),
        oracle_interval=bootstrap(best, seed=SEED),
        gap_closed=gap_closed(mean_iou(greedy), mean_iou(chosen), mean_iou(best)),
        gap_interval=gap_bootstrap(greedy, chosen, best, seed=SEED),
        ap_at_50=average_precision(right, scores) if ranks else None,
        ap_interval=ap_bootstrap(right, scores, seed=SEED) if ranks else None,
        ap_unranked=average_precision(right, [None if case.missing else 1.0 for case in cases]),
    )


def paired(a: Judged, b: Judged, size: str = ALL) -> Paired:
    """How much more often a is right than b, over the same cases."""
    of_a, of_b = _hits(a.cases, _chosen), _hits(b.cases, _chosen)
    gain = mean_iou(of_a) - mean_iou(of_b)
    return Paired(a.method, b.method, a.temperature, size, gain, paired_bootstrap(of_a, of_b, seed=SEED))


def outcomes(method: Judged) -> dict[str, list[Case]]:
    """Cases where the choice changed what is right: found by it alone, lost by it alone, missed by both though sampled.

    In the order of the cases, so that the first of each are no picked examples.
    """
    return {
        "only the chosen box is right": [c for c in method.cases if c.chosen >= HIT > c.greedy],
        "only greedy is right": [c for c in method.cases if c.greedy >= HIT > c.chosen],
        "both are wrong, another sample is right": [
            c for c in method.cases if c.oracle >= HIT > max(c.chosen, c.greedy)
        ],
    }


def _hits(cases: Sequence[Case], which: Callable[[Case], float]) -> list[float]:
    return [float(which(case) >= HIT) for case in cases]


def _chosen(case: Case) -> float:
    return case.chosen
