"""Numbers that say how good boxes are: floats in, floats out. Knows neither models nor selectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float64
from scipy.optimize import linear_sum_assignment

from glintbox.boxes import Box, iou, pairwise_iou
from glintbox.errors import BadInput

T = TypeVar("T")


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Matched(NamedTuple):
    """Counts of one picture, or of many added up: boxes found, true boxes, pairs of them that match."""

    found: int
    truth: int
    pairs: int


class Detection(NamedTuple):
    """Precision, recall and their harmonic mean, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


class DetectionIntervals(NamedTuple):
    """The interval of each number of a `Detection`."""

    precision: Interval
    recall: Interval
    f1: Interval


class Overlap(NamedTuple):
    """Pixels that a found mask and the true one share, and that one or both have."""

    shared: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both are empty: nothing was found where there is nothing (ReasonSeg)."""
        return self.shared / self.union if self.union else 1.0


class Gain(NamedTuple):
    """How much an F1 is above another one: the difference, and as a share of the other (0.07 = 7 % more)."""

    points: float
    interval: Interval
    relative: float | None
    relative_interval: Interval | None


def best_iou(boxes: Sequence[Box], truth: Sequence[Box]) -> float:
    """The highest IoU of any box with any true one: 0 where there is none. Of all candidates: the oracle's."""
    return max((iou(box, true) for box in boxes for true in truth), default=0.0)


def acc_at(ious: Sequence[float], threshold: float = 0.5) -> float:
    """Share of cases with IoU >= threshold; a case without a box counts with IoU 0 (docs/acs.md 24)."""
    return fmean(value >= threshold for value in _some(ious))


def mean_iou(ious: Sequence[float]) -> float:
    """Mean IoU over all cases; a case without a box counts with IoU 0."""
    return fmean(_some(ious))


