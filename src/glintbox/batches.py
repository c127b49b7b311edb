"""Attention maps of a store in batches: read ahead from the disk, or held in memory where they fit; and predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from glintbox.artifacts import require_equal
from glintbox.errors import BadInput
from glintbox.records import Head
from glintbox.regressor import RegressorBundle
from glintbox.store import Store

MEMORY = 256 * 2**20
"""Bytes of maps that may be held."""

SCALE = 2.0**15
"""Held shares are float16 times this: exact, 1 is no overflow, and what is below 2e-9 alone loses digits."""

BATCH_BYTES, LEAST = 8 * 2**20, 16
"""Float32 maps of one batch where nobody asks for a size, but at least so many candidates."""


class Maps:
    """The maps of some candidates of a store, on one grid, in any order and as often as wanted.

    rows: of `store.rows`. grid: None where all maps are of one grid. Where the maps fit into `memory` bytes they are
    read once and kept; else each batch is read from the disk while the one before is in use.
    """

    def __init__(
        self,
        store: Store,
        heads: Sequence[Head],
        *,
        grid: tuple[int, int] | None = None,
        rows: Int[np.ndarray, " candidate"],
        memory: int = MEMORY,
    ) -> None:
        """Look at the first maps, and read all of them if they are to be kept.

        Raises:
            BadInput: no row, a head whose maps are not kept, no grid where there are several, or shares that are not
                finite.
        """
        if not len(rows):
            raise BadInput("expected candidates whose maps are to be read, got none")
        self._store, self._heads, self._asked = store, tuple(heads), grid
        first = store.batch(rows[:1], heads=self._heads, grid=grid)
        self.grid: tuple[int, int] = (first.shape[-2], first.shape[-1])
        self._rows = np.unique(rows)
        self._kept: Float[Tensor, "candidate coord=4 head row col"] | None = None
        if 2 * first[0].numel() * len(self._rows) <= memory:
            kept = torch.empty(len(self._rows), *first.shape[1:], dtype=torch.float16)
            places = parts(np.arange(len(kept)), self.step)
            for at, maps in zip(places, self.batches(parts(self._rows, self.step)), strict=True):
                kept[at] = (maps * SCALE).half()
            self._kept = kept

    @property
    def step(self) -> int:
        """How many candidates make a batch where nobody asks for a size."""
        return max(LEAST, BATCH_BYTES // (16 * len(self._heads) * self.grid[0] * self.grid[1]))

    def batches(self, order: Iterable[Int[np.ndarray, " _"]]) -> Iterator[Float32[Tensor, "_ coord=4 head row col"]]:
        """Maps of each batch of rows, in their order.

        Raises:
            BadInput: shares that are not finite, or bytes that are not those that were written; the case is named.
        """
        if self._kept is not None:
            yield from (self._kept[np.searchsorted(self._rows, rows)].float() / SCALE for rows in order)
            return
        with ThreadPoolExecutor(1) as reader:
            waiting = None
            for rows in order:
                ahead = reader.submit(self._read, rows)
                if waiting is not None:
                    yield waiting.result()
                waiting = ahead
            if waiting is not None:
                yield waiting.result()

    def _read(self, rows: Int[np.ndarray, " candidate"]) -> Float32[Tensor, "candidate coord=4 head row col"]:
        maps: Tensor = self._store.batch(rows, heads=self._heads, grid=self._asked)
        if maps.shape[-2:] != self.grid:
            one, other = (f"{high} x {wide}" for high, wide in (self.grid, maps.shape[-2:]))
            raise BadInput(f"expected maps of one grid, got {one} and {other}; name a grid to resample to")
        finite = maps.isfinite().flatten(1).all(1).numpy()
        if not finite.all():
            odd = self._store.ids[self._store.rows.case[rows[~finite][0]]]
            raise BadInput(f"expected attention shares that are numbers, got others in case {odd}; collect it again")
        return maps


def parts(rows: Int[np.ndarray, " candidate"], step: int) -> Iterator[Int[np.ndarray, " _"]]:
    """Rows in pieces of at most `step`."""
    yield from (rows[start : start + step] for start in range(0, len(rows), step))


def predict(
    bundle: RegressorBundle,
    store: Store,
    *,
    rows: Int[np.ndarray, " candidate"] | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> Float32[np.ndarray, " candidate"]:
    """Predicted IoU of candidates of a store (None = of all `store.rows`); tick gets the size of each finished batch.

    Raises:
        SettingMismatch: the store was collected under another setting than the regressor's.
        BadInput: maps of the regressor's heads were not kept, or as `Maps.batches`.
    """
    card = bundle.card
    require_equal(card.setting, store.card.setting, what="regressor")
    wanted = np.arange(len(store.rows.iou)) if rows is None else rows
    if not len(wanted):
        return np.zeros(0, dtype=np.float32)
    maps = Maps(store, card.heads, grid=(card.rows, card.cols), rows=wanted, memory=0)
    found = []
    for batch in maps.batches(parts(wanted, maps.step)):
        found.append(predicted(bundle, batch))
        tick(len(batch))
    return np.concatenate(found)


def predicted(
    bundle: RegressorBundle, maps: Float32[Tensor, "candidate coord=4 head row col"]
) -> Float32[np.ndarray, " candidate"]:
    """Predicted IoU of one batch of maps, in evaluation mode, on the device of the network."""
    device = next(bundle.network.parameters()).device
    with torch.inference_mode():
        return np.asarray(bundle.network.eval()(maps.to(device)).cpu().numpy())
