"""Numbers that say how good boxes are: floats in, floats out. Knows neither models nor selectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from glintbox.boxes import Box, iou
from glintbox.errors import BadInput


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


def bootstrap(values: Sequence[float], *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Percentile interval of the mean when cases are drawn again with replacement."""
    cases = np.asarray(_some(values), dtype=np.float64)
    if resamples < 1 or not 0 < level < 1:
        raise BadInput(f"expected resamples >= 1 and 0 < level < 1, got {resamples} and {level}")
    generator = np.random.default_rng(seed)
    means = [cases[generator.integers(len(cases), size=len(cases))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(a) - mean(b) over the same cases, drawn together: 0 outside it = they differ."""
    if len(a) != len(b):
        raise BadInput(f"expected the same cases on both sides, got {len(a)} and {len(b)}")
    return bootstrap([x - y for x, y in zip(a, b, strict=True)], seed=seed, resamples=resamples, level=level)


def match(boxes: Sequence[Box], truth: Sequence[Box], threshold: float = 0.5) -> Matched:
    """One-to-one matching of one picture: the most pairs with IoU >= threshold (docs/acs.md 32)."""
    if not boxes or not truth:
        return Matched(len(boxes), len(truth), 0)
    hits = np.array([[iou(box, true) >= threshold for true in truth] for box in boxes])
    rows, cols = linear_sum_assignment(hits, maximize=True)
    return Matched(len(boxes), len(truth), int(hits[rows, cols].sum()))


def precision_recall_f1(pictures: Sequence[Matched]) -> Detection:
    """Over all pictures at once: matched / found, matched / true, harmonic mean; 0 where nothing matched."""
    found, truth, pairs = (sum(counts) for counts in zip(*pictures, strict=True)) if pictures else (0, 0, 0)
    precision, recall = pairs / max(1, found), pairs / max(1, truth)
    return Detection(precision, recall, 2 * precision * recall / (precision + recall) if pairs else 0.0)


def _some(values: Sequence[float]) -> Sequence[float]:
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise BadInput(f"expected one finite number per case and at least one case, got {list(values[:5])}")
    return values
