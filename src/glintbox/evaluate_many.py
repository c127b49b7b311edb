"""How many objects of a picture are found? Cases and their sets of boxes → precision, recall, F1 (docs/acs.md 32).

The sibling of `evaluate` for several objects: counts are added up over all cases before anything is divided, and every
method is compared with greedy decoding after non-maximum suppression, as Table 6 of the paper does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from glintbox.boxes import Box, nms
from glintbox.errors import BadInput
from glintbox.evaluate import ALL, GREEDY, HIT, ORACLE, SEED, SIZES
from glintbox.metrics import Interval, Matched, detection_bootstrap, gain_bootstrap, match, precision_recall_f1
from glintbox.records import CandidateSet, Sample, Selector, sampled

SUPPRESSION: Mapping[str, float | None] = {GREEDY: None, "greedy + NMS 0.5": 0.5, "greedy + NMS 0.8": 0.8}
"""Greedy's boxes, as they are and after suppression at that IoU: Table 6's baselines."""

BASE = "greedy + NMS 0.5"
"""What every method is compared with: the paper's strongest baseline."""

Choice = Callable[[CandidateSet], Sequence[Box]]
"""From a set to the boxes that a method gives."""


@dataclass(frozen=True, slots=True)
class ManyCase:
    """One case, judged: boxes given, true boxes, and pairs of them that match one to one at IoU 0.5.

    area: share of the picture that the largest true box covers. unreadable: share of answers that could not be read.
    """

    id: str
    area: float
    matched: Matched
    unreadable: float


@dataclass(frozen=True, slots=True)
class JudgedMany:
    """One method, at one temperature of the samples, over many cases."""

    method: str
    temperature: float
    cases: tuple[ManyCase, ...]


@dataclass(frozen=True, slots=True)
class ManyReport:
    """One method over the cases of one size; intervals are 95 % bootstrap over cases.

    boxes, truth: how many were given and how many there are; missing: cases without a box. gain: F1 minus that of
    `BASE` on the same cases, relative: as a share of it, both with intervals from cases drawn together; relative is
    None where `BASE` has no F1, its interval where that of some draw has none.
    """

    method: str
    temperature: float
    size: str
    n: int
    boxes: int
    truth: int
    missing: int
    unreadable: float
    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    f1_interval: Interval
    gain: float
    gain_interval: Interval
    relative: float | None
    relative_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ManyEvaluation:
    """Everything that one run says of several objects: what was asked, and every report."""

    about: Mapping[str, str]
    reports: tuple[ManyReport, ...]


def greedy_boxes(found: CandidateSet, suppress: float | None = None) -> tuple[Box, ...]:
    """All boxes of the greedy answer in text order; suppress: drop those with this IoU or more to an earlier one."""
    boxes = [c.box for c in found.candidates if found.responses[c.response].source == "greedy"]
    return tuple(boxes) if suppress is None else tuple(boxes[k] for k in nms(boxes, [0.0] * len(boxes), suppress))


def choices(selectors: Mapping[str, Selector]) -> dict[str, Choice]:
    """Every method by name: greedy without and with suppression, then the selectors, made with `multiple`."""

    def greedy(suppress: float | None) -> Choice:
        return lambda found: greedy_boxes(found, suppress)

    def chosen(by: Selector) -> Choice:
        return lambda found: [scored.box for scored in by.choose(found)]

    made = {name: greedy(threshold) for name, threshold in SUPPRESSION.items()}
    return made | {name: chosen(by) for name, by in selectors.items()}


def judged_many(sample: Sample, found: CandidateSet, boxes: Sequence[Box]) -> ManyCase:
    """Compare the boxes that a method gives with all true ones.

    Raises:
        BadInput: the set belongs to another case, or the case has no true box.
    """
    if sample.id != found.id or not sample.truth:
        raise BadInput(
            f"expected answers and a true box of case {sample.id}, got answers to {found.id} "
            f"and {len(sample.truth)} true boxes"
        )
    area = max(box.area for box in sample.truth) / (sample.size.width * sample.size.height)
    unreadable = sum(reading == "unreadable" for reading in found.readings) / max(1, len(found.readings))
    return ManyCase(sample.id, area, match(boxes, sample.truth, HIT), unreadable)


