"""Equation 2: a derivative, of one candidate at a time; layers that count, as Table 1 and the text have them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glintbox import batches
from glintbox.analysis.importance import (
    CriticalLayers,
    Importance,
    attribution,
    critical_layers,
    importance,
    importance_file,
    load_importance,
    save_importance,
    unseen,
)
from glintbox.errors import BadInput, NoArtifact, SettingMismatch
from glintbox.predictions import Quality
from glintbox.records import Head
from glintbox.regressor import (
    AttentionIoURegressor,
    Recipe,
    RegressorBundle,
    RegressorCard,
    Training,
    fingerprint,
    new_regressor,
)
from glintbox.splits import amount, split
from glintbox.store import Store
from tests.learnable import COLS, ROWS, a_store
from tests.sets import HEADS, SETTING


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("store"), cases=6, pictures=3)


def regressor(heads: Sequence[Head] = HEADS) -> RegressorBundle:
    return new_regressor(RegressorCard(SETTING, tuple(heads), ROWS, COLS))


def maps(count: int, heads: int = 2) -> torch.Tensor:
    return torch.rand(count, 4, heads, ROWS, COLS) / (ROWS * COLS)


@pytest.mark.parametrize("of", ["loss", "output"])
def test_it_is_the_largest_derivative_of_any_cell(of: str) -> None:
    """Against central differences in float64, cell by cell, of one head and coordinate at a time."""
    network = AttentionIoURegressor(2).double().eval()
    given, iou = maps(1).double(), torch.tensor([0.8], dtype=torch.float64)

    found = attribution(network, given, iou, of=of)  # type: ignore[arg-type]  # parametrize knows only str
    assert not given.requires_grad
    step = 1e-6
    for coord, head in ((0, 1), (2, 0)):
        off = torch.zeros(ROWS * COLS, 4, 2, ROWS, COLS, dtype=torch.float64)
        off[:, coord, head] = step * torch.eye(ROWS * COLS, dtype=torch.float64).reshape(-1, ROWS, COLS)
        with torch.inference_mode():
            up, down = (network(given + way * off) for way in (1, -1))
        change = (up - iou).square() - (down - iou).square() if of == "loss" else up - down
        assert found[0, coord, head].item() == pytest.approx(float(change.abs().max()) / (2 * step), rel=1e-4)


def test_a_head_that_no_weight_reads_has_no_importance() -> None:
    network = AttentionIoURegressor(2)
    with torch.no_grad():
        network.branches[2][0].weight[:, 1] = 0  # type: ignore[index]  # y... of x2: conv 1, channel 1
    found = attribution(network, maps(3), torch.rand(3))
    silent = torch.zeros(4, 2, dtype=torch.bool)
    silent[2, 1] = True
    assert (found[:, silent] == 0).all() and (found[:, ~silent] > 0).all()


def test_no_candidate_changes_anothers_and_a_right_prediction_has_none() -> None:
    network, given, iou = AttentionIoURegressor(2).train(), maps(5), torch.rand(5)
    together = attribution(network, given, iou)
    assert not network.training, "batch statistics and dropout are off"
    alone = torch.cat([attribution(network, given[k : k + 1], iou[k : k + 1]) for k in range(5)])
    assert torch.allclose(together, alone, rtol=1e-3, atol=1e-9)
    with torch.inference_mode():
        right = network(given)
    assert attribution(network, given, right).max() < 1e-6
    assert torch.allclose(
        attribution(network, given, right, of="output"), attribution(network, given, iou, of="output")
    )


def test_over_a_store_it_is_the_mean_over_candidates_whatever_the_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, done = regressor(), [0]
    whole = importance(bundle, store, tick=lambda some: done.append(done[-1] + some))
    every = store.batch(np.arange(24), grid=(ROWS, COLS))
    expected = attribution(bundle.network, every, torch.from_numpy(store.rows.iou)).double().mean(0)
    assert torch.allclose(whole.values, expected, rtol=1e-3) and done[-1] == whole.candidates == 24
    assert (whole.setting, whole.data, whole.regressor) == (SETTING, "made up", fingerprint(bundle))
    monkeypatch.setattr(batches, "BATCH_BYTES", 5 * 16 * len(HEADS) * ROWS * COLS)
    assert torch.allclose(importance(bundle, store).values, whole.values, rtol=1e-3)
    some = importance(bundle, store, rows=np.array([7, 2]), of="output")
    assert some.candidates == 2 and some.of == "output"


def test_only_the_regressors_own_heads_are_read(store: Store) -> None:
    bundle = regressor(HEADS[:0:-1])
    found = importance(bundle, store)
    assert found.heads == (HEADS[2], HEADS[1]) and found.values.shape == (4, 2)


def test_what_does_not_belong_together_is_refused(store: Store) -> None:
    other = new_regressor(RegressorCard(replace(SETTING, moment="predicted"), HEADS, ROWS, COLS))
    with pytest.raises(SettingMismatch, match="regressor belongs to another setting"):
        importance(other, store)
    with pytest.raises(BadInput, match="at least one sampled candidate in the store, got none"):
        importance(regressor(), store, rows=np.array([], dtype=np.int64))


def measured(scores: dict[int, float], heads: int = 2) -> Importance:
    """Layers of these scores; heads and coordinates differ around them."""
    every = tuple(Head(layer, index) for layer in scores for index in range(heads))
    row = torch.tensor([scores[head.layer] for head in every], dtype=torch.float64)
    around = torch.tensor([-0.02, 0.02, -0.01, 0.01], dtype=torch.float64)[:, None]
    return Importance(SETTING, "abc", "by hand", "loss", 9, every, row + around)


def test_a_layer_is_the_mean_of_its_heads_and_coordinates() -> None:
    heads = (Head(3, 0), Head(1, 0), Head(3, 1))
    values = torch.tensor([[1.0, 5.0, 3.0], [2.0, 6.0, 4.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).double()
    found = Importance(SETTING, "abc", "by hand", "loss", 9, heads, values)
    assert found.layers == (1, 3)
    assert found.by_layer.tolist() == [[5.0, 2.0], [6.0, 3.0], [0.0, 0.0], [1.0, 1.0]]
    assert found.score.tolist() == [3.0, 1.5]


QWEN, INTERN = (14, 15, 16, 17, 18, 19, 20, 21, 24, 25), (17, 18, 19, 20, 21, 22, 23, 24, 26, 35)


@pytest.mark.parametrize(("layers", "top", "text"), [(28, QWEN, (14, 21)), (36, INTERN, (17, 26))])
def test_the_range_is_what_the_papers_text_makes_of_table_1(
    layers: int, top: tuple[int, ...], text: tuple[int, int]
) -> None:
    found = measured({layer: 2.0 if layer in top else 1.0 for layer in range(layers)})
    assert critical_layers(found, count=10) == CriticalLayers(top, tuple(range(text[0], text[1] + 1)))


@pytest.mark.parametrize(("layers", "count"), [(28, 10), (36, 13), (8, 3), (1, 1)])
def test_ten_of_28_layers_are_critical(layers: int, count: int) -> None:
    assert critical_layers(measured({k: float(k) for k in range(layers)})).top == tuple(range(layers - count, layers))


def test_of_equally_long_runs_the_one_of_the_higher_score_is_the_range() -> None:
    found = measured({0: 3.0, 1: 3.0, 2: 0.0, 3: 0.0, 4: 4.0, 5: 0.0, 6: 4.0})
    assert critical_layers(found, count=4) == CriticalLayers((0, 1, 4, 6), (4, 5, 6))
    with pytest.raises(BadInput, match="1 <= count <= 7, the number of layers, got 8"):
        critical_layers(found, count=8)


def test_layers_that_have_no_maps_do_not_part_a_range() -> None:
    """Of a model with sliding layers in between only every third has maps."""
    found = measured({2: 1.0, 5: 3.0, 8: 3.0, 11: 1.0})
    assert critical_layers(found, count=2).range == (5, 8)


def test_it_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    found = measured({0: 1e-9, 1: 2e-7 / 3})
    path = importance_file(tmp_path / "heads.json")
    with pytest.raises(NoArtifact, match="glintbox heads find STORE --by regressor"):
        load_importance(path)
    save_importance(found, path)
    again = load_importance(path)
    assert path.name == "heads.importance.json" and torch.equal(again.values, found.values)
    assert replace(again, values=found.values) == found


def test_candidates_that_were_trained_on_are_left_out(store: Store) -> None:
    recipe, bundle = Recipe(held_out=0.34), regressor()
    assert unseen(bundle, store).tolist() == list(range(24)), "nobody said on what it was trained"
    parted = split(store, recipe)
    made = Training(
        data="made up", sampling=store.card.sampling, recipe=recipe,
        trained_on=amount(store, parted.train), held_out=amount(store, parted.held_out),
        epochs=1, best=1, quality=Quality(0.1, 0.1, None, None, None), mean_mae=0.2,
        acs_learned=0.5, consensus=0.5, oracle=0.9,
    )  # fmt: skip
    trained = RegressorBundle(replace(bundle.card, training=made), bundle.network)
    assert unseen(trained, store).tolist() == parted.held_out.tolist() != []
    elsewhere = RegressorBundle(replace(bundle.card, training=replace(made, data="others")), bundle.network)
    assert len(unseen(elsewhere, store)) == 24
