"""Does a head's entropy tell good boxes from bad ones? Means by IoU group, streamed (ACS section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
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
    """

    heads: tuple[Head, ...]
    count: dict[Group, int]
    unused: int
    mean: dict[Group, Float[Tensor, "coord=4 head"]]
    variance: dict[Group, Float[Tensor, "coord=4 head"]]

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
    """Stream over labelled sets; what is held does not grow with their number.

    Groups (docs/acs.md 11, 15): high IoU > tau_high; low 0 < IoU <= tau_low; zero IoU = 0, unused by ΔH. Sampled
    candidates whose coordinate tokens are known count.

    Raises:
        BadInput: no set, a set without statistics, sets in which other heads were read, thresholds out of order.
    """
    if not 0 < tau_low <= tau_high < 1:
        raise BadInput(f"expected 0 < tau_low <= tau_high < 1, got {tau_low} and {tau_high}")
    heads: tuple[Head, ...] | None = None
    sums: dict[Group, _Sums] = {}
    unused = 0
    for case in labelled:
        stats = _stats(case)
        if heads is None:
            heads = stats.heads
            sums = {group: _Sums(len(heads)) for group in GROUPS}
        if stats.heads != heads:
            raise BadInput(f"expected the same heads read in every set, got others in {case.found.id!r}")
        for i in _usable(case.found):
            group = _group(case.iou[i], tau_high, tau_low)
            if group:
                sums[group].add(stats.entropy[i].double())
            else:
                unused += 1
    if heads is None:
        raise BadInput("expected at least one labelled set, got none")
    mean = {group: sums[group].mean() for group in GROUPS}
    variance = {group: sums[group].variance() for group in GROUPS}
    return Separation(heads, {group: sums[group].count for group in GROUPS}, unused, mean, variance)


class _Sums:
    """Running mean and squared deviation (Welford), so that no large sums cancel."""

    def __init__(self, heads: int) -> None:
        self.count = 0
        self._mean = torch.zeros(4, heads, dtype=torch.float64)
        self._squares = torch.zeros(4, heads, dtype=torch.float64)

    def add(self, entropy: Float[Tensor, "coord=4 head"]) -> None:
        self.count += 1
        off = entropy - self._mean
        self._mean = self._mean + off / self.count
        self._squares = self._squares + off * (entropy - self._mean)

    def mean(self) -> Float[Tensor, "coord=4 head"]:
        return self._mean if self.count else torch.full_like(self._mean, torch.nan)

    def variance(self) -> Float[Tensor, "coord=4 head"]:
        return self._squares / self.count if self.count else torch.full_like(self._mean, torch.nan)


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
