"""Answering and replaying: prefill once, then greedy and N samples packed in one cache sequence.

Every iterator here owns the cache and the kept queries; what it yields is closed when it moves on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch

from glintbox.errors import BadInput, OutOfMemory
from glintbox.lvlm import seams
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.batching import batched
from glintbox.lvlm.decoder import Decoder, Prefills, layers_of, response_of, too_much
from glintbox.lvlm.packing import Draw, Writing, force, grow
from glintbox.lvlm.prefill import Prefilled
from glintbox.lvlm.reading import Branches, PackedAnswered, PartAnswered
from glintbox.lvlm.tap import Tap, tapped
from glintbox.records import Response, Sampling, Watch

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """The answers to one prompt and what is kept of them."""

    responses: tuple[Response, ...]
    branches: tuple[Branches, ...]
    notes: tuple[str, ...] = ()


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
    last_too = watch is not None and watch.moment == "predicted"

    def write(start: Prefilled, layers: tuple[int, ...]) -> Told:
        return _write(decoder, start, drawn, layers, last_too=last_too)

    def alone(prompts: Iterable[Prompt]) -> Iterator[PackedAnswered]:
        return _each(decoder, ((prompt, write) for prompt in prompts), watch, answers=len(drawn))

    return alone(prompts) if decoder.batch == 1 else batched(decoder, prompts, drawn, watch, alone)


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
            with seams.within_memory(partial(too_much, decoder, start.prompt, len(responses))):
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
    layers = layers_of(decoder.card, watch)
    prefills = Prefills(decoder, layers)
    for prompt, tell in work:
        with tapped(decoder.model), torch.no_grad():
            start, seconds = prefills(prompt, answers=answers, only_read=tell is None)
            began = time.perf_counter()
            told = tell(start, layers) if tell else Told((), ())
        timing = {"prefill": seconds, "decode": time.perf_counter() - began}
        answered = PackedAnswered(decoder.card, start, told.branches, told.responses, timing=timing, notes=told.notes)
        del start, told  # or the queries of this prompt would lie beside the next one in memory
        try:
            yield answered
        finally:
            answered.close()


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
            rows |= grow(decoder.model, [start], [branches], some, limit=limit, eos=decoder.eos, last_too=last_too)[0]
        except RuntimeError as error:
            if not seams.ran_out(error):
                raise
            if together == 1:
                raise OutOfMemory(too_much(decoder, start.prompt, len(drawn), start.cache, limit)) from error
            together = (together + 1) // 2
            logger.warning("memory ran out at prompt %s; drawing %d answers at a time", start.prompt.id, together)
            seams.cut(start.cache, start.length)
            continue
        grown.append(branches)
        if together < len(drawn):
            branches.park(start)
            seams.cut(start.cache, start.length)
    notes = (f"memory ran out: answers were drawn {together} at a time, not {len(drawn)}",)
    responses = tuple(response_of(decoder, row) for row in rows.values())
    return Told(responses, tuple(grown), notes if together < len(drawn) else ())
