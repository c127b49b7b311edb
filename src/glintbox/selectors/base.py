"""From a score per candidate to chosen boxes: the best one, or the best of every cluster. Knows no method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.boxes import clusters
from glintbox.errors import BadInput
from glintbox.records import CandidateSet, ScoredBox, sampled

Score = Callable[[CandidateSet], Float[Tensor, " candidate"]]
"""One number per candidate of `found.candidates`, higher is better; -inf = not to be chosen by this method."""

Choose = Callable[[CandidateSet], tuple[ScoredBox, ...]]


class Clusters(NamedTuple):
    """How candidates are grouped where several objects are wanted (docs/acs.md 32).

    iou: overlap that joins two candidates. min_size: clusters of fewer members are discarded; with 1 none is.
    """

    iou: float = 0.5
    min_size: int = 2


def in_order(found: CandidateSet) -> tuple[int, ...]:
    """Indices of the sampled candidates by response, then text order; greedy's are left out."""
    return tuple(sorted(sampled(found), key=lambda i: (found.candidates[i].response, found.candidates[i].span)))


def spread(found: CandidateSet, among: tuple[int, ...], values: Float[Tensor, " box"]) -> Float[Tensor, " candidate"]:
    """A score that gives `values` to the candidates `among`, and -inf to all others."""
    scores = torch.full((len(found.candidates),), -torch.inf, dtype=torch.float64)
    scores[list(among)] = values.double()
    return scores


def ranking(found: CandidateSet, score: Score, *, tie: Score | None = None) -> tuple[ScoredBox, ...]:
    """All sampled candidates that `score` lets be chosen, best first.

    Equal scores are ordered by `tie` (higher first), then by response and text order, so that the order in which
    candidates are stored does not matter.

    Raises:
        BadInput: the score is not one number per candidate, or is NaN for a sampled one.
    """
    ordered = in_order(found)
    if not ordered:
        return ()
    first = _checked(found, score, ordered)
    second = _checked(found, tie, ordered) if tie else dict.fromkeys(ordered, 0.0)
    allowed = (i for i in ordered if first[i] > -torch.inf)
    best = sorted(allowed, key=lambda i: (-first[i], -second[i]))  # stable: keeps reading order among equals
    return tuple(ScoredBox(found.candidates[i].box, first[i], i) for i in best)


def best_of(score: Score, *, tie: Score | None = None, reported: bool = True) -> Choose:
    """Choose exactly one box, the one of the highest score; nothing where there is no candidate.

    reported: whether the score is a confidence that a user should see; else the box's score is None.
    """

    def choose(found: CandidateSet) -> tuple[ScoredBox, ...]:
        return _shown(ranking(found, score, tie=tie)[:1], reported)

    return choose


def best_per_cluster(
    score: Score,
    *,
    tie: Score | None = None,
    reported: bool = True,
    iou: float = Clusters().iou,
    min_size: int = Clusters().min_size,
) -> Choose:
    """Choose the best box of every cluster, best first (ACS section 5.5, docs/acs.md 32).

    Clusters are the connected components of IoU >= `iou` over all sampled candidates, also those of one response.
    Clusters of fewer than `min_size` are discarded; where none is left, the single best box is chosen.
    """
    if not 0 < iou <= 1 or min_size < 1:
        raise BadInput(f"expected 0 < iou <= 1 and min_size >= 1, got {iou} and {min_size}")

    def choose(found: CandidateSet) -> tuple[ScoredBox, ...]:
        ranked = ranking(found, score, tie=tie)
        members = in_order(found)
        groups = clusters([found.candidates[i].box for i in members], iou)
        cluster_of = {members[k]: g for g, group in enumerate(groups) for k in group if len(group) >= min_size}
        best: dict[int, ScoredBox] = {}
        for box in ranked:
            if box.candidate in cluster_of:
                best.setdefault(cluster_of[box.candidate], box)
        return _shown(tuple(best.values()) or ranked[:1], reported)

    return choose


def chooser(multiple: bool | Clusters) -> Callable[..., Choose]:
    """`best_of`, or `best_per_cluster` where several objects are wanted; True groups them as the paper does."""
    if isinstance(multiple, bool):
        return best_per_cluster if multiple else best_of
    return partial(best_per_cluster, iou=multiple.iou, min_size=multiple.min_size)


def _checked(found: CandidateSet, score: Score, ordered: tuple[int, ...]) -> dict[int, float]:
    values = score(found)
    if len(values) != len(found.candidates):
        raise BadInput(f"expected one score per candidate, got {len(values)} for {len(found.candidates)} candidates")
    scores = {i: float(values[i]) for i in ordered}
    broken = [i for i, value in scores.items() if value != value]
    if broken:
        raise BadInput(f"expected a number as score, got NaN for candidates {broken}; use -inf for 'never choose'")
    return scores


def _shown(boxes: tuple[ScoredBox, ...], reported: bool) -> tuple[ScoredBox, ...]:
    return boxes if reported else tuple(box._replace(score=None) for box in boxes)
