"""Referring expressions: is the box the right one (REC), does the mask fit (RES), and how much do the words matter?

Cases and their Groundings → ReferEvaluation. As evaluate.py, for expressions, which mean exactly one object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from glintbox.boxes import Box, Size
from glintbox.datasets.referred import Referred
from glintbox.errors import BadInput
from glintbox.evaluate import ALL, HIT, SEED, SIZES
from glintbox.masks import encode, overlap
from glintbox.metrics import (
    Interval,
    Overlap,
    acc_at,
    best_iou,
    bootstrap,
    ciou,
    ciou_bootstrap,
    giou,
    giou_bootstrap,
    mean_iou,
    paired_bootstrap,
)
from glintbox.records import Grounding, Rle, ScoredBox, T

NEEDS = {True: "needs more than the category", False: "the category alone does"}
"""Groups by whether others of the target's category are in the picture."""


class Group(NamedTuple):
    """Some of the cases: all, or those of a size of target, a kind of expression, or a need for words."""

    by: str
    name: str


EVERY = Group(ALL, ALL)


@dataclass(frozen=True, slots=True)
class ReferCase:
    """One expression, judged for one method.

    area: share of the picture that the true box covers. iou: of the chosen box, 0 where there is none. mask: pixels
    that the found and the true mask share, and that one or both have; None where the data have no mask. category: IoU
    of the box that the method gives to the category alone, None where that was not asked.
    """

    id: str
    area: float
    kind: str
    needs_more: bool | None
    iou: float
    missing: bool
    mask: Overlap | None
    category: float | None


@dataclass(frozen=True, slots=True)
class ReferMethod:
    """One method over many expressions: what a report is made of."""

    method: str
    cases: tuple[ReferCase, ...]


@dataclass(frozen=True, slots=True)
class ReferReport:
    """One method over the cases of one group; intervals are 95 % bootstrap.

    ciou, giou: None where some case has no mask. category: Acc@0.5 when the category is asked for in place of the
    expression; words: what the expression adds to that, its interval paired case by case; None where it is unknown.
    """

    method: str
    by: str
    group: str
    n: int
    missing: int
    acc_at_50: float
    acc_interval: Interval
    mean_iou: float
    iou_interval: Interval
    ciou: float | None
    ciou_interval: Interval | None
    giou: float | None
    giou_interval: Interval | None
    category: float | None
    category_interval: Interval | None
    words: float | None
    words_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ReferPaired:
    """Acc@0.5 of one method minus that of another over the same cases of a group, with its paired 95 % interval."""

    method: str
    other: str
    by: str
    group: str
    gain: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class ReferEvaluation:
    """Everything that one run says: what was asked, every report, every difference between two methods."""

    about: Mapping[str, str]
    reports: tuple[ReferReport, ...]
    pairs: tuple[ReferPaired, ...]


def judge_refer(case: Referred, found: Grounding, category: Sequence[ScoredBox] | None = None) -> ReferCase:
    """Compare the first box of a result, and its mask, with the truth.

    category: the boxes for the target's category alone, best first. A box without a mask is its own mask, filled.

    Raises:
        BadInput: the result belongs to another case, or a mask to another picture.
    """
    sample = case.sample
    if sample.id != found.id:
        raise BadInput(f"expected a result of case {sample.id}, got one of {found.id}")
    first = found.boxes[:1]
    return ReferCase(
        id=sample.id,
        area=case.share,
        kind=case.kind,
        needs_more=case.needs_more,
        iou=best_iou([one.box for one in first], sample.truth),
        missing=not first,
        mask=overlap(mask_of(first, sample.size), sample.mask, ignore=case.ignore) if sample.mask else None,
        category=None if category is None else best_iou([one.box for one in category[:1]], sample.truth),
    )


def mask_of(found: Sequence[ScoredBox], size: Size) -> Rle:
    """The mask of the first box, or where it has none the box, filled; without a box an empty one."""
    if not found:
        return Rle(size, (size.width * size.height,))
    return found[0].mask or filled(found[0].box, size)


def filled(box: Box, size: Size) -> Rle:
    """A box as the mask of a picture: the pixels whose middles lie in it."""
    across, down = np.arange(size.width) + 0.5, np.arange(size.height) + 0.5
    inside = ((down >= box.y1) & (down < box.y2))[:, None] & (across >= box.x1) & (across < box.x2)
    return encode(inside)


