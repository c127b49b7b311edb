"""How much of the IoU do attention maps tell? Bounds on I(A; Y) from a regressor's predictions (ACS appendix B)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from glintbox.errors import BadInput
from glintbox.metrics import Interval
from glintbox.predictions import Quality, quality

BINS = 10
"""Of predictions, with equal counts, and of true IoUs above 0, of equal width."""

SEED, RESAMPLES = 0, 1000
"""Of the bootstrap: the same pictures give the same intervals."""

ALL = "all"
"""The regressor on all layers, beside which the others are shown."""


class Information(NamedTuple):
    """Nats that predictions tell of the true IoU; the maps they are made of tell at least as much (docs/analysis.md).

    gaussian: `gaussian_bound`, with a 95 % interval over pictures. binned: mutual information of binned predictions and
    binned IoUs (0, and ten tenths), less the bias of counting (Miller and Madow). known: entropy of the binned IoUs,
    the most that `binned` can be.
    """

    gaussian: float
    gaussian_interval: Interval
    binned: float
    known: float


class Fit(NamedTuple):
    """A regressor on the maps of some layers: what it predicts for each candidate."""

    layers: tuple[int, ...]
    predicted: Float[np.ndarray, " row"]


@dataclass(frozen=True, slots=True)
class LayersTell:
    """What a regressor on some layers tells, beside the one on all: I(A_crit; Y) against I(A; Y) of section 4.3.

    share: its Gaussian bound as a share of that on all layers, with an interval over the same pictures; None where all
    layers tell nothing, or everything.
    """

    name: str
    layers: tuple[int, ...]
    quality: Quality
    information: Information
    share: float | None
    share_interval: Interval | None


def gaussian_bound(variance: float, mse: float) -> float:
    """1/2 log(variance / mse) nats: appendix B for a jointly Gaussian Y = f(A) + noise.

    It is H(Y) = 1/2 log(2 pi e variance) less H(Y | f(A)) = 1/2 log(2 pi e mse); 0 where always saying the mean does as
    well. The paper's argument as a number, no proof: IoUs pile up at 0 and are no Gaussian.

    Raises:
        BadInput: true IoUs that are all equal, or a negative error.
    """
    if not (variance > 0 and mse >= 0):
        raise BadInput(f"expected true IoUs that differ and an error of at least 0, got {variance} and {mse}")
    return math.inf if mse == 0 else max(0.0, math.log(variance / mse) / 2)


def information(
    predicted: Float[np.ndarray, " row"], true: Float[np.ndarray, " row"], image: Int[np.ndarray, " row"]
) -> Information:
    """What predictions tell of true IoUs; pictures are drawn again with replacement, as their candidates are alike.

    image: the picture of each candidate.

    Raises:
        BadInput: true IoUs that are all equal.
    """
    p, t = predicted.astype(np.float64), true.astype(np.float64)
    bound = gaussian_bound(float(t.var()), float(np.square(p - t).mean()))
    binned, known = _binned(p, t)
    return Information(bound, _interval(_drawn_bounds(p, t, image)), binned, known)


def layers_tell(
    fits: Mapping[str, Fit],
    true: Float[np.ndarray, " row"],
    *,
    case: Int[np.ndarray, " row"],
    image: Int[np.ndarray, " row"],
) -> tuple[LayersTell, ...]:
    """Regressors on critical, on random and on all layers, over the same held-out candidates, in the order given.

    case, image: the candidate set and the picture of each candidate.

    Raises:
        BadInput: no fit by the name "all", or another number of predictions than of candidates.
    """
    if ALL not in fits or any(len(fit.predicted) != len(true) for fit in fits.values()):
        sizes = {name: len(fit.predicted) for name, fit in fits.items()}
        raise BadInput(f"expected predictions for {len(true)} candidates, also of the regressor {ALL!r}, got {sizes}")
    exact = true.astype(np.float64)
    drawn = {name: _drawn_bounds(fit.predicted.astype(np.float64), exact, image) for name, fit in fits.items()}
    told = {name: information(fit.predicted, true, image) for name, fit in fits.items()}
    whole, always = told[ALL].gaussian, bool(((drawn[ALL] > 0) & np.isfinite(drawn[ALL])).all())
    return tuple(
        LayersTell(
            name=name,
            layers=fit.layers,
            quality=quality(fit.predicted, true, case),
            information=told[name],
            share=told[name].gaussian / whole if 0 < whole < math.inf else None,
            share_interval=_interval(drawn[name] / drawn[ALL]) if always else None,
        )
        for name, fit in fits.items()
    )


def random_layers(layers: Sequence[int], count: int, *, seed: int, avoid: Sequence[int] = ()) -> tuple[int, ...]:
    """`count` layers drawn without replacement, ascending, none of `avoid`: what critical ones are compared with.

    Raises:
        BadInput: fewer layers than that.
    """
    left = sorted(set(layers) - set(avoid))
    if not 1 <= count <= len(left):
        raise BadInput(f"expected 1 <= count <= {len(left)}, the number of layers to draw from, got {count}")
    return tuple(sorted(np.random.default_rng(seed).choice(left, size=count, replace=False).tolist()))


def _drawn_bounds(
    p: Float64[np.ndarray, " row"], t: Float64[np.ndarray, " row"], image: Int[np.ndarray, " row"]
) -> Float64[np.ndarray, " resample"]:
    """The Gaussian bound for each draw of pictures."""
    number = np.unique(image, return_inverse=True)[1]
    pictures = int(number.max()) + 1
    sums = np.stack([np.bincount(number, w) for w in (np.ones_like(t), t, t**2, (p - t) ** 2)], axis=1)
    n, total, squares, errors = (_draws(pictures) @ sums).T
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.log((squares - total**2 / n) / errors) / 2
    clipped: Float64[np.ndarray, " resample"] = np.nan_to_num(bound, posinf=np.inf, neginf=0.0).clip(min=0)
    return clipped


@lru_cache(maxsize=1)
def _draws(pictures: int) -> Float64[np.ndarray, "resample picture"]:
    """How often each picture is drawn in each resample."""
    even = np.full(pictures, 1 / pictures)
    return np.random.default_rng(SEED).multinomial(pictures, even, size=RESAMPLES).astype(np.float64)


def _interval(values: Float64[np.ndarray, " resample"]) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")  # perfect predictions tell infinitely much
    return Interval(float(low), float(high))


def _binned(p: Float64[np.ndarray, " row"], t: Float64[np.ndarray, " row"]) -> tuple[float, float]:
    """Mutual information of the bins, less its bias and at least 0, and the entropy of the bins of t."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    joint = np.zeros((len(edges) + 1, BINS + 1))
    np.add.at(joint, (np.searchsorted(edges, p, side="right"), np.ceil(t * BINS).astype(np.int64)), 1)
    told, known, both = (_entropy(counts) for counts in (joint.sum(1), joint.sum(0), joint.ravel()))
    filled = [(counts > 0).sum() for counts in (joint.sum(1), joint.sum(0), joint)]
    bias = (filled[2] - filled[0] - filled[1] + 1) / (2 * len(t))
    return max(0.0, told + known - both - float(bias)), known


def _entropy(counts: Float64[np.ndarray, " bin"]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
