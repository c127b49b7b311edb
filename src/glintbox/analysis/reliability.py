"""Can a predicted IoU be believed? Reliability diagram, AP with it as score, and what else would predict as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from glintbox.errors import BadInput
from glintbox.metrics import Interval, acc_at, ap_bootstrap, average_precision, best_iou, oracle
from glintbox.predictions import Bin, Quality, bins, expected_error, pearson, quality, rank_within
from glintbox.records import CandidateSet, sampled
from glintbox.selectors.base import best_of, spread
from glintbox.selectors.baselines import consensus, token_entropy
from glintbox.store import Store, Stored

SEED = 0
"""Of the bootstrap."""


class Predictor(NamedTuple):
    """How well a number that needs no regressor goes with the true IoU; as in `Quality`."""

    r: float | None
    r_positive: float | None
    rank: float | None


@dataclass(frozen=True, slots=True)
class Reliability:
    """What predicted IoUs are worth on some candidates.

    ece: mean gap between prediction and truth over the bins; `quality.mse` is Brier's score with the IoU as outcome.
    mean_mae: error of one constant, the mean IoU of other data. predictors: box area (share of the picture), minus the
    token entropy (nats), consensus. acs_learned, consensus, oracle: Acc@0.5 of choosing by prediction, by consensus,
    and of the best candidate. ap: AP@0.5 of the boxes chosen by prediction, ranked by it; ap_unranked: all of score 1.
    """

    data: str
    pairs: int
    candidates: int
    quality: Quality
    bins: tuple[Bin, ...]
    ece: float
    mean_mae: float
    predictors: Mapping[str, Predictor]
    acs_learned: float
    consensus: float
    oracle: float
    ap: float
    ap_interval: Interval
    ap_unranked: float


class _Case(NamedTuple):
    """One pair: its chosen boxes' IoU, the best one, the score of the first, and the rivals' numbers per candidate."""

    learned: float
    score: float
    agreed: float
    best: float
    rivals: Mapping[str, Sequence[float]]


def reliability(
    store: Store, predicted: Float32[np.ndarray, " prediction"], *, rows: Int[np.ndarray, " row"], mean: float
) -> Reliability:
    """Judge predictions for candidates `rows` of a store, all those of a case or none.

    mean: of the true IoU on other data, such as that which the regressor was trained on.

    Raises:
        BadInput: no candidate, not one prediction per row, or predictions outside [0, 1].
    """
    if not len(rows) or len(predicted) != len(rows):
        raise BadInput(f"expected candidates and a prediction for each, got {len(predicted)} for {len(rows)}")
    order = np.argsort(rows)
    rows, predicted = rows[order], predicted[order]
    table = store.rows
    case, true = table.case[rows], table.iou[rows].astype(np.float64)
    judged = [_judged(store[int(k)], table.candidate[rows[case == k]], predicted[case == k]) for k in np.unique(case)]
    hits, scores = [one.learned >= 0.5 for one in judged], [one.score for one in judged]
    found = bins(predicted, true)
    return Reliability(
        data=store.card.data,
        pairs=len(judged),
        candidates=len(rows),
        quality=quality(predicted, true, case),
        bins=found,
        ece=expected_error(found),
        mean_mae=float(np.abs(true - mean).mean()),
        predictors=_predictors(judged, true, case),
        acs_learned=acc_at([one.learned for one in judged]),
        consensus=acc_at([one.agreed for one in judged]),
        oracle=acc_at([one.best for one in judged]),
        ap=average_precision(hits, scores),
        ap_interval=ap_bootstrap(hits, scores, seed=SEED),
        ap_unranked=average_precision(hits, [1.0] * len(hits)),
    )


def _judged(stored: Stored, candidates: Int[np.ndarray, " box"], predicted: Float32[np.ndarray, " box"]) -> _Case:
    sample, found = stored
    among = tuple(candidates.tolist())

    def learned(found: CandidateSet) -> Float[torch.Tensor, " candidate"]:
        return spread(found, among, torch.from_numpy(predicted))

    (first,), (second,) = best_of(learned)(found), best_of(consensus)(found)
    areas = [found.candidates[i].box.area / (found.image.width * found.image.height) for i in among]
    rivals = {"box area": areas, "consensus": consensus(found)[list(among)].tolist()}
    if all(response.entropy is not None for response in found.responses) and len(among) == len(sampled(found)):
        rivals["token entropy"] = token_entropy(found)[list(among)].tolist()
    ious = [best_iou([found.candidates[i].box], sample.truth) for i in sampled(found)]
    return _Case(
        learned=best_iou([first.box], sample.truth),
        score=first.score or 0.0,
        agreed=best_iou([second.box], sample.truth),
        best=oracle([ious])[0],
        rivals=rivals,
    )


def _predictors(
    judged: Sequence[_Case], true: Float[np.ndarray, " row"], case: Int[np.ndarray, " row"]
) -> dict[str, Predictor]:
    """Those numbers that every case has."""
    names = [name for name in judged[0].rivals if all(name in one.rivals for one in judged)]
    values = {name: np.concatenate([one.rivals[name] for one in judged]) for name in names}
    some = true > 0
    return {
        name: Predictor(pearson(v, true), pearson(v[some], true[some]), rank_within(v, true, case))
        for name, v in values.items()
    }
