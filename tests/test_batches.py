"""Maps come in the order that was asked for, the same ones from the disk and from memory; predictions follow them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glintbox.batches import Maps, parts, predict, predicted
from glintbox.errors import BadInput, SettingMismatch
from glintbox.records import Sample
from glintbox.regressor import RegressorBundle, RegressorCard, new_regressor
from glintbox.store import Store, StoreCard, StoreWriter
from tests.learnable import COLS, EACH, ROWS, TRUTH, a_store, maps_of
from tests.sets import HEADS, IMAGE, SETTING, a_set, with_maps

ALL = np.arange(8 * EACH)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("batches") / "store", cases=8)


@pytest.fixture(scope="module")
def bundle() -> RegressorBundle:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_regressor(RegressorCard(SETTING, HEADS[:2], 5, 7))


def shuffled(seed: int = 0) -> list[np.ndarray]:
    return list(parts(np.random.default_rng(seed).permutation(ALL), 5))


@pytest.mark.parametrize("memory", [0, 2**20])
def test_maps_are_those_of_the_store_in_the_order_asked_for(store: Store, memory: int) -> None:
    maps = Maps(store, HEADS[::-1], rows=ALL, memory=memory)
    assert maps.grid == (ROWS, COLS)
    for _ in range(2):
        for rows, got in zip(shuffled(), maps.batches(shuffled()), strict=True):
            assert torch.allclose(got, store.batch(rows).flip(2), rtol=2**-11, atol=0)


def test_what_fits_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 2 * 4 * len(HEADS) * ROWS * COLS * len(ALL)
    held, streamed = Maps(store, HEADS, rows=ALL, memory=size), Maps(store, HEADS, rows=ALL, memory=size - 1)
    reads: list[int] = []
    before = store.batch

    def batch(rows: np.ndarray, **options: Any) -> torch.Tensor:
        reads.append(len(rows))
        return before(rows, **options)

    monkeypatch.setattr(store, "batch", batch)
    assert len(list(held.batches(shuffled()))) == 7 and reads == []
    assert len(list(streamed.batches(shuffled()))) == 7 and sum(reads) == len(ALL)


def test_some_rows_on_another_grid(store: Store) -> None:
    some = ALL[3::4]
    maps = Maps(store, HEADS[1:], grid=(5, 7), rows=some)
    [got] = maps.batches([some[::-1]])
    assert maps.grid == (5, 7)
    assert torch.allclose(got, store.batch(some[::-1], heads=HEADS[1:], grid=(5, 7)), rtol=2**-10)


def test_a_reader_that_is_left_early_does_no_harm(store: Store) -> None:
    maps = Maps(store, HEADS, rows=ALL, memory=0)
    reading = maps.batches(shuffled())
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # a generator has it
    assert len(list(maps.batches(shuffled()))) == 7


@pytest.mark.parametrize("memory", [0, 2**20])
def test_shares_that_are_no_numbers_are_refused_with_their_case(
    store: Store, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: np.ndarray, **_: object) -> torch.Tensor:
        maps = torch.zeros(len(rows), 4, 3, ROWS, COLS)
        maps[rows == 3 * EACH + 1, 2, 1, 0, 0] = torch.nan
        return maps

    monkeypatch.setattr(store, "batch", broken)
    with pytest.raises(BadInput, match=r"shares that are numbers, got others in case case-003"):
        list(Maps(store, HEADS, rows=ALL, memory=memory).batches(shuffled()))


@pytest.mark.parametrize("memory", [0, 2**20])
def test_maps_of_several_grids_need_one_to_be_named(tmp_path: Path, memory: int) -> None:
    """Also where no batch holds two of them: the network would take any grid and nobody would know."""
    generator, folder = torch.Generator().manual_seed(0), tmp_path / "store"
    for k, rows in enumerate((ROWS, ROWS + 1)):
        found = with_maps(a_set([(0, 0, 9, 9)], id=f"{k}"), maps_of(torch.ones(1), generator, rows=rows))
        with StoreWriter(folder, StoreCard(SETTING, found.sampling, "two grids", HEADS)) as writer:
            writer.add(Sample(found.id, Path(f"{k}.png"), IMAGE, "cup", (TRUTH,)), found)
    store, one_by_one = Store(folder), [np.array([0]), np.array([1])]
    with pytest.raises(BadInput, match=r"one grid, got 4 x 6( and|,) 5 x 6; name a grid"):
        list(Maps(store, HEADS, rows=np.arange(2), memory=memory).batches(one_by_one))
    named = Maps(store, HEADS, grid=(ROWS, COLS), rows=np.arange(2), memory=memory)
    assert [tuple(maps.shape[-2:]) for maps in named.batches(one_by_one)] == [(ROWS, COLS)] * 2


def test_no_rows_are_refused(store: Store) -> None:
    with pytest.raises(BadInput, match=r"candidates whose maps are to be read, got none"):
        Maps(store, HEADS, rows=ALL[:0])


def test_predictions_are_the_networks_in_the_order_asked_for(store: Store, bundle: RegressorBundle) -> None:
    rows, done = shuffled()[0], list[int]()
    with torch.inference_mode():
        expected = bundle.network(store.batch(rows, heads=HEADS[:2], grid=(5, 7))).numpy()
    assert np.allclose(predict(bundle, store, rows=rows, tick=done.append), expected, atol=1e-6)
    assert sum(done) == len(rows)
    assert np.allclose(predict(bundle, store)[rows], expected, atol=1e-6)
    assert len(predict(bundle, store, rows=rows[:0])) == 0


def test_a_prediction_leaves_training_mode(store: Store, bundle: RegressorBundle) -> None:
    maps = store.batch(ALL[:3], heads=HEADS[:2])
    bundle.network.train()
    assert np.array_equal(predicted(bundle, maps), predicted(bundle, maps))


def test_a_store_of_another_setting_is_refused(store: Store, bundle: RegressorBundle) -> None:
    other = RegressorBundle(replace(bundle.card, setting=replace(SETTING, prompt="long")), bundle.network)
    with pytest.raises(SettingMismatch, match=r"regressor belongs to another setting"):
        predict(other, store)


def test_a_store_without_a_head_is_refused(tmp_path: Path, store: Store, bundle: RegressorBundle) -> None:
    other = replace(bundle.card, heads=(HEADS[0], HEADS[0]._replace(index=7)))
    with pytest.raises(BadInput, match=r"heads whose maps .* keeps, got L0H7"):
        predict(RegressorBundle(other, bundle.network), store)
