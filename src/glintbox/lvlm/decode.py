"""Answering and replaying: prefill once, then greedy and N samples packed in one cache sequence.

Every iterator here owns the cache and the kept queries; what it yields is closed when it moves on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from glintbox.errors import BadInput, OutOfMemory
from glintbox.lvlm import seams
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.packing import Draw, Writing, force, grow
from glintbox.lvlm.prefill import Prefilled, prefill, shares
from glintbox.lvlm.reading import Branches, PackedAnswered, PartAnswered
from glintbox.lvlm.tap import Tap, tapped
from glintbox.records import Response, Sampling, Watch

logger = logging.getLogger(__name__)


class Decoder(NamedTuple):
    """What decoding needs of a loaded model: eos = every id that ends an answer; spans = text and spans of ids."""

    model: PreTrainedModel
    card: ModelCard
    eos: Collection[int]
    spans: Callable[[Sequence[int]], tuple[str, tuple[tuple[int, int], ...]]]


class Told(NamedTuple):
    """The answers to one prompt and what is kept of them."""

    responses: tuple[Response, ...]
    branches: tuple[Branches, ...]
    notes: tuple[str, ...] = ()


class Held(NamedTuple):
    """The cache of the prompt before, which the next one on its picture shares; reach: how many layers it fills."""

    prompt: Prompt
    cache: Cache
    reach: int


Tell = Callable[[Prefilled, tuple[int, ...]], Told]
"""Makes the answers to a prompt in the cache, keeping the queries of some layers."""


def answer(
    decoder: Decoder, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None
) -> Iterator[PackedAnswered]:
    """Greedy (first, if asked for) and N sampled answers per prompt, in the prompts' order.

    Consecutive prompts on the same image prefill it once.

    Raises:
        BadInput: a watched head that the model does not have or that has no global softmax map.
        BadContract: a model that cannot decode packed, or whose logits are not finite.
        OutOfMemory: a prompt does not fit, or not even one answer to it.
    """

    return _answer(decoder, prompts, _draws((sampling,)), watch)


def answer_together(
    decoder: Decoder, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
) -> Iterator[tuple[PartAnswered, ...]]:
    """As `answer` for several samplings at once: what each would have drawn alone, up to rounding, in one decoding.

    One greedy answer serves all that ask for it.

    Raises:
        BadInput: no samplings, or some that differ in how long an answer may be; or as `answer`.
        BadContract, OutOfMemory: as `answer`.
    """
    if len({sampling.max_new_tokens for sampling in samplings}) != 1:
        longest = [sampling.max_new_tokens for sampling in samplings]
        raise BadInput(f"expected samplings of one max_new_tokens to draw together, got {longest}; draw them apart")
    drawn = _draws(samplings)
    parts = [
        [k for k, draw in enumerate(drawn) if (one.greedy_too if draw.number is None else draw.sampling == one)]
        for one in samplings
    ]
    for whole in _answer(decoder, prompts, drawn, watch):
        yield tuple(PartAnswered(whole, numbers) for numbers in parts)


def _draws(samplings: Sequence[Sampling]) -> list[Draw]:
    """Greedy first, if any asks for it; then the samples of each."""
    greedy = [Draw(one, None) for one in samplings if one.greedy_too]
    return greedy[:1] + [Draw(one, number) for one in samplings for number in range(one.n)]


def _answer(
    decoder: Decoder, prompts: Iterable[Prompt], drawn: Sequence[Draw], watch: Watch | None
) -> Iterator[PackedAnswered]:
    def write(start: Prefilled, layers: tuple[int, ...]) -> Told:
        last_too = watch is not None and watch.moment == "predicted"
        return _write(decoder, start, drawn, layers, last_too=last_too)

    return _each(decoder, ((prompt, write) for prompt in prompts), watch, answers=len(drawn))


def replay(
    decoder: Decoder, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None
) -> Iterator[PackedAnswered]:
    """As `answer`, for answers that exist already: their tokens are forced, their entropy is filled in.

    A prompt without answers is only read: its prefill ends at the last watched layer.

    Raises:
        BadInput, BadContract, OutOfMemory: as `answer`.
    """

    def retell(responses: tuple[Response, ...]) -> Tell:
        def force_them(start: Prefilled, layers: tuple[int, ...]) -> Told:
            branches = Branches(Tap(layers) if layers else None)
            with seams.within_memory(partial(_too_much, decoder, start.prompt, len(responses))):
                entropies = force(decoder.model, start, branches, responses)
            filled = zip(responses, entropies, strict=True)
            return Told(tuple(replace(r, entropy=tuple(nats)) for r, nats in filled), (branches,))

        return force_them

    work = ((prompt, retell(responses) if responses else None) for prompt, responses in told)
    return _each(decoder, work, watch, answers=1)


def _each(
    decoder: Decoder, work: Iterable[tuple[Prompt, Tell | None]], watch: Watch | None, *, answers: int
) -> Iterator[PackedAnswered]:
    seams.check_packable(decoder.model)
    layers = _layers(decoder.card, watch)
    held: Held | None = None
    for prompt, tell in work:
        reach = decoder.card.layers if tell or not layers else layers[-1] + 1
        if held and not (shares(held.prompt, prompt) and reach <= held.reach):
            held = None  # let go of it first, or two images would lie side by side in memory
        began = time.perf_counter()
        with tapped(decoder.model), torch.no_grad():
            with seams.within_memory(partial(_too_much, decoder, prompt, answers)):
                cache = held.cache if held else None
                start = prefill(decoder.model, prompt, layers, shared=cache, only_read=tell is None)
            seams.finish(decoder.model.device)
            filled = time.perf_counter()
            told = tell(start, layers) if tell else Told((), ())
        timing = {"prefill": filled - began, "decode": time.perf_counter() - filled}
        held = Held(prompt, start.cache, held.reach if held else reach)
        del cache
        answered = PackedAnswered(decoder.card, start, told.branches, told.responses, timing=timing, notes=told.notes)
        del start, told  # or the queries of this prompt would lie beside the next one in memory
        try:
            yield answered
        finally:
            answered.close()


def _layers(card: ModelCard, watch: Watch | None) -> tuple[int, ...]:
    if watch is None:
        return ()
    heads = card.all_heads() if watch.heads is None else watch.heads
    for head in heads:
        if head.layer not in card.usable or not 0 <= head.index < card.heads:
            why = card.excluded.get(head.layer, f"the model has {card.layers} layers of {card.heads} heads")
            raise BadInput(f"head {head} cannot be watched: {why}; choose heads of layers {list(card.usable)}")
    return tuple(sorted({head.layer for head in heads}))


def _write(
    decoder: Decoder, start: Prefilled, drawn: Sequence[Draw], layers: tuple[int, ...], *, last_too: bool
) -> Told:
    """All answers, together if memory allows, else in halves, quarters, … or one by one."""
    together, limit = len(drawn), drawn[0].sampling.max_new_tokens
    rows: dict[int, Writing] = {}
    grown: list[Branches] = []
    while len(rows) < len(drawn):
        some = dict(list(enumerate(drawn))[len(rows) : len(rows) + together])
        branches = Branches(Tap(layers) if layers else None)
        try:
            rows |= grow(decoder.model, start, branches, some, limit=limit, eos=decoder.eos, last_too=last_too)
        except RuntimeError as error:
            if not seams.ran_out(error):
                raise
            if together == 1:
                raise OutOfMemory(_too_much(decoder, start.prompt, len(drawn), start.cache, limit)) from error
            together = (together + 1) // 2
            logger.warning("memory ran out at prompt %s; drawing %d answers at a time", start.prompt.id, together)
            seams.cut(start.cache, start.length)
            continue
        grown.append(branches)
        if together < len(drawn):
            branches.park(start)
            seams.cut(start.cache, start.length)
    notes = (f"memory ran out: answers were drawn {together} at a time, not {len(drawn)}",)
    responses = tuple(_response(decoder, row) for row in rows.values())
    return Told(responses, tuple(grown), notes if together < len(drawn) else ())


def _response(decoder: Decoder, row: Writing) -> Response:
    text, spans = decoder.spans(row.ids)
    source: Literal["greedy", "sampled"] = "greedy" if row.drawn.number is None else "sampled"
    ended: Literal["stop", "length"] = "stop" if row.stopped else "length"
    return Response(text, source, ended, tuple(row.ids), spans, tuple(row.entropy))


def _too_much(decoder: Decoder, prompt: Prompt, answers: int, cache: Cache | None = None, limit: int = 0) -> str:
    """What did not fit, and what would: an estimate from the memory that is free and what an answer's tokens take."""
    tokens = max((view.grid.cells for view in prompt.views.values()), default=0)
    size, device = prompt.image, decoder.model.device
    fits = 0
    if cache is not None:
        free, each = seams.free_bytes(device), seams.bytes_per_token(cache) * limit
        fits = min(answers - 1, (free or 0) // (2 * max(1, each)))
    advice = (
        f"about n={fits} would fit"
        if fits
        else f"no n fits: lower the pixel budget so that the picture takes about {tokens // 2} image tokens"
    )
    return (
        f"{device} does not hold {answers} answers to a picture of {size.width}x{size.height} px in {tokens} image "
        f"tokens (pixel budget: {decoder.card.pixels}); {advice}"
    )
