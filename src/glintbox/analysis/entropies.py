"""The entropy of every candidate's maps in one table: as it was read, on a common grid, or by the size of the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glintbox.batches import Maps, parts
from glintbox.errors import BadInput
from glintbox.maps import entropy
from glintbox.records import Head, HeadStats, Labelled, sampled
from glintbox.store import Store


@dataclass(frozen=True, slots=True)
class Entropies:
    """Entropy (nats) of the maps of every sampled candidate whose coordinate tokens are known, case by case.

    iou: its best IoU with any true box. case: the number of the set it is of.
    """

    heads: tuple[Head, ...]
    values: Float[Tensor, "candidate coord=4 head"]
    iou: Float[Tensor, " candidate"]
    case: Int[Tensor, " candidate"]


def entropies(labelled: Iterable[Labelled]) -> Entropies:
    """What was read of each set, on its picture's own grid; 16 bytes per candidate and head are held.

    Raises:
        BadInput: no set, a set without statistics, sets in which other heads were read.
    """
    heads: tuple[Head, ...] | None = None
    values, iou, case = [], [], []
    for number, one in enumerate(labelled):
        stats = _stats(one)
        heads = heads or stats.heads
        if stats.heads != heads:
            raise BadInput(f"expected the same heads read in every set, got others in {one.found.id!r}")
        usable = [i for i in sampled(one.found) if one.found.candidates[i].tokens is not None]
        values.append(stats.entropy[usable])
        iou.append(one.iou[usable])
        case += [number] * len(usable)
    if heads is None:
        raise BadInput("expected at least one labelled set, got none")
    return Entropies(heads, torch.cat(values), torch.cat(iou), torch.tensor(case, dtype=torch.long))


def entropies_on(
    store: Store,
    grid: tuple[int, int],
    *,
    heads: Sequence[Head] | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> Entropies:
    """Computed from the maps that a store keeps, each resampled to `grid` (rows, cols): the paper's 24 x 24.

    heads: None = all whose maps are kept. tick: called with the number of candidates of each finished batch
    (docs/acs.md 16).

    Raises:
        BadInput: no candidate, or maps that were not kept.
    """
    wanted = tuple(heads if heads is not None else store.card.heads)
    rows = np.arange(len(store.rows.iou))
    maps, values = Maps(store, wanted, grid=grid, rows=rows, memory=0), []
    for batch in maps.batches(parts(rows, maps.step)):
        values.append(entropy(batch))
        tick(len(batch))
    return Entropies(wanted, torch.cat(values), torch.from_numpy(store.rows.iou), torch.from_numpy(store.rows.case))


def normalised(found: Entropies, cells: Sequence[int]) -> Entropies:
    """H / log N in [0, 1], so that pictures of different grids can be compared; cells: N of each case (docs/acs.md 16).

    Raises:
        BadInput: a case without a number of cells, or of a grid of one cell, whose entropy is always 0.
    """
    if len(cells) <= int(found.case.max() if len(found.case) else -1) or min(cells, default=2) < 2:
        raise BadInput(
            f"expected at least 2 cells for each case, got {len(cells)} cases, least {min(cells, default=0)}"
        )
    most = torch.tensor(cells, dtype=found.values.dtype).log()[found.case]
    return replace(found, values=found.values / most[:, None, None])


def native_cells(store: Store) -> tuple[int, ...]:
    """N of each case of a store: how many image tokens its maps cover. A case without a box counts as a grid of two.

    Raises:
        BadInput: the store kept no maps, or resampled them, and with them what their own grid was.
    """
    if not store.card.heads or store.card.rows is not None:
        raise BadInput(
            f"expected maps on their own grids in {store.folder}, got "
            f"{'resampled ones' if store.card.heads else 'none'}; collect with --grid native"
        )
    maps = [store.with_maps(case, heads=store.card.heads[:1]).maps for case in range(len(store))]
    return tuple(one.grid.cells if one else 2 for one in maps)


def _stats(case: Labelled) -> HeadStats:
    if len(case.iou) != len(case.found.candidates):
        raise BadInput(
            f"expected one label per candidate of {case.found.id!r}, "
            f"got {len(case.iou)} for {len(case.found.candidates)} candidates"
        )
    if case.found.stats is None:
        raise BadInput(f"expected attention statistics in {case.found.id!r}, got none; collect it with attention read")
    return case.found.stats
