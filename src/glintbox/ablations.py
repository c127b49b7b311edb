"""Ablations of localization heads from kept maps alone: how many heads, which smoothing, which rules (Tables 4, 5, 8).

Heads are chosen on one folder of cases and judged on another one, which kept its maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from glintbox.assembly import Assembly, assemble
from glintbox.collect import Tick
from glintbox.datasets.cases import SIZES
from glintbox.errors import BadInput, UnknownName
from glintbox.finding import Table, frequencies, greedy, head_ious, most_frequent
from glintbox.metrics import Interval, acc_at, best_iou, bootstrap, mean_iou, paired_bootstrap
from glintbox.records import Head, Search
from glintbox.text_stats import TextCase

PAPER = Assembly()
K, BEST = range(1, 6), range(1, 15)
SIGMAS, KERNELS, TAUS = (0.0, 0.4, 0.8, 1.0, 1.4, 1.8), range(1, 12, 2), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to localize; heads: fixed ones, best first; None = of each case those that are best by `search` (greedy).

    No heads at all: none was found that way.
    """

    name: str
    heads: tuple[Head, ...] | None
    search: Search
    assembly: Assembly = PAPER


def ways(what: str, found: Table, search: Search) -> list[Way]:
    """What an ablation compares: heads are chosen on `found`, by `search` but for what is varied.

    Raises:
        UnknownName: no such ablation.
        BadInput: fewer cases than one draw needs.
    """
    if what not in WHAT:
        raise UnknownName("ablation", what, WHAT)
    return WHAT[what](found, search)


def _fixed(name: str, found: Table, search: Search, assembly: Assembly = PAPER) -> Way:
    """The k most frequent heads; none where fewer than k ever count."""
    heads = most_frequent(found.heads, frequencies(found, search).mean, search.k)
    return Way(name, heads if len(heads) == search.k else (), search, assembly)


def _by_k(found: Table, search: Search) -> list[Way]:
    most = most_frequent(found.heads, frequencies(found, search).mean, K[-1])
    return [Way(f"{k}", most[:k] if len(most) >= k else (), search) for k in K]


def _by_best(found: Table, search: Search) -> list[Way]:
    return [_fixed(f"{best}", found, replace(search, best=best)) for best in BEST]


def _by_sigma(found: Table, search: Search) -> list[Way]:
    chosen = _fixed("", found, search)
    return [replace(chosen, name=f"{sigma:g}", assembly=Assembly(sigma=sigma)) for sigma in SIGMAS]


def _by_kernel(found: Table, search: Search) -> list[Way]:
    chosen = _fixed("", found, search)
    return [replace(chosen, name=f"{kernel}", assembly=Assembly(kernel=kernel)) for kernel in KERNELS]


def _by_part(found: Table, search: Search) -> list[Way]:
    chosen = _fixed("", found, search)
    return [replace(chosen, name=part, assembly=Assembly(largest=part)) for part in ("hull", "cells", "all")]


def _by_tau(found: Table, search: Search) -> list[Way]:
    elbows = [_fixed(name, found, replace(search, tau=name)) for name in ("chord", "curvature")]
    return elbows + [_fixed(f"{tau:g}", found, replace(search, tau=tau)) for tau in TAUS]


def _by_rule(found: Table, search: Search) -> list[Way]:
    """The paper's text, and the public code's ways one at a time."""
    return [
        _fixed("paper", found, search),
        _fixed("each case's own tau", found, replace(search, each=True)),
        _fixed("bottom row <= 0.05", found, replace(search, bottom=0.05)),
    ]


def _by_criteria(found: Table, search: Search) -> list[Way]:
    alone = [replace(search, criteria="sum"), replace(search, criteria="entropy"), replace(search, criteria="both")]
    names = ("attention sum", "spatial entropy", "both")
    greedy = [Way(f"{name}, greedy", None, replace(one, each=True)) for name, one in zip(names, alone, strict=True)]
    fixed = [_fixed(f"{name}, fixed", found, one) for name, one in zip(names, alone, strict=True)]
    return greedy + fixed + _by_truth(found, search)


def _by_truth(found: Table, search: Search) -> list[Way]:
    """A control that knows the truth: the k heads of the highest IoU with it, in any layer, where masks are known."""
    ious = head_ious(found)
    if ious is None:
        return []
    best = ious.argsort(descending=True, stable=True)[: search.k].tolist()
    return [Way("IoU with the truth, fixed", tuple(found.heads[k] for k in best), search)]


