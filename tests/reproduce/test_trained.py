"""Regressors are trained once and found again; predictions are kept by the regressor's content."""

from pathlib import Path

import numpy as np
import pytest
import torch

from glintbox.batches import predict
from glintbox.regressor import Recipe, fingerprint, load_regressor
from glintbox.reproduce import trained
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import Need
from glintbox.reproduce.trained import ALL, HALF, QUARTER, Variant, grid_of, learned_from
from tests.reproduce.made import bench

NEED = Need("report", 1.0, 15)


def test_a_regressor_is_trained_once(made: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = trained.regressor(made)
    assert trained.regressor(made) is bundle
    again = bench(folder, made.work.parent.parent)
    monkeypatch.setattr(trained, "fit", None)
    assert fingerprint(trained.regressor(again)) == fingerprint(bundle)
    assert fingerprint(load_regressor(trained.folder(made))) == fingerprint(bundle)
    assert (trained.folder(made) / "history.json").is_file()


def test_variants_differ_in_what_they_say(made: Bench) -> None:
    card = trained.regressor(made, Variant("odd", (1, 2), order="bn_relu", input_scale="none", grid=(5, 6))).card
    assert {head.layer for head in card.heads} == {1, 2}
    assert (card.order, card.input_scale, card.rows, card.cols) == ("bn_relu", "none", 5, 6)
    pairs = [trained.regressor(made, variant).card.training for variant in (QUARTER, HALF, ALL)]
    assert [made.trained_on.pairs for made in pairs if made] == sorted(made.trained_on.pairs for made in pairs if made)
    assert learned_from(ALL) == Need("learn", 1.0)
    assert learned_from(Variant(moment="predicted")) == Need("learn-quarter", 1.0, moment="predicted")


def test_the_grid_is_the_papers_or_the_square_nearest(made: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made.store(learned_from(ALL))
    assert grid_of(store) == (7, 7), "6 x 8 = 48 cells"
    monkeypatch.setitem(trained.GRIDS, "scripted", (24, 24))
    assert grid_of(store) == (24, 24)


def test_predictions_are_kept_and_cut(made: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, store = trained.predictions(made, NEED), made.store(NEED)
    assert np.array_equal(found, predict(trained.regressor(made), store))
    again = bench(folder, made.work.parent.parent)
    monkeypatch.setattr(trained, "predict", None)
    assert np.array_equal(trained.predictions(again, NEED), found)
    cut = trained.predictions_of_first(made, NEED, 4)
    assert len(cut) == len(made.first(NEED, 4).rows.iou) and set(cut) <= set(found)
    by = trained.predicted(made, NEED)
    assert list(by) == list(store.ids)
    assert np.array_equal(torch.cat([by[id][:, 1] for id in store.ids]).numpy(), found)


def test_the_recipe_is_the_papers_but_for_the_epochs(made: Bench) -> None:
    recipe = Recipe(epochs=made.amounts.epochs)
    of = trained.regressor(made).card.training
    assert of is not None and of.recipe == recipe
