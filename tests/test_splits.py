"""Held-out pictures are never trained on, and what is held out does not depend on how much is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from glintbox.errors import BadInput
from glintbox.regressor import Amount, Recipe
from glintbox.splits import amount, split
from glintbox.store import Store
from tests.learnable import EACH, a_store

RECIPE = Recipe(held_out=0.25)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("splits") / "store", cases=30, pictures=12)


@pytest.mark.parametrize("seed", range(8))
def test_no_picture_is_on_both_sides_and_nothing_is_lost(store: Store, seed: int) -> None:
    train, held_out = split(store, replace(RECIPE, seed=seed))
    image = store.rows.image
    assert not set(image[train]) & set(image[held_out])
    assert sorted([*train, *held_out]) == list(range(30 * EACH))
    assert len(set(image[held_out])) == 3


def test_seeds_decide(store: Store) -> None:
    sides = [tuple(split(store, replace(RECIPE, seed=seed)).held_out) for seed in (0, 0, 1, 2)]
    assert sides[0] == sides[1] and len(set(sides)) == 3


def test_fewer_pairs_are_among_the_more_and_the_same_pictures_are_held_out(store: Store) -> None:
    whole = split(store, RECIPE)
    parts = [split(store, replace(RECIPE, pairs=pairs)) for pairs in (5, 11)]
    for part, pairs in zip(parts, (5, 11), strict=True):
        assert np.array_equal(part.held_out, whole.held_out)
        assert amount(store, part.train)[1:] == (pairs, pairs * EACH)
    assert set(parts[0].train) < set(parts[1].train) < set(whole.train)


def test_only_the_rows_that_are_wanted_are_split(store: Store) -> None:
    rows = np.flatnonzero(store.rows.case < 20)
    assert sorted(np.concatenate(split(store, RECIPE, rows=rows))) == list(rows)


def test_amounts(store: Store) -> None:
    assert amount(store, np.arange(EACH * 14)) == Amount(12, 14, 14 * EACH)


def test_at_least_one_picture_is_on_each_side(store: Store) -> None:
    for held_out in (0.001, 0.999):
        train, out = split(store, Recipe(held_out=held_out))
        assert len(train) and len(out)


def test_too_little_is_refused(store: Store) -> None:
    with pytest.raises(BadInput, match=r"at least 2 pictures in .*, got 1; collect more"):
        split(store, RECIPE, rows=np.arange(EACH))
    with pytest.raises(BadInput, match=r"at most \d+ training pairs, as many as there are, got 31"):
        split(store, replace(RECIPE, pairs=31))
