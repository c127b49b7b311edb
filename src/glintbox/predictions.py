"""How good predicted IoUs are: errors, correlations, order within a case, calibration. Numbers in, numbers out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from glintbox.errors import BadInput


class Quality(NamedTuple):
    """Predicted against true IoU (docs/acs.md 46); a correlation is None where one side is constant.

    mse, mae: mean squared and absolute error. r: Pearson's. r_positive: Pearson's over true IoU > 0 alone.
    rank: Spearman's within a case, averaged over the cases whose true IoUs differ; it decides what is chosen.
    """

    mse: float
    mae: float
    r: float | None
    r_positive: float | None
    rank: float | None


class Bin(NamedTuple):
    """Predictions in [low, high), the last one in [low, 1]: how many, and their means; None where there is none."""

    low: float
    high: float
    n: int
    predicted: float | None
    true: float | None


def quality(
    predicted: Float[np.ndarray, " row"], true: Float[np.ndarray, " row"], case: Int[np.ndarray, " row"]
) -> Quality:
    """All numbers at once; `case` says which candidates compete with one another.

    Raises:
        BadInput: no candidate, or a number that is not finite.
    """
    p, t = _checked(predicted, true)
    some = t > 0
    return Quality(
        mse=float(np.square(p - t).mean()),
        mae=float(np.abs(p - t).mean()),
        r=pearson(p, t),
        r_positive=pearson(p[some], t[some]),
        rank=rank_within(p, t, case),
    )


def pearson(a: Float[np.ndarray, " row"], b: Float[np.ndarray, " row"]) -> float | None:
    """Pearson's r; None for fewer than two values or a constant side."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1])


def rank_within(
    predicted: Float[np.ndarray, " row"], true: Float[np.ndarray, " row"], case: Int[np.ndarray, " row"]
) -> float | None:
    """Spearman's correlation within each case, mean over cases; equal values share their mean rank.

    Cases whose true IoUs are all equal have nothing to order and do not count; one whose predictions are all equal
    counts 0. None where no case counts.
    """
    order = np.argsort(case, kind="stable")
    starts = np.flatnonzero(np.diff(case[order], prepend=case[order][:1] - 1))
    found = []
    for among in np.split(order, starts[1:]):
        if np.ptp(true[among]) > 0:
            found.append(pearson(rankdata(predicted[among]), rankdata(true[among])) or 0.0)
    return float(np.mean(found)) if found else None


def bins(predicted: Float[np.ndarray, " row"], true: Float[np.ndarray, " row"], *, count: int = 10) -> tuple[Bin, ...]:
    """The reliability diagram: predictions in `count` equal bins of [0, 1], with the mean true IoU of each.

    Raises:
        BadInput: no candidate, no bin, or a prediction outside [0, 1].
    """
    p, t = _checked(predicted, true)
    if count < 1 or p.min() < 0 or p.max() > 1:
        raise BadInput(f"expected bins and predictions in [0, 1], got {count} and {p.min():.3g} to {p.max():.3g}")
    place = np.minimum((p * count).astype(np.int64), count - 1)
    return tuple(_bin(k, count, p[place == k], t[place == k]) for k in range(count))


def expected_error(found: tuple[Bin, ...]) -> float:
    """ECE: mean over predictions of the gap between their bin's mean prediction and mean true IoU; 0 is honest."""
    gaps = [(b.n, abs(b.predicted - b.true)) for b in found if b.predicted is not None and b.true is not None]
    return sum(n * gap for n, gap in gaps) / sum(n for n, _ in gaps)


def _bin(k: int, count: int, p: Float[np.ndarray, " row"], t: Float[np.ndarray, " row"]) -> Bin:
    low, high = k / count, (k + 1) / count
    return Bin(low, high, len(p), float(p.mean()), float(t.mean())) if len(p) else Bin(low, high, 0, None, None)


def _checked(
    predicted: Float[np.ndarray, " row"], true: Float[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    p, t = predicted.astype(np.float64), true.astype(np.float64)
    if not len(p) or not (np.isfinite(p).all() and np.isfinite(t).all()):
        odd = int((~np.isfinite(p) | ~np.isfinite(t)).sum())
        raise BadInput(
            f"expected candidates with finite predicted and true IoUs, got {len(p)}, {odd} of them not finite"
        )
    return p, t
