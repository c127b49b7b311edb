"""Does a head's entropy tell good boxes from bad ones? By IoU group, AUC, layer, and within a case (ACS 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int
from scipy.stats import rankdata
from torch import Tensor

from glintbox.analysis.entropies import Entropies
from glintbox.analysis.exact import EXACT
from glintbox.errors import BadInput
from glintbox.records import Head

Group = Literal["high", "low", "zero"]
GROUPS: tuple[Group, Group, Group] = ("high", "low", "zero")
TAU_HIGH, TAU_LOW = 0.6, 0.3


@dataclass(frozen=True, slots=True)
class Separation:
    """Entropy (nats) of each coordinate and head by IoU group; NaN where a group is empty.

    count: candidates per group. unused: candidates between the groups. mean, variance: per group, population variance.
    auc: the chance that of a low and a high box the low one has the larger entropy, ties by half. tau_high, tau_low:
    the groups' thresholds.
    """

    heads: tuple[Head, ...]
    count: Mapping[Group, int]
    unused: int
    mean: Mapping[Group, Float[Tensor, "coord=4 head"]]
    variance: Mapping[Group, Float[Tensor, "coord=4 head"]]
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


@dataclass(frozen=True, slots=True)
class LayerEntropies:
    """Entropy (nats) of the layers by IoU group, over candidates whose value is the mean of the layer's heads.

    count: candidates per group, none empty. mean, spread: over candidates, the standard deviation. error: standard
    error of the mean when whole cases are drawn, because candidates of one case are alike.
    """

    layers: tuple[int, ...]
    count: Mapping[Group, int]
    mean: Mapping[Group, Annotated[Float[Tensor, "coord=4 layer"], *EXACT]]
    spread: Mapping[Group, Annotated[Float[Tensor, "coord=4 layer"], *EXACT]]
    error: Mapping[Group, Annotated[Float[Tensor, "coord=4 layer"], *EXACT]]
    tau_high: float
    tau_low: float


@dataclass(frozen=True, slots=True)
class WithinCase:
    """Does the sharper of two boxes of one case tend to be the better one? That, not ΔH, decides what is chosen.

    rho: Spearman's correlation of entropy with IoU inside a case, mean over `cases`; negative = sharp is good, 0 = it
    says nothing. error: its standard error over cases.
    """

    heads: tuple[Head, ...]
    cases: int
    rho: Annotated[Float[Tensor, "coord=4 head"], *EXACT]
    error: Annotated[Float[Tensor, "coord=4 head"], *EXACT]


def groups(
    iou: Float[Tensor, " candidate"], *, tau_high: float = TAU_HIGH, tau_low: float = TAU_LOW
) -> dict[Group, Bool[Tensor, " candidate"]]:
    """Which candidates are high (IoU > tau_high), low (0 < IoU <= tau_low) and zero (IoU = 0; docs/acs.md 11).

    What lies between tau_low and tau_high is in no group.

    Raises:
        BadInput: thresholds out of order.
    """
    if not 0 < tau_low <= tau_high < 1:
        raise BadInput(f"expected 0 < tau_low <= tau_high < 1, got {tau_low} and {tau_high}")
    # compared as float32, so that an IoU of 0.3 is not above a threshold of 0.3
    exact = iou.float()
    return {"high": exact > tau_high, "low": (exact > 0) & (exact <= tau_low), "zero": exact == 0}


def separation(found: Entropies, *, tau_high: float = TAU_HIGH, tau_low: float = TAU_LOW) -> Separation:
    """Compare the entropies of the groups, head by head; ΔH uses high and low alone (docs/acs.md 15).

    Raises:
        BadInput: thresholds out of order.
    """
    among = groups(found.iou, tau_high=tau_high, tau_low=tau_low)
    heads = [column.double() for column in found.values.unbind(-1)]  # one at a time: half the memory
    count = {group: int(where.sum()) for group, where in among.items()}
    return Separation(
        heads=found.heads,
        count=count,
        unused=len(found.iou) - sum(count.values()),
        mean={group: torch.stack([h[where].mean(0) for h in heads], 1) for group, where in among.items()},
        variance={group: torch.stack([_variance(h[where]) for h in heads], 1) for group, where in among.items()},
        auc=torch.stack([_auc(h[among["low"]], h[among["high"]]) for h in heads], 1),
        tau_high=tau_high,
        tau_low=tau_low,
    )


def layer_entropies(found: Entropies, *, tau_high: float = TAU_HIGH, tau_low: float = TAU_LOW) -> LayerEntropies:
    """What Figures 4 and 10 draw: each layer's entropy by IoU group, coordinate by coordinate.

    Raises:
        BadInput: an empty group, or thresholds out of order.
    """
    among = groups(found.iou, tau_high=tau_high, tau_low=tau_low)
    count = {group: int(where.sum()) for group, where in among.items()}
    if not all(count.values()):
        raise BadInput(f"expected candidates in every IoU group, got {count}; collect more cases")
    layers = tuple(sorted({head.layer for head in found.heads}))
    places = [[k for k, head in enumerate(found.heads) if head.layer == layer] for layer in layers]
    values = torch.stack([found.values[:, :, heads].double().mean(2) for heads in places], 2)
    return LayerEntropies(
        layers=layers,
        count=count,
        mean={group: values[where].mean(0) for group, where in among.items()},
        spread={group: _variance(values[where]).sqrt() for group, where in among.items()},
        error={group: _error(values[where], found.case[where]) for group, where in among.items()},
        tau_high=tau_high,
        tau_low=tau_low,
    )


def within_case(found: Entropies) -> WithinCase:
    """Spearman's correlation of entropy with IoU inside each case, for every head; ties share their mean rank.

    Cases whose IoUs are all equal have nothing to order and do not count; a head that is even over a case counts 0.

    Raises:
        BadInput: no case with candidates of different IoU.
    """
    sums = torch.zeros(2, 4, len(found.heads), dtype=torch.float64)
    cases = 0
    sizes = torch.unique_consecutive(found.case, return_counts=True)[1].tolist()
    for among in torch.split(torch.arange(len(found.case)), sizes):
        iou = found.iou[among]
        if len(iou) and bool((iou != iou[0]).any()):
            rho = _spearman(found.values[among], iou)
            sums += torch.stack([rho, rho.square()])
            cases += 1
    if not cases:
        raise BadInput("expected a case with candidates of different IoU, got none; collect more cases")
    mean = sums[0] / cases
    return WithinCase(found.heads, cases, mean, ((sums[1] / cases - mean.square()).clamp(min=0) / cases).sqrt())


def _variance(values: Float64[Tensor, "candidate coord=4 ..."]) -> Float64[Tensor, "coord=4 ..."]:
    return (values - values.mean(0)).square().mean(0)


def _error(
    values: Float64[Tensor, "candidate coord=4 layer"], case: Int[Tensor, " candidate"]
) -> Float64[Tensor, "coord=4 layer"]:
    """Standard error of the mean over candidates whose cases were drawn, not they (linearised ratio of sums)."""
    number = torch.unique(case, return_inverse=True)[1]
    off = torch.zeros(int(number.max()) + 1, *values.shape[1:], dtype=values.dtype)
    off.index_add_(0, number, values - values.mean(0))
    return off.square().sum(0).sqrt() / len(values)


def _auc(low: Float64[Tensor, "low coord=4"], high: Float64[Tensor, "high coord=4"]) -> Float64[Tensor, " coord=4"]:
    """From rank sums (Mann and Whitney) of one head."""
    pairs = len(low) * len(high)
    if not pairs:
        return torch.full((4,), torch.nan, dtype=torch.float64)
    ranks = rankdata(torch.cat([low, high]).numpy(), axis=0, nan_policy="propagate")[: len(low)].sum(0)
    return torch.from_numpy((ranks - len(low) * (len(low) + 1) / 2) / pairs)


def _spearman(
    values: Float[Tensor, "candidate coord=4 head"], iou: Float[Tensor, " candidate"]
) -> Float64[Tensor, "coord=4 head"]:
    """Correlation of ranks; 0 where all values are equal, NaN where one is no number."""
    ranks = torch.from_numpy(rankdata(values.numpy(), axis=0, nan_policy="propagate")).double()
    order = torch.from_numpy(rankdata(iou.numpy())).double()
    off, way = ranks - ranks.mean(0), order - order.mean()
    size = off.square().sum(0).sqrt() * way.square().sum().sqrt()
    return torch.where(size == 0, 0.0, torch.einsum("c...,c->...", off, way) / size)
