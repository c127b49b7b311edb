"""Answers and their attention → CandidateSet, the record at which the system is cut; cases of a dataset → a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from glintbox.boxes import Size
from glintbox.errors import BadInput, UnknownName
from glintbox.images import open_image
from glintbox.lvlm.api import LVLM, Answered, ModelCard, Prompt
from glintbox.maps import entropy, image_share
from glintbox.parsing import read_response
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Reading,
    Sample,
    Sampling,
    Setting,
    Site,
    Watch,
)
from glintbox.store import StoreWriter

CHUNK_BYTES = 256 * 2**20
"""Most float32 attention that is held at once while entropies are computed."""

Keep = Callable[[HeadStats], Sequence[Head]]
"""Which heads' maps to keep, decided once the entropies of all are known; that takes a second reading."""

Tick = Callable[[], None]
"""Called once per case."""


def fill(lvlm: LVLM, samples: Sequence[Sample], *writers: StoreWriter, tick: Tick) -> None:
    """Answer those of the cases that a store lacks, and keep each at once; another start does only the rest.

    Stores that differ in their sampling alone are filled together: the picture is read once, all answers to a case are
    drawn in one decoding, also those that some of the stores have already.

    What is missing is decided here: what another process adds to the store meanwhile may be drawn twice, and is the
    same. `tick` is called for each case that is there, and when one has been drawn.

    Raises:
        BadInput: stores of other settings or heads; a picture of another size than annotated, or a disk that is full.
        UnreadableImage, OutOfMemory: a picture cannot be opened or does not fit.
    """
    card = writers[0].card
    if any((other.card.setting, other.card.heads) != (card.setting, card.heads) for other in writers):
        raise BadInput("expected stores of one setting and the same heads to fill together; fill them apart")
    missing = [sample for sample in samples if any(sample.id not in writer.done for writer in writers)]
    for _ in range(len(samples) - len(missing)):
        tick()
    watch = Watch(view=card.setting.view, moment=card.setting.moment)
    prompts = (lvlm.prompt(opened(s), s.query, id=s.id, text=card.setting.prompt) for s in missing)
    samplings = [writer.card.sampling for writer in writers]
    for sample, together in zip(missing, _answers(lvlm, prompts, samplings, watch), strict=True):
        for writer, sampling, answered in zip(writers, samplings, together, strict=True):
            if sample.id not in writer.done:
                found = candidate_set(
                    answered, lvlm.card, sampling=sampling, setting=card.setting, watch=watch, keep=card.heads
                )
                writer.add(sample, found)
        tick()


def _answers(
    lvlm: LVLM, prompts: Iterator[Prompt], samplings: Sequence[Sampling], watch: Watch
) -> Iterator[tuple[Answered, ...]]:
    if len(samplings) > 1:
        return lvlm.answer_together(prompts, samplings, watch)
    return ((answered,) for answered in lvlm.answer(prompts, samplings[0], watch))


def opened(sample: Sample) -> Image:
    """The picture, upright; one of another size than annotated would make every label wrong."""
    image = open_image(sample.image)
    if Size(*image.size) != sample.size:
        raise BadInput(
            f"expected {sample.image} to be {sample.size.width}x{sample.size.height} as annotated, got "
            f"{image.width}x{image.height} upright; use the pictures that the boxes were drawn on"
        )
    return image


def candidate_set(
    answered: Answered,
    card: ModelCard,
    *,
    sampling: Sampling,
    setting: Setting,
    watch: Watch | None,
    keep: Keep | tuple[Head, ...] | None = None,
) -> CandidateSet:
    """Parse the answers and read the attention of every box while `answered` is open; none without a `watch`.

    keep: of the watched heads those whose maps stay in the record; None keeps all if `watch.maps`, else none.

    Raises:
        Closed: the iterator that gave `answered` has advanced.
        UnknownName: the prompt has no view of the watched name.
        BadInput: a head is to be kept that is not watched.
    """
    prompt = answered.prompt
    readings, candidates = _candidates(answered)
    if watch is not None and watch.view not in prompt.views:
        raise UnknownName("view", watch.view, prompt.views)
    began = perf_counter()
    stats, maps = _attention(answered, candidates, card, watch, keep) if watch is not None else (None, None)
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


def _attention(
    answered: Answered,
    candidates: Sequence[Candidate],
    card: ModelCard,
    watch: Watch,
    keep: Keep | tuple[Head, ...] | None,
) -> tuple[HeadStats, AttentionMaps | None]:
    heads = watch.heads if watch.heads is not None else card.all_heads()
    kept = keep if isinstance(keep, tuple) else heads if keep is None and watch.maps else ()
    stats, maps = _read(answered, candidates, heads, kept, watch)
    if callable(keep) and candidates:
        kept = tuple(keep(stats))
        maps = _read(answered, candidates, kept, kept, watch)[1]
    return stats, maps


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


def _read(
    answered: Answered,
    candidates: Sequence[Candidate],
    heads: tuple[Head, ...],
    kept: tuple[Head, ...],
    watch: Watch,
) -> tuple[HeadStats, AttentionMaps | None]:
    """Entropy and share of every head, and the maps of those to keep; NaN for a candidate whose tokens are unknown."""
    place = {head: k for k, head in enumerate(heads)}
    if odd := [head for head in kept if head not in place]:
        raise BadInput(f"expected heads that are watched, got {', '.join(map(str, odd))} to keep maps of")
    grid, channels = answered.prompt.views[watch.view].grid, [place[head] for head in kept]
    entropies = torch.full((len(candidates), 4, len(heads)), torch.nan)
    shares = torch.full((len(candidates), 4, len(heads)), torch.nan)
    values = torch.full((len(candidates), 4, len(kept), grid.rows, grid.cols), torch.nan)
    for chunk, rows in _rows(answered, candidates, heads, watch):
        entropies[chunk] = entropy(rows).cpu()
        shares[chunk] = image_share(rows).cpu()
        if kept:
            values[chunk] = (rows if kept == heads else rows[:, :, channels]).cpu()
    maps = AttentionMaps(kept, grid, values) if kept and candidates else None
    return HeadStats(heads, entropies, shares), maps


def sharpest(stats: HeadStats, *, count: int = 12, least_share: float = 0.05) -> tuple[Head, ...]:
    """The heads whose attention on the image is most concentrated, for pictures where no HeadMap says which to show.

    Heads that give the image less than `least_share` of their attention on average come last.
    """
    spread = stats.entropy.nanmean(dim=(0, 1))
    share = stats.share.nanmean(dim=(0, 1))
    order = torch.argsort(torch.where(share < least_share, spread + 1e3, spread))
    return tuple(stats.heads[i] for i in order[:count].tolist())