def oracle(candidates: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Per case the best IoU among its candidates, 0 where there is none: what no selector can exceed."""
    return tuple(max(ious, default=0.0) for ious in candidates)


def gap_closed(greedy: float, selected: float, best: float) -> float | None:
    """How much of the way from greedy to the oracle (`best`) a selector goes: 1 = all; None where there is no way."""
    return (selected - greedy) / (best - greedy) if best > greedy else None


def average_precision(hits: Sequence[bool], scores: Sequence[float | None]) -> float:
    """AP over cases with one true object each: area under the interpolated precision-recall curve (VOC 2010).

    Boxes of all cases are ranked by score; equal scores are passed together, so that order says nothing where the
    score does not. A case without a box (None) still has its object. Equal scores give precision x recall.

    Raises:
        BadInput: no case, or not one score per hit.
    """
    weights = np.ones((1, len(_paired(hits, scores))))
    return float(_precisions(hits, scores, weights)[0])


def bootstrap(values: Sequence[float], *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Percentile interval of the mean when cases are drawn again with replacement.

    Equal seeds and numbers of cases draw the same cases, so that intervals of several methods go together.
    """
    cases = np.asarray(_some(values), dtype=np.float64)
    return _interval(_draws(len(cases), seed, _checked(resamples, level)) @ cases / len(cases), level)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(a) - mean(b) over the same cases, drawn together: 0 outside it = they differ."""
    difference = [x - y for x, y in zip(a, _paired(b, a), strict=True)]
    return bootstrap(difference, seed=seed, resamples=resamples, level=level)


def gap_bootstrap(
    greedy: Sequence[float],
    selected: Sequence[float],
    best: Sequence[float],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval | None:
    """Percentile interval of `gap_closed` over the same cases, drawn together; None where some draw has no gap."""
    base = np.asarray(_some(_paired(greedy, best)), dtype=np.float64)
    drawn = _draws(len(base), seed, _checked(resamples, level))
    gap = drawn @ (np.asarray(best, dtype=np.float64) - base)
    closed = drawn @ (np.asarray(_paired(selected, best), dtype=np.float64) - base)
    return _interval(closed / gap, level) if (gap > 0).all() else None


def ap_bootstrap(
    hits: Sequence[bool], scores: Sequence[float | None], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval of `average_precision` when cases are drawn again with replacement."""
    drawn = _draws(len(_paired(hits, scores)), seed, _checked(resamples, level))
    parts = [_precisions(hits, scores, drawn[at : at + 200]) for at in range(0, resamples, 200)]  # bounds memory
    return _interval(np.concatenate(parts), level)


@lru_cache(maxsize=2)
def _draws(cases: int, seed: int, resamples: int) -> Float64[np.ndarray, "resample case"]:
    """How often each case is drawn in each resample; reports ask for the same ones many times."""
    generator = np.random.default_rng(seed)
    counts = [np.bincount(generator.integers(cases, size=cases), minlength=cases) for _ in range(resamples)]
    return np.array(counts, dtype=np.float64)


def _precisions(
    hits: Sequence[bool], scores: Sequence[float | None], weights: Float64[np.ndarray, "resample case"]
) -> Float64[np.ndarray, " resample"]:
    """Average precision where each case counts `weights` times."""
    total = weights.sum(1)
    ranked = sorted((k for k, score in enumerate(scores) if score is not None), key=lambda k: -(scores[k] or 0.0))
    values = np.array([scores[k] for k in ranked], dtype=np.float64)
    ends = np.flatnonzero(np.append(np.diff(values) != 0, len(ranked) > 0)).tolist()
    found = weights[:, ranked].cumsum(1)[:, ends]
    right = (weights[:, ranked] * np.array([hits[k] for k in ranked], dtype=np.float64)).cumsum(1)[:, ends]
    precision = right / np.maximum(found, 1)
    interpolated = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    gained = np.diff(right, axis=1, prepend=0.0)
    area: Float64[np.ndarray, " resample"] = (gained * interpolated).sum(1) / total
    return area


def _interval(values: Float64[np.ndarray, " resample"], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _checked(resamples: int, level: float) -> int:
    if resamples < 1 or not 0 < level < 1:
        raise BadInput(f"expected resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    return resamples


def _paired(values: Sequence[T], others: Sequence[object]) -> Sequence[T]:
    if len(values) != len(others) or not len(values):
        raise BadInput(f"expected the same cases on both sides, got {len(others)} and {len(values)}")
    return values


def giou(cases: Sequence[Overlap]) -> float:
    """Mean IoU of the cases' masks, each case alike (gIoU of ReasonSeg; no relation to generalized IoU of boxes)."""
    return mean_iou([case.iou for case in cases])


def giou_bootstrap(cases: Sequence[Overlap], *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Percentile interval of `giou` when cases are drawn again with replacement."""
    return bootstrap([case.iou for case in cases], seed=seed, resamples=resamples, level=level)


def ciou(cases: Sequence[Overlap]) -> float:
    """Cumulative IoU: all shared pixels over all pixels of unions, so that large objects count for more.

    Raises:
        BadInput: no case.
    """
    shared, union = np.array(_paired(cases, cases)).sum(0).tolist()
    return Overlap(shared, union).iou


def ciou_bootstrap(cases: Sequence[Overlap], *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Percentile interval of `ciou` when cases are drawn again with replacement."""
    drawn = _draws(len(_paired(cases, cases)), seed, _checked(resamples, level))
    shared, union = (drawn @ np.array(cases, dtype=np.float64)).T
    return _interval(np.where(union > 0, shared / np.maximum(union, 1), 1.0), level)


def match(boxes: Sequence[Box], truth: Sequence[Box], threshold: float = 0.5) -> Matched:
    """One-to-one matching of one picture: the most pairs with IoU >= threshold (docs/acs.md 32)."""
    hits = pairwise_iou(boxes, truth) >= threshold
    rows, cols = linear_sum_assignment(hits, maximize=True)
    return Matched(len(boxes), len(truth), int(hits[rows, cols].sum()))


def precision_recall_f1(pictures: Sequence[Matched]) -> Detection:
    """Over all pictures at once: matched / found, matched / true, harmonic mean; 0 where nothing matched."""
    found, truth, pairs = (sum(counts) for counts in zip(*pictures, strict=True)) if pictures else (0, 0, 0)
    precision, recall = pairs / max(1, found), pairs / max(1, truth)
    return Detection(precision, recall, 2 * precision * recall / (precision + recall) if pairs else 0.0)


def detection_bootstrap(
    pictures: Sequence[Matched], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> DetectionIntervals:
    """Percentile intervals of `precision_recall_f1` when pictures are drawn again with replacement."""
    drawn = _detections(pictures, seed, _checked(resamples, level))
    return DetectionIntervals(*(_interval(values, level) for values in drawn))


def gain_bootstrap(
    a: Sequence[Matched], b: Sequence[Matched], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Gain:
    """F1 of a minus that of b, and as a share of b's, over the same pictures, drawn together.

    The relative gain is None where b's F1 is 0, its interval where that of some draw is.

    Raises:
        BadInput: no picture, or not the same number on both sides.
    """
    (_, _, of_a), (_, _, of_b) = (
        _detections(_paired(x, y), seed, _checked(resamples, level)) for x, y in ((a, b), (b, a))
    )
    now, base = precision_recall_f1(a).f1, precision_recall_f1(b).f1
    relative = _interval(of_a / of_b - 1, level) if (of_b > 0).all() else None
    return Gain(now - base, _interval(of_a - of_b, level), now / base - 1 if base else None, relative)


def _detections(
    pictures: Sequence[Matched], seed: int, resamples: int
) -> Float64[np.ndarray, "precision_recall_f1=3 resample"]:
    counts = np.array([tuple(picture) for picture in pictures], dtype=np.float64)
    found, truth, pairs = (_draws(len(_paired(pictures, pictures)), seed, resamples) @ counts).T
    f1 = 2 * pairs / np.maximum(1, found + truth)  # the harmonic mean of the other two
    return np.stack([pairs / np.maximum(1, found), pairs / np.maximum(1, truth), f1])


def _some(values: Sequence[float]) -> Sequence[float]:
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise BadInput(f"expected one finite number per case and at least one case, got {list(values[:5])}")
    return values
