"""Where does the regressor look? Equation 2: how far its loss reacts to each head's map, and the layers that count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glintbox.analysis.exact import EXACT
from glintbox.artifacts import read_record, require_equal, write_whole
from glintbox.batches import Maps, parts
from glintbox.errors import BadInput
from glintbox.records import Head, Setting, to_json
from glintbox.regressor import AttentionIoURegressor, RegressorBundle, fingerprint
from glintbox.splits import amount, split
from glintbox.store import Store

Of = Literal["loss", "output"]
"""What is derived: the squared error of one box (Equation 2), or the predicted IoU itself (docs/acs.md 14)."""


@dataclass(frozen=True, slots=True)
class Importance:
    """Mean over candidates of Equation 2's maximum, per coordinate and head.

    values: change of the loss (or of the output) per share of attention on one cell. regressor: its fingerprint. data:
    what the candidates are of, in words.
    """

    setting: Setting
    regressor: str
    data: str
    of: Of
    candidates: int
    heads: tuple[Head, ...]
    values: Annotated[Float[Tensor, "coord=4 head"], *EXACT]
    schema_version: int = 1

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that were measured, ascending."""
        return tuple(sorted({head.layer for head in self.heads}))

    @property
    def by_layer(self) -> Float[Tensor, "coord=4 layer"]:
        """Mean over the heads of each layer (section 4.3), in the order of `layers`."""
        places = [[k for k, head in enumerate(self.heads) if head.layer == layer] for layer in self.layers]
        return torch.stack([self.values[:, heads].mean(1) for heads in places], dim=1)

    @property
    def score(self) -> Float[Tensor, " layer"]:
        """Mean over the four coordinates: what layers are compared by (docs/acs.md 14)."""
        return self.by_layer.mean(0)


@dataclass(frozen=True, slots=True)
class CriticalLayers:
    """The localization-critical layers: `top` of the highest scores, ascending (Table 1), and the range of the text."""

    top: tuple[int, ...]
    range: tuple[int, ...]


def importance(
    bundle: RegressorBundle,
    store: Store,
    *,
    rows: Int[np.ndarray, " row"] | None = None,
    of: Of = "loss",
    tick: Callable[[int], None] = lambda done: None,
) -> Importance:
    """Equation 2 over the candidates `rows` of a store (None = all), a batch of maps at a time.

    tick: gets the size of each finished batch. The gradient of the loss vanishes where the regressor is right, so take
    candidates that it was not trained on.

    Raises:
        SettingMismatch: the store was collected under another setting than the regressor's.
        BadInput: no candidate, or maps of the regressor's heads that were not kept.
    """
    card = bundle.card
    require_equal(card.setting, store.card.setting, what="regressor")
    wanted = np.arange(len(store.rows.iou)) if rows is None else np.sort(rows)
    if not len(wanted):
        raise BadInput("expected at least one sampled candidate in the store, got none; collect more cases")
    device = next(bundle.network.parameters()).device
    maps = Maps(store, card.heads, grid=(card.rows, card.cols), rows=wanted, memory=0)
    total = torch.zeros(4, len(card.heads), dtype=torch.float64)
    for part, values in zip(parts(wanted, maps.step), maps.batches(parts(wanted, maps.step)), strict=True):
        iou = torch.from_numpy(store.rows.iou[part]).to(device)
        total += attribution(bundle.network, values.to(device), iou, of=of).sum(0).double().cpu()
        tick(len(part))
    data = store.card.data
    return Importance(card.setting, fingerprint(bundle), data, of, len(wanted), card.heads, total / len(wanted))


def attribution(
    network: AttentionIoURegressor,
    maps: Float[Tensor, "candidate coord=4 head row col"],
    iou: Float[Tensor, " candidate"],
    *,
    of: Of = "loss",
) -> Float[Tensor, "candidate coord=4 head"]:
    """Equation 2 of each candidate: the largest absolute derivative over the cells of each map.

    The network is put into evaluation mode, so that no candidate's derivative depends on the others of the batch.
    """
    network.eval()
    given = maps.detach().requires_grad_()
    predicted = network(given)
    value = (predicted - iou).square() if of == "loss" else predicted
    (gradient,) = torch.autograd.grad(value.sum(), given)
    largest: Tensor = gradient.abs().amax((-2, -1))
    return largest


def critical_layers(found: Importance, *, count: int | None = None) -> CriticalLayers:
    """The `count` layers of the highest score, and the contiguous range that the paper's text makes of them.

    count: ceil(10/28 of the layers) by default, the paper's ten of 28. The range holds the longest run of them, where a
    single layer that is missing between two is filled in; of equally long runs it is that of the higher total score.
    For the two rows of Table 1 this gives 14-21 and 17-26, as the text says (docs/acs.md 13).
    """
    layers, score = found.layers, found.score.tolist()
    count = count if count is not None else math.ceil(len(layers) * 10 / 28)
    if not 1 <= count <= len(layers):
        raise BadInput(f"expected 1 <= count <= {len(layers)}, the number of layers, got {count}")
    top = sorted(sorted(range(len(layers)), key=lambda k: -score[k])[:count])
    run = max(_runs(top), key=lambda run: (len(run), sum(score[k] for k in run)))
    return CriticalLayers(tuple(layers[k] for k in top), layers[run[0] : run[-1] + 1])


def unseen(bundle: RegressorBundle, store: Store) -> Int[np.ndarray, " row"]:
    """The candidates that the regressor was not trained on: all, or the held-out ones of the store that it was."""
    rows, made = np.arange(len(store.rows.iou)), bundle.card.training
    if made is None or (made.data, made.sampling) != (store.card.data, store.card.sampling) or not len(rows):
        return rows
    parted = split(store, made.recipe)
    same = (amount(store, parted.train), amount(store, parted.held_out)) == (made.trained_on, made.held_out)
    return parted.held_out if same else rows


def importance_file(heads: Path) -> Path:
    """Where the importance of all heads lies, beside the head map that was found with it."""
    return heads.with_suffix(".importance.json")


def save_importance(found: Importance, path: Path) -> None:
    """Write it as JSON, whole or not at all; raises OSError where that cannot be written."""
    write_whole(path, to_json(found, indent=2).encode() + b"\n")


def load_importance(path: Path) -> Importance:
    """Read it back; errors as in `glintbox.artifacts.load_heads`."""
    hint = "make one with: glintbox heads find STORE --by regressor --regressor FILE --out FILE"
    return read_record(Importance, path, what="the importance of heads", hint=hint)


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Ascending places in runs; a gap of one does not end a run."""
    runs = [[places[0]]]
    for place in places[1:]:
        if place - runs[-1][-1] <= 2:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs
