"""Answers and their attention → CandidateSet: the record at which the system is cut. Needs an open `Answered`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.errors import UnknownName
from glintbox.geometry import TokenGrid
from glintbox.lvlm.api import Answered, ModelCard
from glintbox.maps import entropy, image_share
from glintbox.parsing import read_response
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Reading,
    Sampling,
    Setting,
    Site,
    Watch,
)

CHUNK_BYTES = 256 * 2**20
"""Most float32 attention that is held at once while entropies are computed."""

Keep = Callable[[HeadStats], Sequence[Head]]
"""Which heads' maps to keep, decided once the entropies of all are known."""


def candidate_set(
    answered: Answered, card: ModelCard, *, sampling: Sampling, setting: Setting, watch: Watch, keep: Keep | None = None
) -> CandidateSet:
    """Parse the answers and read the attention of every box while `answered` is open.

    `keep` chooses the heads whose maps stay in the record; None keeps the watched ones if `watch.maps`, else none.

    Raises:
        Closed: the iterator that gave `answered` has advanced.
        UnknownName: the prompt has no view of the watched name.
    """
    prompt = answered.prompt
    readings, candidates = _candidates(answered)
    if watch.view not in prompt.views:
        raise UnknownName("view", watch.view, prompt.views)
    heads = watch.heads if watch.heads is not None else card.all_heads()
    began = perf_counter()
    stats = _stats(answered, candidates, heads, watch)
    kept = tuple(keep(stats)) if keep and candidates else heads if watch.maps else ()
    maps = _maps(answered, candidates, kept, watch) if kept and candidates else None
    timing = {**answered.timing, "read": perf_counter() - began}
    return CandidateSet(
        id=prompt.id,
        image=prompt.image,
        query=prompt.query,
        setting=setting,
        sampling=sampling,
        frame=prompt.frame,
        responses=answered.responses,
        readings=readings,
        candidates=candidates,
        stats=stats,
        maps=maps,
        timing=timing,
        notes=answered.notes,
    )


def _candidates(answered: Answered) -> tuple[tuple[Reading, ...], tuple[Candidate, ...]]:
    readings: list[Reading] = []
    candidates: list[Candidate] = []
    prompt = answered.prompt
    for index, response in enumerate(answered.responses):
        reading, boxes = read_response(
            response,
            index,
            frame=prompt.frame,
            image=prompt.image,
            thinking=prompt.thinking,
            policy=prompt.coordinate_token,
        )
        readings.append(reading)
        candidates.extend(boxes)
    return tuple(readings), tuple(candidates)


def _rows(
    answered: Answered, candidates: Sequence[Candidate], heads: tuple[Head, ...], watch: Watch
) -> Iterator[tuple[list[int], Float[Tensor, "candidate coord=4 head row col"]]]:
    """Candidates with known tokens, in chunks of bounded memory: their indices and their maps."""
    grid = answered.prompt.views[watch.view].grid
    located = [i for i, c in enumerate(candidates) if c.tokens is not None]
    step = max(1, CHUNK_BYTES // (16 * len(heads) * grid.cells))
    narrowed = Watch(heads=heads, view=watch.view, moment=watch.moment)
    for start in range(0, len(located), step):
        chunk = located[start : start + step]
        sites = [Site(candidates[i].response, token) for i in chunk for token in candidates[i].tokens or ()]
        rows = answered.read(sites, narrowed)
        yield chunk, rows.reshape(len(chunk), 4, len(heads), grid.rows, grid.cols)


def _stats(answered: Answered, candidates: Sequence[Candidate], heads: tuple[Head, ...], watch: Watch) -> HeadStats:
    """Entropy and share of every head; NaN for a candidate whose tokens are unknown."""
    entropies = torch.full((len(candidates), 4, len(heads)), torch.nan)
    shares = torch.full((len(candidates), 4, len(heads)), torch.nan)
    for chunk, rows in _rows(answered, candidates, heads, watch):
        entropies[chunk] = entropy(rows).cpu()
        shares[chunk] = image_share(rows).cpu()
    return HeadStats(heads, entropies, shares)


def _maps(answered: Answered, candidates: Sequence[Candidate], heads: tuple[Head, ...], watch: Watch) -> AttentionMaps:
    grid: TokenGrid = answered.prompt.views[watch.view].grid
    values = torch.full((len(candidates), 4, len(heads), grid.rows, grid.cols), torch.nan)
    for chunk, rows in _rows(answered, candidates, heads, watch):
        values[chunk] = rows.cpu()
    return AttentionMaps(heads, grid, values)


def sharpest(stats: HeadStats, *, count: int = 12, least_share: float = 0.05) -> tuple[Head, ...]:
    """The heads whose attention on the image is most concentrated, for pictures where no HeadMap says which to show.

    Heads that give the image less than `least_share` of their attention on average come last.
    """
    spread = stats.entropy.nanmean(dim=(0, 1))
    share = stats.share.nanmean(dim=(0, 1))
    order = torch.argsort(torch.where(share < least_share, spread + 1e3, spread))
    return tuple(stats.heads[i] for i in order[:count].tolist())