def best_many(sample: Sample, found: CandidateSet) -> ManyCase:
    """What no selector can pass: exactly the sampled boxes that match a true one, each once (the oracle)."""
    case = judged_many(sample, found, [found.candidates[i].box for i in sampled(found)])
    right = case.matched.pairs
    return ManyCase(case.id, case.area, Matched(right, case.matched.truth, right), case.unreadable)


def judge_many(pairs: Iterable[tuple[Sample, CandidateSet]], selectors: Mapping[str, Selector]) -> list[JudgedMany]:
    """Judge greedy, every selector and the oracle on the same answers, one case after the other.

    Raises:
        BadInput: no case, answers drawn at several temperatures, and as `judged_many`.
    """
    methods, temperatures = choices(selectors), set()
    cases: dict[str, list[ManyCase]] = {name: [] for name in (*methods, ORACLE)}
    for sample, found in pairs:
        temperatures.add(found.sampling.temperature)
        for name, choose in methods.items():
            cases[name].append(judged_many(sample, found, choose(found)))
        cases[ORACLE].append(best_many(sample, found))
    if len(temperatures) != 1:
        raise BadInput(f"expected cases answered at one temperature, got {sorted(temperatures) or 'no case'}")
    [temperature] = temperatures
    return [JudgedMany(name, temperature, tuple(own)) for name, own in cases.items()]


def evaluate_many(methods: Sequence[JudgedMany], *, about: Mapping[str, str]) -> ManyEvaluation:
    """Reports of all cases and of each size of target, each beside `BASE` at the same temperature.

    Raises:
        BadInput: no method or no case, methods that were judged on different cases, or no `BASE` among them.
    """
    if len({tuple(case.id for case in method.cases) for method in methods}) != 1 or not methods[0].cases:
        raise BadInput(f"expected at least one method, all judged on the same cases, got {len(methods)} methods")
    base = {method.temperature: method.cases for method in methods if method.method == BASE}
    if odd := {method.temperature for method in methods} - set(base):
        raise BadInput(f"expected {BASE!r} at every temperature to compare with, got none at {sorted(odd)}")
    reports = [
        report_many(method, base[method.temperature], size, places)
        for size, places in _sizes(
            methods[0].cases
        ).items()  # sizes outside: resamples of equally many cases are shared
        for method in methods
    ]
    return ManyEvaluation(dict(about), tuple(reports))


def report_many(method: JudgedMany, base: Sequence[ManyCase], size: str, places: Sequence[int]) -> ManyReport:
    """The numbers of a method over the cases at `places`, which are all of `size`, beside those of `base`."""
    cases = [method.cases[k] for k in places]
    own, other = [case.matched for case in cases], [base[k].matched for k in places]
    numbers, intervals = precision_recall_f1(own), detection_bootstrap(own, seed=SEED)
    gain = gain_bootstrap(own, other, seed=SEED)
    return ManyReport(
        method=method.method,
        temperature=method.temperature,
        size=size,
        n=len(cases),
        boxes=sum(one.found for one in own),
        truth=sum(one.truth for one in own),
        missing=sum(not one.found for one in own),
        unreadable=fmean(case.unreadable for case in cases),
        precision=numbers.precision,
        precision_interval=intervals.precision,
        recall=numbers.recall,
        recall_interval=intervals.recall,
        f1=numbers.f1,
        f1_interval=intervals.f1,
        gain=gain.points,
        gain_interval=gain.interval,
        relative=gain.relative,
        relative_interval=gain.relative_interval,
    )


def _sizes(cases: Sequence[ManyCase]) -> dict[str, list[int]]:
    """Places of all cases, and of those of each size of target that occurs."""
    every = {
        name: [k for k, case in enumerate(cases) if low <= case.area < high] for name, (low, high) in SIZES.items()
    }
    return {ALL: list(range(len(cases)))} | {name: places for name, places in every.items() if places}


def shown_sizes(evaluation: ManyEvaluation) -> list[str]:
    """The sizes worth showing: "all" only where targets are of several sizes."""
    sizes = list(dict.fromkeys(report.size for report in evaluation.reports))
    return sizes if len(sizes) != 2 else [size for size in sizes if size != ALL]
