"""Find the heads whose entropy tells good boxes from bad: by IoU labels alone, or in a regressor's critical layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from glintbox.analysis.importance import Importance
from glintbox.analysis.separation import Separation
from glintbox.errors import BadInput
from glintbox.predictions import pearson
from glintbox.records import (
    COORDS,
    Calibration,
    Coord,
    Head,
    HeadMap,
    HeadSeparation,
    Labelled,
    Place,
    Selector,
    Setting,
)
from glintbox.selectors import selector

LEAST = 20
"""Fewer candidates than this in a group, and a mean entropy says nothing."""

Heads = Mapping[Place, tuple[Head, ...]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Do IoU labels and the regressor point to the same heads? Per coordinate, the n best, best first.

    by_labels: largest ΔH among all heads. critical: largest ΔH in the critical layers (the paper's). by_gradient:
    largest importance (Equation 2) among all heads. rho: Spearman's correlation of ΔH and importance over all heads;
    None where one of them is constant. chance: how many heads two random choices of n share on average.
    """

    by_labels: Heads
    critical: Heads
    by_gradient: Heads
    rho: Mapping[Coord, float | None]
    chance: float

    def shared(self, coord: Coord) -> tuple[int, int]:
        """How many of the heads by labels are also chosen in the critical layers, and also by gradient."""
        labels = set(self.by_labels[coord])
        return len(labels & set(self.critical[coord])), len(labels & set(self.by_gradient[coord]))


def find_heads(
    found: Separation,
    *,
    setting: Setting,
    data: str,
    n: int = 3,
    universe: Sequence[Head] | None = None,
    among: str = "",
) -> HeadMap:
    """The n heads of the largest ΔH per coordinate, best first (the paper's D_c, section 4.4).

    setting: that of every set; it is written into the map. data: what the sets came from, in words. universe: the heads
    to choose among, None = all that were read (docs/acs.md 12). among: which those are, in words.

    Raises:
        BadInput: too few good or bad boxes, fewer than n heads to choose among, heads that were not read.
    """
    _check_counts(found)
    places = _places(found, n, universe)
    heads = _best(found.heads, found.delta, places, n)
    at = {head: k for k, head in enumerate(found.heads)}
    delta: dict[Place, tuple[float, ...]] = {
        coord: tuple(float(row[at[head]]) for head in heads[coord])
        for coord, row in zip(COORDS, found.delta, strict=True)
    }
    return HeadMap(
        setting=setting,
        made_by=f"entropy difference by IoU labels, top {n} of {len(places)} heads{among} per coordinate",
        heads=heads,
        calibration=Calibration(data, found.count["high"], found.count["low"], found.tau_high, found.tau_low, delta),
    )


def tried(headmap: HeadMap, cases: Iterable[Labelled]) -> HeadMap:
    """The head map with what choosing by it is worth: Acc@0.5 of acs-free and of consensus on these cases.

    Raises:
        BadInput: no case, or a head map that does not say what it was found on.
    """
    rivals = [selector("acs-free", headmap=headmap), selector("consensus")]
    hits, ids, sampling = [], [], None
    for case in cases:
        hits.append([_hit(case, rival) for rival in rivals])
        ids.append(case.found.id)
        sampling = case.found.sampling
    if not hits or headmap.calibration is None:
        raise BadInput(f"expected a head map with its calibration and cases to try it on, got {len(hits)} cases")
    acs_free, consensus = (fmean(column) for column in zip(*hits, strict=True))
    made = replace(headmap.calibration, acs_free=acs_free, consensus=consensus, sampling=sampling, ids=tuple(ids))
    return replace(headmap, calibration=made)


def of_every_head(found: Separation, headmap: HeadMap) -> HeadSeparation:
    """How well all heads separate, to be kept beside the head map that was found in it.

    Raises:
        BadInput: a head map that does not say what it was found on.
    """
    if headmap.calibration is None:
        raise BadInput("expected a head map with its calibration, got one without")
    data, high, low = headmap.calibration.data, headmap.calibration.high, headmap.calibration.low
    return HeadSeparation(headmap.setting, data, high, low, found.heads, found.delta, found.auc)


def agreement(found: Separation, gradient: Importance, layers: Sequence[int], *, n: int = 3) -> Agreement:
    """Compare the heads by labels with those that the regressor points to, over the heads that it reads.

    layers: the critical ones; where they have fewer than n heads, all of these are chosen.

    Raises:
        BadInput: heads of the regressor that were not read, or fewer than n to choose among.
    """
    places = _places(found, n, gradient.heads)
    critical = heads_in(gradient.heads, layers)
    inside = _places(found, min(n, len(critical)), critical)
    all_of = range(len(gradient.heads))
    pairs = zip(COORDS, found.delta[:, places].numpy(), gradient.values.numpy(), strict=True)
    return Agreement(
        by_labels=_best(found.heads, found.delta, places, n),
        critical=_best(found.heads, found.delta, inside, n),
        by_gradient=_best(gradient.heads, gradient.values, all_of, n),
        rho={coord: pearson(np.asarray(rankdata(a)), np.asarray(rankdata(b))) for coord, a, b in pairs},
        chance=n * n / len(places),
    )


def heads_in(heads: Sequence[Head], layers: Sequence[int]) -> tuple[Head, ...]:
    """Those heads that lie in `layers`."""
    return tuple(head for head in heads if head.layer in layers)


def _best(
    heads: Sequence[Head], score: Float[Tensor, "coord=4 head"], places: Sequence[int], n: int
) -> dict[Place, tuple[Head, ...]]:
    """The n heads of the highest score among `places`, per coordinate; of equal ones the first."""
    rows = zip(COORDS, score[:, list(places)].tolist(), strict=True)
    return {
        coord: tuple(heads[places[k]] for k in sorted(range(len(row)), key=lambda k: -row[k])[:n])
        for coord, row in rows
    }


def _hit(case: Labelled, by: Selector) -> bool:
    """Whether the chosen candidate has IoU >= 0.5; no candidate is no hit."""
    chosen = by.choose(case.found)
    return bool(chosen) and chosen[0].candidate is not None and bool(case.iou[chosen[0].candidate] >= 0.5)


def _check_counts(found: Separation) -> None:
    high, low = found.count["high"], found.count["low"]
    if min(high, low) < LEAST:
        raise BadInput(
            f"expected at least {LEAST} boxes with IoU > {found.tau_high} and {LEAST} with 0 < IoU <= {found.tau_low}, "
            f"got {high} and {low}; label more pictures, or sample at a higher temperature for more bad boxes"
        )


def _places(found: Separation, n: int, universe: Sequence[Head] | None) -> list[int]:
    place = {head: k for k, head in enumerate(found.heads)}
    wanted = tuple(dict.fromkeys(universe if universe is not None else found.heads))
    unread = [head for head in wanted if head not in place]
    if unread:
        raise BadInput(f"expected heads that were read, got {', '.join(map(str, unread))}; choose among those read")
    if not 1 <= n <= len(wanted):
        raise BadInput(f"expected 1 <= n <= {len(wanted)}, the number of heads to choose among, got {n}")
    broken = [head for head in wanted if found.delta[:, place[head]].isnan().any()]
    if broken:
        raise BadInput(
            f"expected entropies that are numbers, got NaN in {', '.join(map(str, broken))}; "
            f"load the model in a wider dtype, or choose among the other heads"
        )
    return [place[head] for head in wanted]
