"""Which heads of a model to read, and how they were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Float
from torch import Tensor

from glintbox.errors import BadInput
from glintbox.records.serial import AS_LIST
from glintbox.records.setting import Head, Sampling, Setting

Coord = Literal["x1", "y1", "x2", "y2"]
COORDS: tuple[Coord, Coord, Coord, Coord] = ("x1", "y1", "x2", "y2")

Place = Literal["x1", "y1", "x2", "y2", "text"]
"""Where heads are read: at a coordinate that is written, or at the last token of the expression itself."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a HeadMap was found: data, counts of candidates per IoU group, thresholds, ΔH in nats of each chosen head.

    acs_free, consensus: Acc@0.5 of both selectors on the same cases. The heads were chosen on them, so a head map that
    loses there will not win elsewhere. ids: the cases (of scenes "SEED-CATEGORY"); sampling: how they were answered.
    """

    data: str
    high: int
    low: int
    tau_high: float
    tau_low: float
    delta: Mapping[Place, tuple[float, ...]]
    acs_free: float | None = None
    consensus: float | None = None
    sampling: Sampling | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """How localization heads are searched for (section 4 of the paper): attention sum S, then spatial entropy SE.

    samples, draws: so many draws of so many cases. best: heads of a case that count, those of the lowest SE among the
    heads with S >= tau; k: heads that are kept in the end. criteria: both, or one of the two alone (Table 5).
    tau: a share of attention, or by which elbow of the sorted S it is found. each: every case's own S and tau (the
    public code) instead of the heads' means over the cases of a draw. bottom: heads are left out of a case where a cell
    of their lowest row holds more than this share (the public code: 0.05); None = none are.
    """

    samples: int = 1000
    draws: int = 5
    best: int = 10
    k: int = 3
    criteria: Literal["both", "sum", "entropy"] = "both"
    tau: float | Literal["chord", "curvature"] = "chord"
    each: bool = False
    bottom: float | None = None

    def __post_init__(self) -> None:
        if min(self.samples, self.draws, self.best, self.k) < 1:
            raise BadInput(
                "expected samples, draws, best and k of at least 1, got "
                f"{self.samples}, {self.draws}, {self.best} and {self.k}"
            )
        if isinstance(self.tau, float | int) and not 0 <= self.tau <= 1:
            raise BadInput(f"expected tau as a share of attention in [0, 1], chord or curvature, got {self.tau}")


@dataclass(frozen=True, slots=True)
class Selection:
    """How the localization heads of a HeadMap were found.

    data: what the cases are; pool: how many there were to draw from. taus: the threshold of each draw, with `each` the
    mean of its cases. heads: all that count in at least 1 % of the cases, most often first, with their frequency (mean
    over the draws), its standard deviation over the draws, and the mean IoU of their mean-binarised maps with the true
    masks. rho: Spearman's correlation of frequency and IoU. None where there are no masks, or nothing to correlate.
    """

    data: str
    pool: int
    search: Search
    taus: tuple[float, ...]
    heads: tuple[Head, ...]
    frequency: tuple[float, ...]
    spread: tuple[float, ...]
    iou: tuple[float, ...] | None = None
    rho: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadMap:
    """Which heads to read at which place, best first, and the setting they hold for.

    The discriminative heads of each coordinate (D_c of the ACS paper) with their calibration, or the localization heads
    of the text with their selection.
    """

    setting: Setting
    made_by: str
    heads: Mapping[Place, tuple[Head, ...]]
    calibration: Calibration | None = None
    selection: Selection | None = None
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class HeadSeparation:
    """How well each head's entropy tells `low` poor boxes from `high` good ones: ΔH (nats), AUC (0.5 = not at all)."""

    setting: Setting
    data: str
    high: int
    low: int
    heads: tuple[Head, ...]
    delta: Annotated[Float[Tensor, "coord=4 head"], *AS_LIST]
    auc: Annotated[Float[Tensor, "coord=4 head"], *AS_LIST]
    schema_version: int = 1
