"""A regressor in a folder of its own: glintbox and the Hub's mixin read the same one, and the card tells its past."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glintbox.errors import BadInput, NoArtifact
from glintbox.model_card import model_card, save_folder
from glintbox.regressor import (
    AttentionIoURegressor,
    RegressorBundle,
    RegressorCard,
    load_regressor,
    new_regressor,
)
from tests.learnable import TRAINING
from tests.sets import HEADS, SETTING

MAPS = torch.rand(2, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0)) / 24


@pytest.fixture(scope="module")
def bundle() -> RegressorBundle:
    card = RegressorCard(
        SETTING, HEADS, 4, 6, order="bn_relu", dropout=0.1, input_scale="none", made_by="test", training=TRAINING
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_regressor(card)


@pytest.fixture
def folder(bundle: RegressorBundle, tmp_path: Path) -> Path:
    save_folder(bundle, tmp_path / "regressor")
    return tmp_path / "regressor"


def test_the_folder_is_read_back(bundle: RegressorBundle, folder: Path) -> None:
    read = load_regressor(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert read.card == bundle.card
    assert torch.equal(read.network(MAPS), bundle.network(MAPS))


def test_the_hubs_mixin_reads_the_same_folder(bundle: RegressorBundle, folder: Path) -> None:
    read = AttentionIoURegressor.from_pretrained(folder)
    assert not read.training
    assert read.input_scale == "none"
    assert torch.equal(read(MAPS), bundle.network(MAPS))


def test_what_the_hubs_mixin_writes_it_reads(bundle: RegressorBundle, tmp_path: Path) -> None:
    bundle.network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {"channels": 3, "order": "bn_relu", "dropout": 0.1, "input_scale": "none"}
    assert torch.equal(AttentionIoURegressor.from_pretrained(tmp_path)(MAPS), bundle.network(MAPS))
    with pytest.raises(BadInput, match=r"a regressor's card in .*config\.json, got a problem at setting"):
        load_regressor(tmp_path)


def test_the_mixin_refuses_weights_that_are_incomplete(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("fusion.0.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"fusion\.0\.weight"):
        AttentionIoURegressor.from_pretrained(folder)
    with pytest.raises(BadInput, match=r"got fusion\.0\.weight of shape None"):
        load_regressor(folder)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"only a pickle, weights\.bin, which is never loaded"):
        AttentionIoURegressor._load_as_pickle(AttentionIoURegressor(1), "weights.bin", "cpu", True)
    with pytest.raises(NoArtifact, match=r"card at"):
        load_regressor(tmp_path)


def test_the_card_tells_setting_data_amounts_recipe_and_worth(bundle: RegressorBundle) -> None:
    text = model_card(bundle.card)
    assert text.startswith("---\nlibrary_name: glintbox\n")
    for told in (
        "Attention-IoU regressor for tiny", "| moment | predicting |", "3 heads of 2 layers", "4 x 6 cells", "L2H3",
        "order bn_relu, dropout 0.1, input scale none", "| data | scenes-style-a, 5000 cases |",
        "10 answers each at temperature 1, top-p 0.9, top-k 100, seed 0",
        "| trained on | 44,444 candidates of 4,500 pairs of picture and query, 900 pictures |",
        "| held out | 4,900 candidates of 500 pairs", "rate 0.0003 along a cosine, weight decay 0.0001", "seed 3",
        "after 40 of 100 epochs (patience 15, 0.001)", "of epoch 25", "| MAE | 0.140 (always saying the mean: 0.250) |",
        "| Pearson r | 0.710 |", "| Spearman's rank correlation within a pair | - |",
        "| Acc@0.5 of acs-learned | 62.0% |", "| Acc@0.5 of consensus | 60.0% |",
    ):  # fmt: skip
        assert told in text, told


def test_a_regressor_of_unknown_past_says_so(bundle: RegressorBundle) -> None:
    text = model_card(replace(bundle.card, training=None))
    assert "Nothing is known." in text and "Acc@0.5" not in text


def test_a_place_that_cannot_be_written_is_named(bundle: RegressorBundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"expected a folder for the regressor that can be written at .*file"):
        save_folder(bundle, tmp_path / "file")