WHAT = {
    "k": _by_k,
    "sigma": _by_sigma,
    "kernel": _by_kernel,
    "tau": _by_tau,
    "criteria": _by_criteria,
    "best": _by_best,
    "part": _by_part,
    "rules": _by_rule,
}
"""Ablations by name: heads that are kept, the Gaussian's width (cells) and taps, the threshold for attention sums, one
criterion or both and fixed or greedy heads, heads that count per case (Figure 14), which part of the foreground is the
region, and rules that only the public code has."""
DEFAULT = {"k": "3", "sigma": "1", "kernel": "7", "tau": "chord", "criteria": "both, fixed", "best": "10"}
"""The way that the others of an ablation are compared with; else the first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How good a way is on the targets of one size: shares with 95 % bootstrap intervals; gain: over the default way.

    missing: cases in which no box was found.
    """

    what: str
    name: str
    heads: str
    size: str
    n: int
    missing: int
    acc_at_50: float
    acc_interval: Interval
    mean_iou: float
    iou_interval: Interval
    gain: float
    gain_interval: Interval


class Judged(NamedTuple):
    """IoU of each way's box with the true one, case by case, None = no box; share: of the picture that is true."""

    ways: Sequence[Way]
    ious: Sequence[Sequence[float | None]]
    share: Sequence[float]


def judge(tried: Sequence[Way], cases: Iterable[TextCase], heads: Sequence[Head], *, tick: Tick) -> Judged:
    """Localize every case in every way; heads: of the kept maps, in channel order.

    Raises:
        BadInput: no case, cases without maps, or heads that are not among them.
    """
    place = {head: k for k, head in enumerate(heads)}
    if odd := sorted({head for way in tried for head in way.heads or ()} - set(place)):
        raise BadInput(
            f"expected maps of {', '.join(map(str, odd))} in the cases, got none; take both folders of one model"
        )
    found: list[list[float | None]] = [[] for _ in tried]
    shares = []
    for case in cases:
        if case.maps is None:
            raise BadInput(f"expected the maps of case {case.sample.id}, got none; collect these cases with --maps")
        sample = case.sample
        shares.append(sample.truth[0].area / (sample.size.width * sample.size.height))
        for ious, way in zip(found, tried, strict=True):
            ious.append(_iou(case, way, place))
        tick()
    if not shares:
        raise BadInput("expected cases to judge on, got none")
    return Judged(tried, found, shares)


def _iou(case: TextCase, way: Way, place: Mapping[Head, int]) -> float | None:
    assert case.maps is not None
    chosen = greedy(case.numbers, list(place), way.search) if way.heads is None else way.heads
    if not chosen:
        return None
    region = assemble(case.maps[[place[head] for head in chosen]], case.grid, way.assembly, image=case.sample.size)
    return best_iou([region.box], case.sample.truth) if region else None


def outcomes(what: str, judged: Judged) -> list[Outcome]:
    """Accuracies of every way on all targets, then by their size; a case without a box has IoU 0."""
    names = [way.name for way in judged.ways]
    default = names.index(DEFAULT[what]) if what in DEFAULT else 0
    found = []
    for size, share in SIZES.items():
        rows = [k for k, own in enumerate(judged.share) if share is None or share.low <= own <= share.high]
        table = [[ious[k] or 0.0 for k in rows] for ious in judged.ious]
        for way, ious, values in zip(judged.ways, judged.ious, table, strict=True) if rows else ():
            missing = sum(ious[k] is None for k in rows)
            cases = _Cases(size, missing, values, table[default])
            found.append(_outcome(what, way, cases))
    return found


class _Cases(NamedTuple):
    """Those of one size."""

    size: str
    missing: int
    ious: Sequence[float]
    default: Sequence[float]


def _outcome(what: str, way: Way, cases: _Cases) -> Outcome:
    ious, default = cases.ious, cases.default
    hits, of_default = ([float(value >= 0.5) for value in values] for values in (ious, default))
    return Outcome(
        what=what,
        name=way.name,
        heads="each case's own" if way.heads is None else ", ".join(map(str, way.heads)) or "none",
        size=cases.size,
        n=len(ious),
        missing=cases.missing,
        acc_at_50=acc_at(ious),
        acc_interval=bootstrap(hits, seed=0),
        mean_iou=mean_iou(ious),
        iou_interval=bootstrap(ious, seed=0),
        gain=acc_at(ious) - acc_at(default),
        gain_interval=paired_bootstrap(hits, of_default, seed=0),
    )
