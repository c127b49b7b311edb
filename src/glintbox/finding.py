"""Which heads localize: from the numbers of many cases to the few heads that count most often (section 4, CVPR 2025).

In a case those heads count that look at the picture (attention sum S >= tau) and of these the ten of the least spatial
entropy (SE). A head's selection frequency is the share of cases in which it counts; the three most frequent are kept.
What the paper leaves open is decided in docs/localization-heads.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from glintbox.collect import Tick
from glintbox.datasets.draws import draw
from glintbox.errors import BadInput
from glintbox.maps import elbow
from glintbox.masks import area
from glintbox.predictions import pearson
from glintbox.records import Head, HeadMap, Search, Selection, Setting
from glintbox.text_stats import HeadNumbers, TextStats

FIRST = 2
"""Layers below it are never candidates; layers count from 0."""

SELDOM = 0.01
"""Heads of a lower selection frequency are neither listed nor correlated with IoU (the paper's 1 %)."""

NO_HEADS, NO_FOCUS = 0.1, 0.8
"""No head counts more often: perhaps none localizes. No candidate's spatial entropy is lower: nothing is in focus."""


class Table(NamedTuple):
    """`HeadNumbers` of many cases; ids: which. true: share of the picture that is, NaN where no mask tells it."""

    heads: tuple[Head, ...]
    ids: tuple[str, ...]
    share: Float[Tensor, "case head"]
    entropy: Float[Tensor, "case head"]
    bottom: Float[Tensor, "case head"]
    iou: Float[Tensor, "case head"]
    true: Float[Tensor, " case"]

    def of(self, ids: Sequence[str]) -> Table:
        """Some of the cases, by their ids, in the order of the table."""
        wanted = set(ids)
        rows = [k for k, id in enumerate(self.ids) if id in wanted]
        return Table(self.heads, tuple(self.ids[k] for k in rows), *(part[rows] for part in self[2:]))


def table(kept: TextStats, ids: Sequence[str] | None = None, *, tick: Tick = lambda: None) -> Table:
    """The numbers of some cases of a folder, None = of all.

    Raises:
        BadInput: no case, one that is not there, or bytes that are not those that were written.
    """
    wanted = kept.ids if ids is None else tuple(ids)
    if not wanted:
        raise BadInput(f"expected cases in {kept.folder}, found none; run the search again to fill it")
    rows: list[HeadNumbers] = []
    true: list[float] = []
    for id in wanted:
        sample, _, numbers, _ = kept[id]
        rows.append(numbers)
        true.append(area(sample.mask) / (sample.size.width * sample.size.height) if sample.mask else math.nan)
        tick()
    return Table(kept.card.heads, wanted, *(*map(torch.stack, zip(*rows, strict=True)), torch.tensor(true)))


def drawn(ids: Sequence[str], search: Search) -> list[list[str]]:
    """The ids of each draw; of the union of all draws the same draws come out as of the whole pool.

    Raises:
        BadInput: fewer cases than one draw needs.
    """
    if len(ids) < search.samples:
        raise BadInput(
            f"expected at least the {search.samples} cases of a draw, got {len(ids)}; draw fewer with --samples"
        )
    return [draw(ids, search.samples, seed=seed) for seed in range(search.draws)]


class Counted(NamedTuple):
    """counts: whether a head counts in a case. candidates: whether it has S >= tau there. tau: mean over the cases."""

    counts: Bool[Tensor, "case head"]
    candidates: Bool[Tensor, "case head"]
    tau: float


def counted(found: Table, search: Search) -> Counted:
    """The heads that count in each case of a draw, as `Search` says; of equal ones those of the larger S.

    Raises:
        BadInput: attention sums that are no numbers.
    """
    candidates, tau = candidates_of(found, search)
    order = ranked(found, search, candidates)
    place = order.argsort(-1)
    return Counted(candidates & (place < search.best), candidates, tau)


def ranked(
    found: Table, search: Search, candidates: Bool[Tensor, "case head"] | None = None
) -> Int[Tensor, "case head"]:
    """Places of the heads of each case, best first: candidates by SE, or by S where that is the only criterion."""
    if candidates is None:
        candidates, _ = candidates_of(found, search)
    by_share = torch.where(candidates, found.share, -math.inf).argsort(dim=-1, descending=True, stable=True)
    if search.criteria == "sum":
        return by_share
    entropy = torch.where(candidates, found.entropy, math.inf).gather(-1, by_share)
    return by_share.gather(-1, entropy.argsort(dim=-1, stable=True))


def candidates_of(found: Table, search: Search) -> tuple[Bool[Tensor, "case head"], float]:
    """Heads among which those of the least SE are sought, and the mean of the thresholds for S."""
    free = torch.tensor([head.layer >= FIRST for head in found.heads]).expand(found.share.shape)
    if search.bottom is not None:
        free = free & (found.bottom <= search.bottom)
    if search.criteria != "sum":
        free = free & found.entropy.isfinite()
    sums = found.share if search.each else found.share.mean(0, keepdim=True)
    taus = torch.tensor([_tau(row, search) for row in sums])
    if search.criteria != "entropy":
        free = free & (sums >= taus[:, None])
    return free, float(taus.mean())


def _tau(sums: Float[Tensor, " head"], search: Search) -> float:
    return elbow(sums, method=search.tau) if isinstance(search.tau, str) else search.tau


def select(found: Table, search: Search, *, setting: Setting, data: str, pool: int) -> HeadMap:
    """The k heads of the highest selection frequency, mean over the draws, and all that is worth knowing of them.

    setting: that of every case. data: what the cases are, in words; pool: how many there were to draw from, of which
    `found` holds at least those that are drawn.

    Raises:
        BadInput: fewer cases than one draw needs, or fewer than k heads that count at all.
    """
    frequency, spread, draws = frequencies(found, search)
    heads = most_frequent(found.heads, frequency, search.k)
    if len(heads) < search.k:
        raise BadInput(
            f"expected at least {search.k} heads that look at the picture (tau {draws[0].tau:.3g}) and at a part of "
            f"it, got {len(heads)} in layers {FIRST} and up; lower tau or k: perhaps this model has no localization "
            "heads"
        )
    order = frequency.argsort(descending=True, stable=True).tolist()
    listed = [k for k in order if frequency[k] >= SELDOM]
    iou = head_ious(found)
    selection = Selection(
        data=data,
        pool=pool,
        search=search,
        taus=tuple(one.tau for one in draws),
        heads=tuple(found.heads[k] for k in listed),
        frequency=tuple(frequency[listed].tolist()),
        spread=tuple(spread[listed].tolist()),
        iou=None if iou is None else tuple(iou[listed].tolist()),
        rho=None if iou is None else spearman(frequency[listed].tolist(), iou[listed].tolist()),
        warnings=_warnings(found, draws, frequency, pool == search.samples and search.draws > 1) + _blind(found, heads),
    )
    free = sum(head.layer >= FIRST for head in found.heads)
    made_by = f"selection frequency of attention sum and spatial entropy, top {search.k} of {free} heads"
    return HeadMap(setting, made_by, {"text": heads}, selection=selection)


class Frequencies(NamedTuple):
    """Selection frequency of each head: mean over the draws, standard deviation over them, and what each draw gave."""

    mean: Float[Tensor, " head"]
    spread: Float[Tensor, " head"]
    draws: tuple[Counted, ...]


def frequencies(found: Table, search: Search) -> Frequencies:
    """In which share of the cases each head counts.

    Raises:
        BadInput: fewer cases than one draw needs.
    """
    draws = tuple(counted(found.of(ids), search) for ids in drawn(found.ids, search))
    each = torch.stack([one.counts.double().mean(0) for one in draws])
    return Frequencies(each.mean(0), each.std(0, correction=0), draws)


def most_frequent(heads: Sequence[Head], frequency: Float[Tensor, " head"], k: int) -> tuple[Head, ...]:
    """The k heads of the highest frequency, best first; fewer where no more than that ever count."""
    order = frequency.argsort(descending=True, stable=True)[:k].tolist()
    return tuple(heads[place] for place in order if frequency[place] > 0)


def alone(numbers: HeadNumbers, heads: Sequence[Head]) -> Table:
    """A table of one case, so that rules for many cases work on it: means are its own numbers."""
    return Table(tuple(heads), ("",), *(*(part[None] for part in numbers), torch.tensor([torch.nan])))


def greedy(numbers: HeadNumbers, heads: Sequence[Head], search: Search) -> tuple[Head, ...]:
    """The k heads that are best in one case, by its own numbers alone (Table 5's greedy); fewer where no more pass."""
    found = alone(numbers, heads)
    candidates, _ = candidates_of(found, search)
    order = ranked(found, search, candidates)[0, : min(search.k, int(candidates.sum()))]
    return tuple(heads[k] for k in order.tolist())


def head_ious(found: Table) -> Float[Tensor, " head"] | None:
    """Mean over the cases with a true mask of each head's IoU with it; None where no case has one."""
    there = ~found.iou.isnan().any(1)
    return found.iou[there].double().mean(0) if there.any() else None


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None where there are fewer than three pairs, or one side is constant."""
    if len(one) < 3:
        return None
    return pearson(np.asarray(rankdata(one)), np.asarray(rankdata(other)))


def _warnings(found: Table, draws: Sequence[Counted], frequency: Float[Tensor, " head"], same: bool) -> tuple[str, ...]:
    candidates = torch.stack([one.candidates.any(0) for one in draws]).any(0)
    focus = float(found.entropy.median(0).values[candidates].min())
    told = []
    if same:
        told.append("every draw is the whole pool, so that their spread says nothing; give more cases")
    if frequency.max() < NO_HEADS:
        told.append(
            f"no head counts in {NO_HEADS:.0%} of the cases (most: {float(frequency.max()):.1%}); "
            "the model may have no localization heads"
        )
    if focus > NO_FOCUS:
        told.append(
            f"every head that looks at the picture has a median spatial entropy above {NO_FOCUS} (least: {focus:.2f}); "
            "none has a focus"
        )
    return tuple(told)


def _blind(found: Table, heads: Sequence[Head]) -> tuple[str, ...]:
    """A warning where heads overlap true masks less than the whole picture does; no region at random has more."""
    if (iou := head_ious(found)) is None:
        return ()
    own = float(iou[[found.heads.index(head) for head in heads]].mean())
    chance = float(found.true[~found.true.isnan()].double().mean())
    told = (
        f"the heads that count most often have a mean IoU of {own:.3f} with the true masks, the whole picture has "
        f"{chance:.3f}: they do not look at what is meant; the model may have no localization heads for this prompt"
    )
    return (told,) if own < chance else ()


# ---- how stable the choice is


def shared(one: Sequence[Head], other: Sequence[Head]) -> int:
    """How many heads are in both."""
    return len(set(one) & set(other))


def over_draws(found: Table, search: Search) -> float:
    """Of the k heads of one draw, how many are also those of another one: mean over all pairs of draws, in [0, k].

    Raises:
        BadInput: as `select`; fewer than two draws.
    """
    if search.draws < 2:
        raise BadInput(f"expected at least 2 draws to compare, got {search.draws}")
    tops = [top(found.of(ids), search) for ids in drawn(found.ids, search)]
    return fmean(shared(*pair) for pair in combinations(tops, 2))


def over_samples(found: Table, search: Search, sizes: Sequence[int]) -> dict[int, float]:
    """Per size of a draw, how many of its k heads are also those of all cases, mean over the draws, in [0, k].

    Raises:
        BadInput: a size beyond the number of cases.
    """
    whole = top(found, search)
    return {
        size: fmean(
            shared(top(found.of(ids), search), whole) for ids in drawn(found.ids, replace(search, samples=size))
        )
        for size in sizes
    }


def top(found: Table, search: Search) -> tuple[Head, ...]:
    """The k heads that count most often in all cases of a table taken together."""
    return most_frequent(found.heads, counted(found, search).counts.double().mean(0), search.k)
