"""Does a head's entropy tell good boxes from bad ones? Means by IoU group, and AUC (ACS section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.stats import rankdata
from torch import Tensor

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.metrics import best_iou
from glintbox.records import CandidateSet, Head, HeadStats, Labelled, sampled

Group = Literal["high", "low", "zero"]
GROUPS: tuple[Group, Group, Group] = ("high", "low", "zero")
TAU_HIGH, TAU_LOW = 0.6, 0.3


def label(found: CandidateSet, truth: Sequence[Box]) -> Labelled:
    """The set with each candidate's best IoU with any true box (docs/acs.md 29); 0 where nothing is true.

    Greedy's candidates are labelled too, so that labels and candidates have the same indices; what learns from labels
    leaves them out.
    """
    ious = [best_iou([candidate.box], truth) for candidate in found.candidates]
    return Labelled(found, torch.tensor(ious, dtype=torch.float32))


@dataclass(frozen=True, slots=True)
class Separation:
    """Entropy (nats) of each coordinate and head by IoU group; NaN where a group is empty.

    count: candidates per group. unused: candidates between the groups. mean, variance: per group, population variance.
    auc: the chance that of a low and a high box the low one has the larger entropy, ties by half. tau_high, tau_low:
    the groups' thresholds.
    """

    heads: tuple[Head, ...]
    count: dict[Group, int]
    unused: int
    mean: dict[Group, Float[Tensor, "coord=4 head"]]
    variance: dict[Group, Float[Tensor, "coord=4 head"]]
    auc: Float[Tensor, "coord=4 head"]
    tau_high: float
    tau_low: float

    @property
    def delta(self) -> Float[Tensor, "coord=4 head"]:
        """ΔH = H_low - H_high, nats: how much more spread the attention of bad boxes is."""
        return self.mean["low"] - self.mean["high"]

    @property
    def effect(self) -> Float[Tensor, "coord=4 head"]:
        """ΔH in units of the two groups' pooled standard deviation (Cohen's d): large = the groups hardly overlap."""
        high, low = self.count["high"], self.count["low"]
        pooled = (high * self.variance["high"] + low * self.variance["low"]) / (high + low)
        return self.delta / pooled.sqrt()


def separation(labelled: Iterable[Labelled], *, tau_high: float = TAU_HIGH, tau_low: float = TAU_LOW) -> Separation:
    """Sort the candidates of labelled sets into groups and compare their entropies, head by head.

    Of each candidate 16 bytes per head are held (12.5 kB for 28 x 28 heads), at the end five times that.

    Groups (docs/acs.md 11, 15): high IoU > tau_high; low 0 < IoU <= tau_low; zero IoU = 0, unused by ΔH. Sampled
    candidates whose coordinate tokens are known count.

    Raises:
        BadInput: no set, a set without statistics, sets in which other heads were read, thresholds out of order.
    """
    if not 0 < tau_low <= tau_high < 1:
        raise BadInput(f"expected 0 < tau_low <= tau_high < 1, got {tau_low} and {tau_high}")
    heads: tuple[Head, ...] | None = None
    kept: dict[Group, list[Tensor]] = {group: [] for group in GROUPS}
    unused = 0
    for case in labelled:
        stats = _stats(case)
        heads = heads or stats.heads
        if stats.heads != heads:
            raise BadInput(f"expected the same heads read in every set, got others in {case.found.id!r}")
        for i in _usable(case.found):
            if group := _group(case.iou[i], tau_high, tau_low):
                kept[group].append(stats.entropy[i])
            else:
                unused += 1
    if heads is None:
        raise BadInput("expected at least one labelled set, got none")
    entropy = {group: _stacked(found, len(heads)) for group, found in kept.items()}
    mean = {group: found.mean(0) for group, found in entropy.items()}
    return Separation(
        heads=heads,
        count={group: len(found) for group, found in kept.items()},
        unused=unused,
        mean=mean,
        variance={group: (found - mean[group]).square().mean(0) for group, found in entropy.items()},
        auc=_auc(entropy["low"], entropy["high"]),
        tau_high=tau_high,
        tau_low=tau_low,
    )


def _stacked(entropies: Sequence[Tensor], heads: int) -> Float64[Tensor, "candidate coord=4 head"]:
    return torch.stack(list(entropies)).double() if entropies else torch.empty(0, 4, heads, dtype=torch.float64)


def _auc(
    low: Float64[Tensor, "low coord=4 head"], high: Float64[Tensor, "high coord=4 head"]
) -> Float64[Tensor, "coord=4 head"]:
    """From rank sums (Mann and Whitney), one head at a time, so that no more than one head's ranks are held."""
    pairs = len(low) * len(high)
    if not pairs:
        return torch.full(low.shape[1:], torch.nan, dtype=torch.float64)
    both = torch.cat([low, high]).unbind(-1)
    ranks = [rankdata(values, axis=0, nan_policy="propagate")[: len(low)].sum(0) for values in both]
    least = len(low) * (len(low) + 1) / 2
    return torch.from_numpy((np.stack(ranks, axis=-1) - least) / pairs)


def _usable(found: CandidateSet) -> tuple[int, ...]:
    return tuple(i for i in sampled(found) if found.candidates[i].tokens is not None)


def _group(value: Float[Tensor, ""], tau_high: float, tau_low: float) -> Group | None:
    # compared as float32, so that an IoU of 0.3 is not above a threshold of 0.3
    if value > tau_high:
        return "high"
    if value == 0:
        return "zero"
    return "low" if value <= tau_low else None


def _stats(case: Labelled) -> HeadStats:
    if len(case.iou) != len(case.found.candidates):
        raise BadInput(
            f"expected one label per candidate of {case.found.id!r}, "
            f"got {len(case.iou)} for {len(case.found.candidates)} candidates"
        )
    if case.found.stats is None:
        raise BadInput(f"expected attention statistics in {case.found.id!r}, got none; collect it with attention read")
    return case.found.stats
