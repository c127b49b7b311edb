"""A case as bytes and back: compressed JSON, statistics as float32, pieces of maps (docs/store.md)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped

from glintbox.coding import encode
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.maps import resample
from glintbox.metrics import best_iou
from glintbox.records import AttentionMaps, CandidateSet, Head, HeadStats, Sample, from_json, sampled, to_json
from glintbox.shards import Line, Place, StoreCard


@dataclass(frozen=True, slots=True)
class Text:
    """The JSON of a case: the set without its numbers, the heads of its statistics, the grid of its maps."""

    sample: Sample
    found: CandidateSet
    heads: tuple[Head, ...] | None
    grid: TokenGrid | None


def pack(card: StoreCard, sample: Sample, found: CandidateSet) -> tuple[Line, list[bytes | memoryview]]:
    """A case as bytes, and its line but for where they will lie."""
    located = [i for i, candidate in enumerate(found.candidates) if candidate.tokens is not None]
    maps = _kept_maps(card, found) if card.heads and located else None
    stats, grid = found.stats, maps.grid if maps else None
    bare = replace(found, stats=None, maps=None)
    text = zlib.compress(to_json(Text(sample, bare, stats.heads if stats else None, grid)).encode(), 6)
    numbers = [(value.cpu().numpy().astype("<f4")).tobytes() for value in (stats.entropy, stats.share)] if stats else []
    pieces = [encode(maps.values[located]).view(np.uint8).reshape(-1).data] if maps else []
    drawn = set(sampled(found))
    line = Line(
        id=found.id,
        image=str(sample.image),
        at=0,
        text=len(text),
        candidates=len(found.candidates),
        heads=len(stats.heads) if stats else 0,
        crc=zlib.crc32(b"".join([text, *numbers])),
        rows=grid.rows if grid else 0,
        cols=grid.cols if grid else 0,
        boxes=tuple((i, i in drawn, best_iou([found.candidates[i].box], sample.truth)) for i in located),
    )
    return line, [text, *numbers, *pieces]


def _kept_maps(card: StoreCard, found: CandidateSet) -> AttentionMaps:
    """The maps of the card's heads on the card's grid."""
    there = found.maps.heads if found.maps else ()
    place = {head: k for k, head in enumerate(there)}
    missing = [head for head in card.heads if head not in place]
    if found.maps is None or missing:
        raise BadInput(f"expected maps of {len(card.heads)} heads with case {found.id}, got none of {missing[0]}")
    values, grid = found.maps.values, found.maps.grid
    if there != card.heads:
        values = values[:, :, [place[head] for head in card.heads]]
    if card.rows is not None and card.cols is not None:
        values, grid = resample(values, card.rows, card.cols), TokenGrid(card.rows, card.cols, grid.region)
    return AttentionMaps(card.heads, grid, values)


def unpack(place: Place) -> tuple[Text, HeadStats | None]:
    """The JSON and the statistics of a case."""
    line = place.line
    raw = read(place, line.at, line.maps - line.at, np.dtype(np.uint8)).tobytes()
    if zlib.crc32(raw) != line.crc:
        raise place.damaged("bytes whose checksum does not fit")
    text = from_json(Text, zlib.decompress(raw[: line.text]))
    if text.heads is None:
        return text, None
    numbers = np.frombuffer(raw, "<f4", offset=line.text).reshape(2, line.candidates, 4, line.heads)
    entropy, share = torch.from_numpy(numbers.astype(np.float32))
    return text, HeadStats(text.heads, entropy, share)


def read(place: Place, at: int, count: int, kind: np.dtype[Any]) -> Shaped[np.ndarray, " item"]:
    """So many items from a byte of the shard on; nothing else of it is held or mapped."""
    try:
        found = np.fromfile(place.shard, kind, count, offset=at)
    except OSError as error:
        raise place.damaged(str(error)) from error
    if len(found) < count:
        raise place.damaged(f"{len(found)} of {count} pieces at byte {at}")
    return found
