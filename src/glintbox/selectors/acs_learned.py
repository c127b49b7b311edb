"""ACS-Learned: choose the box whose attention maps the regressor gives the highest IoU (ACS section 4.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.artifacts import require_equal
from glintbox.errors import BadInput, SettingMismatch
from glintbox.maps import resample
from glintbox.records import AttentionMaps, CandidateSet, Selector, Watch
from glintbox.regressor import RegressorBundle
from glintbox.selectors.base import Clusters, Score, chooser, in_order, spread

CHUNK = 64
"""Candidates scored at once: a full map of a 7B model is 7 MB of float32 each (docs/acs.md 44)."""


def acs_learned(regressor: RegressorBundle, *, multiple: bool | Clusters = False) -> Selector:
    """The selector for a trained regressor; its score is the predicted IoU."""
    setting = regressor.card.setting
    return Selector(
        name="acs-learned",
        choose=chooser(multiple)(predicted_iou(regressor)),
        score_kind="iou",
        needs=Watch(regressor.card.heads, setting.view, setting.moment, maps=True),
    )


def predicted_iou(regressor: RegressorBundle, *, chunk: int = CHUNK) -> Score:
    """The regressor's IoU of every sampled candidate whose coordinate tokens are known.

    Maps are resampled to the grid that the regressor was trained on. The network is put into evaluation mode.
    """
    card, network = regressor.card, regressor.network.eval()
    device = next(network.parameters()).device

    def score(found: CandidateSet) -> Float[Tensor, " candidate"]:
        require_equal(card.setting, found.setting, what="regressor")
        readable = tuple(i for i in in_order(found) if found.candidates[i].tokens is not None)
        if found.maps is None or not readable:
            raise BadInput(
                f"expected attention maps for the candidates of {found.id!r}, got none; "
                f"collect them with Watch(maps=True), as the selector's `needs` says"
            )
        channels = _channels(found.maps, regressor)
        parts = []
        for start in range(0, len(readable), chunk):
            maps = found.maps.values[list(readable[start : start + chunk])][:, :, channels]
            with torch.inference_mode():
                parts.append(network(resample(maps, card.rows, card.cols).to(device)).cpu())
        return spread(found, readable, torch.cat(parts))

    return score


def _channels(maps: AttentionMaps, regressor: RegressorBundle) -> list[int]:
    place = {head: k for k, head in enumerate(maps.heads)}
    missing = [head for head in regressor.card.heads if head not in place]
    if missing:
        raise SettingMismatch(
            f"expected maps of the regressor's heads, got none of {', '.join(map(str, missing))}; "
            f"collect the candidates with the selector's `needs`"
        )
    return [place[head] for head in regressor.card.heads]
