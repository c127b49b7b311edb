"""Candidate sets and their attention maps in a folder: append-only, checksummed, written by several processes at once.

Whatever stops a writer, at any byte, costs the case in flight (docs/store.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from glintbox.boxes import Box
from glintbox.coding import decode, intact, piece
from glintbox.errors import BadInput
from glintbox.maps import resample
from glintbox.metrics import best_iou
from glintbox.packed import pack, read, unpack
from glintbox.records import AttentionMaps, CandidateSet, Head, Labelled, Sample
from glintbox.shards import Place, Writer, places, read_card
from glintbox.shards import StoreCard as StoreCard


def label(found: CandidateSet, truth: Sequence[Box]) -> Labelled:
    """The set with each candidate's best IoU with any true box (docs/acs.md 29); 0 where nothing is true.

    Greedy's candidates are labelled too, so that labels and candidates have the same indices; what learns from labels
    leaves them out.
    """
    ious = [best_iou([candidate.box], truth) for candidate in found.candidates]
    return Labelled(found, torch.tensor(ious, dtype=torch.float32))


class Stored(NamedTuple):
    """A case as it was asked, and what was written; `found.maps` is None, the statistics of all heads are there."""

    sample: Sample
    found: CandidateSet


class CandidateRows(NamedTuple):
    """All sampled candidates whose coordinate tokens are known, case by case.

    case, candidate: indices into the store and into `found.candidates`. image: number of the picture, to split by.
    iou: best IoU with any true box of the sample that was kept.
    """

    case: Int[np.ndarray, " row"]
    candidate: Int[np.ndarray, " row"]
    image: Int[np.ndarray, " row"]
    iou: Float32[np.ndarray, " row"]


class StoreWriter(Writer[StoreCard]):
    """Appends cases to a store; several processes may write into one folder, each into files of its own."""

    def add(self, sample: Sample, found: CandidateSet) -> None:
        """Keep a case; when this returns it is on the disk.

        Raises:
            BadInput: the set is of another case, setting or sampling, lacks maps of the card's heads, or was added
                before; or the disk is full, which costs this case alone.
        """
        self._check(sample, found)
        self._keep(*pack(self.card, sample, found))

    def _check(self, sample: Sample, found: CandidateSet) -> None:
        if found.id in self.done:
            raise BadInput(f"expected a case that {self.folder} does not hold yet, got {found.id} again")
        if (sample.id, sample.query, sample.size) != (found.id, found.query, found.image):
            raise BadInput(f"expected the set of case {sample.id}, got {found.id}, {found.query!r} in {found.image}")
        if (found.setting, found.sampling) != (self.card.setting, self.card.sampling):
            raise BadInput(f"expected case {found.id} under the setting and sampling of the card, got another")


class Store:
    """A store to read: its cases sorted by id, whatever order or process wrote them.

    cut: ids of cases whose bytes were cut off, by a disk or a copy that stopped; they are left out.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store; cases that are written later are not seen.

        Raises:
            NoArtifact: there is no store in the folder.
            BadInput: its card or index is damaged, or of another schema.
        """
        self.folder, self.card = folder, read_card(folder)
        found, self.cut = places(folder, self.card)
        self.ids = tuple(sorted(found))
        self._places = tuple(found[id] for id in self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, case: int) -> Stored:
        """A case without its maps.

        Raises:
            BadInput: its bytes are not those that were written.
        """
        text, stats = unpack(self._places[case])
        return Stored(text.sample, replace(text.found, stats=stats))

    def grid(self, case: int) -> tuple[int, int] | None:
        """Rows and columns of the maps that are kept of a case; None where there are none."""
        line = self._places[case].line
        return (line.rows, line.cols) if line.rows else None

    def labelled(self) -> Iterator[Labelled]:
        """Every set, without maps, with the best IoU of each candidate with any true box of the sample kept with it."""
        for case in range(len(self)):
            sample, found = self[case]
            yield label(found, sample.truth)

    def with_maps(self, case: int, heads: Sequence[Head] | None = None) -> CandidateSet:
        """A set with the maps of these heads, None = of all that are kept; NaN where coordinate tokens are unknown.

        Raises:
            BadInput: a head whose maps are not kept, or bytes that are not those that were written.
        """
        wanted, place = self._channels(heads), self._places[case]
        text, stats = unpack(place)
        maps = None
        if text.grid is not None:
            values = torch.full((place.line.candidates, 4, len(wanted), *text.grid[:2]), torch.nan)
            for slot, (candidate, _, _) in enumerate(place.line.boxes):
                values[candidate] = self._maps(place, slot, wanted)
            maps = AttentionMaps(tuple(self.card.heads[k] for k in wanted), text.grid, values)
        return replace(text.found, stats=stats, maps=maps)

    @property
    def rows(self) -> CandidateRows:
        """The flat table of candidates that there is something to learn from."""
        return self._table[0]

    @cached_property
    def _table(self) -> tuple[CandidateRows, Int[np.ndarray, " row"]]:
        """The rows, and how many candidates of the same case have their maps before each."""
        flat = [
            (case, candidate, iou, slot)
            for case, place in enumerate(self._places)
            for slot, (candidate, drawn, iou) in enumerate(place.line.boxes)
            if drawn
        ]
        case, candidate, iou, slot = (np.array([row[k] for row in flat]) for k in range(4))
        pictures = np.unique(np.array([place.line.image for place in self._places]), return_inverse=True)[1]
        number = case.astype(np.int64)
        rows = CandidateRows(number, candidate.astype(np.int64), pictures[number], iou.astype(np.float32))
        return rows, slot.astype(np.int64)

    def batch(
        self,
        rows: Int[np.ndarray, " candidate"],
        *,
        heads: Sequence[Head] | None = None,
        grid: tuple[int, int] | None = None,
    ) -> Float[Tensor, "candidate coord=4 head row col"]:
        """Maps of some rows of the table, by index: float32 attention shares, bit for bit those of `with_maps`.

        Only the bytes of these candidates and heads are read, and one candidate at a time is held beside the result.
        heads: None = all that are kept. grid: rows and columns to resample to; None where all are of one grid.

        Raises:
            BadInput: no rows, several grids and no `grid`, a head whose maps are not kept, or bytes that are not those
                that were written.
        """
        wanted = self._channels(heads)
        where = [(self._places[self.rows.case[row]], int(self._table[1][row])) for row in rows]
        grids = {(place.line.rows, place.line.cols) for place, _ in where}
        if grid is None and len(grids) != 1:
            several = ", ".join(f"{high} x {wide}" for high, wide in sorted(grids)) or "no rows"
            raise BadInput(f"expected rows whose maps are of one grid, got {several}; name a grid to resample to")
        shape = grid or grids.pop()
        maps = torch.empty(len(where), 4, len(wanted), *shape)
        for k, (place, slot) in enumerate(where):
            maps[k] = resample(self._maps(place, slot, wanted), *shape)
        return maps

    def _channels(self, heads: Sequence[Head] | None) -> list[int]:
        """Places of heads among those that are kept."""
        if not self.card.heads:
            raise BadInput(
                f"expected a store that keeps maps, got statistics only in {self.folder}; collect with --heads"
            )
        place = {head: k for k, head in enumerate(self.card.heads)}
        odd = [head for head in heads or () if head not in place]
        if odd:
            raise BadInput(
                f"expected heads whose maps {self.folder} keeps, got {', '.join(map(str, odd))}; "
                f"it keeps {len(place)}, {self.card.heads[0]} to {self.card.heads[-1]}"
            )
        return list(range(len(place))) if heads is None else [place[head] for head in heads]

    def _maps(self, place: Place, slot: int, wanted: Sequence[int]) -> Float[Tensor, "coord=4 head row col"]:
        """One candidate's maps: a read per run of neighbouring heads."""
        kind, line = piece(place.line.rows, place.line.cols), place.line
        first = line.maps + slot * len(self.card.heads) * kind.itemsize
        parts = [read(place, first + low * kind.itemsize, high - low, kind) for low, high in _runs(wanted)]
        pieces = np.concatenate(parts) if len(parts) > 1 else parts[0]
        if not intact(pieces):
            raise place.damaged("maps whose checksum does not fit")
        return decode(pieces)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of numbers that follow each other, in order, as [low, high)."""
    ends = [k for k in range(1, len(numbers)) if numbers[k] != numbers[k - 1] + 1]
    return [(numbers[a], numbers[b - 1] + 1) for a, b in zip([0, *ends], [*ends, len(numbers)], strict=True)]