def evaluate_refer(methods: Sequence[ReferMethod], *, about: Mapping[str, str]) -> ReferEvaluation:
    """Reports of all cases and of each size, kind and need for words, and the difference of every two methods.

    Raises:
        BadInput: no method or no case, or methods that were judged on different cases.
    """
    if not methods or len({tuple(case.id for case in method.cases) for method in methods}) != 1:
        raise BadInput(f"expected at least one method, all judged on the same cases, got {len(methods)} methods")
    reports: list[ReferReport] = []
    pairs: list[ReferPaired] = []
    for group, places in groups(methods[0].cases).items():  # outside: resamples of equally many cases are shared
        these = [ReferMethod(one.method, tuple(one.cases[k] for k in places)) for one in methods]
        reports += [report(one, group) for one in these]
        pairs += [_paired(a, b, group) for a, b in combinations(these, 2)]
    return ReferEvaluation(dict(about), tuple(reports), tuple(pairs))


def groups(cases: Sequence[ReferCase]) -> dict[Group, list[int]]:
    """The groups that tell something, and the places of their cases: those that are neither empty nor all."""
    found = {Group("size", name): _places(cases, low, high) for name, (low, high) in SIZES.items()}
    for kind in dict.fromkeys(sorted(case.kind for case in cases)):
        found[Group("kind", kind)] = [k for k, case in enumerate(cases) if case.kind == kind]
    for needs, name in NEEDS.items():
        found[Group("words", name)] = [k for k, case in enumerate(cases) if case.needs_more is needs]
    every = {EVERY: list(range(len(cases)))}
    return every | {group: places for group, places in found.items() if 0 < len(places) < len(cases)}


def _places(cases: Sequence[ReferCase], low: float, high: float) -> list[int]:
    return [k for k, case in enumerate(cases) if low <= case.area < high]


def report(method: ReferMethod, group: Group = EVERY) -> ReferReport:
    """The numbers of a method over its cases, which are all of the group.

    Raises:
        BadInput: no case.
    """
    cases = method.cases
    if not cases:
        raise BadInput(f"expected at least one case to report on for {method.method}, got none")
    ious = [case.iou for case in cases]
    right = _hits(ious)
    masks = _all(cases, lambda case: case.mask)
    alone = _all(cases, lambda case: case.category)
    guessed = _hits(alone) if alone else None
    return ReferReport(
        method=method.method,
        by=group.by,
        group=group.name,
        n=len(cases),
        missing=sum(case.missing for case in cases),
        acc_at_50=acc_at(ious, HIT),
        acc_interval=bootstrap(right, seed=SEED),
        mean_iou=mean_iou(ious),
        iou_interval=bootstrap(ious, seed=SEED),
        ciou=ciou(masks) if masks else None,
        ciou_interval=ciou_bootstrap(masks, seed=SEED) if masks else None,
        giou=giou(masks) if masks else None,
        giou_interval=giou_bootstrap(masks, seed=SEED) if masks else None,
        category=mean_iou(guessed) if guessed else None,
        category_interval=bootstrap(guessed, seed=SEED) if guessed else None,
        words=mean_iou(right) - mean_iou(guessed) if guessed else None,
        words_interval=paired_bootstrap(right, guessed, seed=SEED) if guessed else None,
    )


def _all(cases: Sequence[ReferCase], which: Callable[[ReferCase], T | None]) -> list[T] | None:
    """What every case has; None where one lacks it."""
    found = [value for case in cases if (value := which(case)) is not None]
    return found if len(found) == len(cases) else None


def _hits(ious: Sequence[float]) -> list[float]:
    return [float(iou >= HIT) for iou in ious]


def _paired(a: ReferMethod, b: ReferMethod, group: Group) -> ReferPaired:
    of_a, of_b = (_hits([case.iou for case in one.cases]) for one in (a, b))
    gain, interval = mean_iou(of_a) - mean_iou(of_b), paired_bootstrap(of_a, of_b, seed=SEED)
    return ReferPaired(a.method, b.method, group.by, group.name, gain, interval)
