"""The regressors that tables need, trained once on the learning answers, and their predictions, computed once."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from glintbox.batches import predict
from glintbox.records import Head, Moment, to_json
from glintbox.regressor import (
    CONFIG,
    InputScale,
    Order,
    Recipe,
    RegressorBundle,
    fingerprint,
    load_regressor,
)
from glintbox.reproduce.answers import FirstAnswers, Predicted, by_case
from glintbox.reproduce.bench import Bench, keep
from glintbox.reproduce.plan import Need
from glintbox.splits import split
from glintbox.store import Store
from glintbox.training import Epoch, fit

GRIDS = {"qwen2_5_vl": (24, 24), "internvl": (16, 16)}
"""Rows and columns of the maps that a regressor reads, by model type (A.3); of others the square nearest their own."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A regressor: what it reads and how it is made; the default is the paper's.

    layers: those whose heads it reads, None = all. part: of the training pairs. grid: of its maps, None = as `GRIDS`
    says.
    """

    name: str = "all"
    layers: tuple[int, ...] | None = None
    part: float = 1.0
    order: Order = "relu_bn"
    dropout: float = 0.3
    input_scale: InputScale = "cells"
    grid: tuple[int, int] | None = None
    moment: Moment = "predicting"


ALL = Variant()
HALF, QUARTER = Variant("half", part=0.5), Variant("quarter", part=0.25)


def learned_from(variant: Variant) -> Need:
    """The answers that a regressor is trained on, at T=1.0; of another moment than the default a quarter as many."""
    return Need("learn" if variant.moment == "predicting" else "learn-quarter", 1.0, moment=variant.moment)


def regressor(bench: Bench, variant: Variant = ALL) -> RegressorBundle:
    """A trained regressor; a stopped training goes on where it was. Errors as in `training.fit`."""
    return bench.once(("regressor", variant), lambda: _trained(bench, variant))


def folder(bench: Bench, variant: Variant = ALL) -> Path:
    """Where a regressor lies, in the form that `--regressor` takes."""
    return bench.work / "regressors" / variant.name


def _trained(bench: Bench, variant: Variant) -> RegressorBundle:
    out, store = folder(bench, variant), bench.store(learned_from(variant))
    recipe = Recipe(epochs=bench.amounts.epochs)
    if variant.part < 1:
        pairs = len(np.unique(store.rows.case[split(store, recipe).train]))
        recipe = replace(recipe, pairs=max(1, round(variant.part * pairs)))
    if (out / CONFIG).is_file():
        bundle = load_regressor(out)
        bundle.network.to(bench.room.device)
        return bundle
    with bench.bars(f"regressor {variant.name}: training", recipe.epochs) as more:
        done = 0.0

        def tick(now: float, last: Epoch | None) -> None:
            nonlocal done
            more(now - done)
            done = now

        fitted = fit(
            store, out=out, heads=heads_of(store, variant.layers), grid=variant.grid or grid_of(store),
            order=variant.order, dropout=variant.dropout, input_scale=variant.input_scale, recipe=recipe, tick=tick,
            memory=bench.room.memory, device=bench.room.device,
        )  # fmt: skip
    keep(out / "history.json", to_json(fitted.history, indent=1).encode())
    return fitted.bundle


def heads_of(store: Store, layers: Sequence[int] | None) -> tuple[Head, ...]:
    """The heads whose maps are kept, or those of some layers among them."""
    return tuple(head for head in store.card.heads if layers is None or head.layer in layers)


def grid_of(store: Store) -> tuple[int, int]:
    """The paper's grid for its models; for others the square nearest the median number of cells, at least 4 x 4."""
    known = GRIDS.get(store.card.setting.model_type)
    if known:
        return known
    grids = [grid for case in range(len(store)) if (grid := store.grid(case)) is not None]
    side = max(4, round(float(np.sqrt(np.median([rows * cols for rows, cols in grids])))))
    return (side, side)


def predictions(bench: Bench, need: Need, variant: Variant = ALL) -> Float32[np.ndarray, " row"]:
    """Predicted IoU of every candidate of a store, kept by the regressor's content."""
    bundle, store = regressor(bench, variant), bench.store(need)

    def read() -> Float32[np.ndarray, " row"]:
        path = bench.work / "predictions" / f"{bench.folder(need).name}-{fingerprint(bundle)}.npy"
        if path.is_file() and len(found := np.load(path)) == len(store.rows.iou):
            return np.asarray(found)
        with bench.bars(
            f"{need.part}, T {need.temperature:g}: predicting, {variant.name}", len(store.rows.iou)
        ) as more:
            found = predict(bundle, store, tick=more)
        written = io.BytesIO()
        np.save(written, found)
        keep(path, written.getvalue())
        return found

    return bench.once(("predictions", need, variant), read)


def predicted(bench: Bench, need: Need, variant: Variant = ALL) -> Predicted:
    """The same case by case, for `answers.acs_learned`."""
    store = bench.store(need)
    return bench.once(("by case", need, variant), lambda: by_case(store, predictions(bench, need, variant)))


def predictions_of_first(bench: Bench, need: Need, k: int, variant: Variant = ALL) -> Float32[np.ndarray, " row"]:
    """Predictions for the rows of the first k answers of each case."""
    found, store = predictions(bench, need, variant), bench.first(need, k)
    return found[store.within] if isinstance(store, FirstAnswers) else found
