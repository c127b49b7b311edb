"""Which candidates of a store are trained on and which are held out: never both of one picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from glintbox.errors import BadInput
from glintbox.regressor import Amount, Recipe
from glintbox.store import Store


class Split(NamedTuple):
    """Candidates (rows of `store.rows`) to train on, and of pictures that are not trained on."""

    train: Int[np.ndarray, " train"]
    held_out: Int[np.ndarray, " held"]


def split(store: Store, recipe: Recipe, *, rows: Int[np.ndarray, " candidate"] | None = None) -> Split:
    """Split candidates (None = all) by picture; `recipe.pairs` takes fewer training pairs, the same pictures held out.

    Of equal seeds, more pairs contain the fewer.

    Raises:
        BadInput: fewer than two pictures, or fewer pairs than wanted.
    """
    table = store.rows
    wanted = np.arange(len(table.iou)) if rows is None else np.unique(rows)
    pictures = np.unique(table.image[wanted])
    if len(pictures) < 2:
        raise BadInput(
            f"expected candidates of at least 2 pictures in {store.folder}, got {len(pictures)}; collect more"
        )
    shuffled = np.random.default_rng((recipe.seed, 0)).permutation(pictures)
    count = min(max(1, round(recipe.held_out * len(pictures))), len(pictures) - 1)
    is_out = np.isin(table.image[wanted], shuffled[:count])
    train, held_out = wanted[~is_out], wanted[is_out]
    if recipe.pairs is not None:
        pairs = np.random.default_rng((recipe.seed, 1)).permutation(np.unique(table.case[train]))
        if recipe.pairs > len(pairs):
            raise BadInput(f"expected at most {len(pairs)} training pairs, as many as there are, got {recipe.pairs}")
        train = train[np.isin(table.case[train], pairs[: recipe.pairs])]
    return Split(train, held_out)


def amount(store: Store, rows: Int[np.ndarray, " candidate"]) -> Amount:
    """How much these candidates are."""
    table = store.rows
    return Amount(len(np.unique(table.image[rows])), len(np.unique(table.case[rows])), len(rows))
