"""ACS-Free: choose the box whose coordinates were written with the most concentrated attention (ACS section 4.4)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.artifacts import require_equal, require_places
from glintbox.errors import BadInput, SettingMismatch
from glintbox.records import COORDS, CandidateSet, HeadMap, Selector, Watch
from glintbox.selectors.base import Clusters, Score, chooser, in_order, spread

Ties = Literal["average", "ordinal", "min"]
"""The rank of equal entropies: their mean rank, each its own in text order, or the best of them (docs/acs.md 19)."""


def acs_free(headmap: HeadMap, *, ties: Ties = "average", multiple: bool | Clusters = False) -> Selector:
    """The selector for a head map: the lowest sum of the four coordinates' entropy ranks wins (appendix E).

    Its score is `rank_score`'s; ties go to the lower mean entropy, then to the earlier response.
    """
    require_places(headmap, *COORDS)
    heads = tuple(sorted({head for coord in COORDS for head in headmap.heads[coord]}))
    return Selector(
        name="acs-free",
        choose=chooser(multiple)(rank_score(headmap, ties=ties), tie=concentration(headmap)),
        score_kind="rank",
        needs=Watch(heads, headmap.setting.view, headmap.setting.moment),
    )


def rank_score(headmap: HeadMap, *, ties: Ties = "average") -> Score:
    """A confidence in (0, 1) that falls as the rank sum R grows: (T - R/4 + 1/2) / T for T ranked candidates.

    With average ranks it is the share of the T candidates that this one beats, a tie (and itself) counting half, as
    mean over the four coordinates. It compares boxes of one set; it is no probability and no IoU.
    """

    def score(found: CandidateSet) -> Float[Tensor, " candidate"]:
        ranked, means = mean_entropies(found, headmap)
        total = len(ranked)
        return spread(found, ranked, (total - ranks(means, ties=ties).mean(1) + 0.5) / max(1, total))

    return score


def concentration(headmap: HeadMap) -> Score:
    """Minus the mean entropy (nats) over coordinates and their heads: breaks ties of the rank sum."""

    def score(found: CandidateSet) -> Float[Tensor, " candidate"]:
        ranked, means = mean_entropies(found, headmap)
        return spread(found, ranked, -means.mean(1))

    return score


def ranks(values: Float[Tensor, "box coord"], *, ties: Ties = "average") -> Float[Tensor, "box coord"]:
    """Ranks 1..T of each column, the lowest value first; rows must be in reading order for ties="ordinal"."""
    below = (values[None] < values[:, None]).sum(1).double()
    equal = values[None] == values[:, None]
    if ties == "min":
        return below + 1
    if ties == "average":
        return below + (equal.sum(1) + 1) / 2
    earlier = torch.ones(len(values), len(values), dtype=torch.bool).tril()[:, :, None]
    return below + (equal & earlier).sum(1)


def mean_entropies(found: CandidateSet, headmap: HeadMap) -> tuple[tuple[int, ...], Float[Tensor, "box coord=4"]]:
    """The candidates that can be ranked, in reading order, and their mean entropy per coordinate (eq. 4), nats.

    Sampled candidates whose coordinate tokens are known can be ranked.

    Raises:
        SettingMismatch: the head map was made under another setting, or its heads were not read.
        BadInput: the set holds no statistics, or no candidate can be ranked.
    """
    require_equal(headmap.setting, found.setting, what="head map")
    ranked = tuple(i for i in in_order(found) if found.candidates[i].tokens is not None)
    if found.stats is None or not ranked:
        raise BadInput(
            f"expected attention statistics for the candidates of {found.id!r}, got none; "
            f"collect them with the selector's `needs`, or replay given answers through the model"
        )
    place = {head: k for k, head in enumerate(found.stats.heads)}
    missing = sorted({head for coord in COORDS for head in headmap.heads[coord] if head not in place})
    if missing:
        raise SettingMismatch(
            f"expected the head map's heads among those read, got none of {', '.join(map(str, missing))}; "
            f"collect the candidates with the selector's `needs`"
        )
    entropy = found.stats.entropy[list(ranked)].double()
    means = [entropy[:, c, [place[head] for head in headmap.heads[coord]]].mean(1) for c, coord in enumerate(COORDS)]
    return ranked, torch.stack(means, dim=1)
