"""Several prompts at a time: prefilled one after the other, laid side by side in one cache, decoded together.

A decoding step reads every weight once, whatever it decodes; on a large GPU the answers to one prompt leave most of it
idle.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch

from glintbox.errors import OutOfMemory
from glintbox.lvlm import seams
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.decoder import Decoder, Prefills, layers_of, response_of
from glintbox.lvlm.packing import Draw, grow
from glintbox.lvlm.prefill import Prefilled, side_by_side
from glintbox.lvlm.reading import Branches, PackedAnswered
from glintbox.lvlm.tap import Tap, tapped
from glintbox.records import Watch

logger = logging.getLogger(__name__)

T = TypeVar("T")


def batched(
    decoder: Decoder,
    prompts: Iterable[Prompt],
    drawn: Sequence[Draw],
    watch: Watch | None,
    alone: Callable[[Iterable[Prompt]], Iterator[PackedAnswered]],
) -> Iterator[PackedAnswered]:
    """As `decode.answer`, `decoder.batch` prompts at a time.

    Where memory runs out it goes on with half as many, at last with one, which `alone` answers.
    """
    seams.check_packable(decoder.model)
    prefills = Prefills(decoder, layers_of(decoder.card, watch))
    together = Together(decoder, prefills, drawn, watch)
    size = decoder.batch
    for waiting in read_ahead(prompts, size):
        while waiting:
            some = waiting[:size]
            if len(some) == 1:
                prefills.forget()  # or a cache that `alone` cannot use would lie beside its own
            try:
                found = iter(together(some)) if len(some) > 1 else alone(some)
            except OutOfMemory:
                size = (len(some) + 1) // 2
                logger.warning("memory ran out at prompt %s; answering %d prompts at a time", some[0].id, size)
                continue
            for answered in found:
                try:
                    yield answered
                finally:
                    answered.close()
            del waiting[: len(some)]


class Together:
    """Answers some prompts in one decoding."""

    def __init__(self, decoder: Decoder, prefills: Prefills, drawn: Sequence[Draw], watch: Watch | None) -> None:
        self._decoder, self._drawn = decoder, dict(enumerate(drawn))
        self._layers = layers_of(decoder.card, watch)
        self._last_too = watch is not None and watch.moment == "predicted"
        self._prefills = prefills

    def __call__(self, prompts: Sequence[Prompt]) -> list[PackedAnswered]:
        """The answers to each prompt, open; of the seconds of decoding each is told an equal part.

        Raises:
            OutOfMemory: they do not fit together.
        """
        decoder, seconds = self._decoder, list[float]()
        tap = Tap(self._layers) if self._layers else None
        branches = [Branches(tap) for _ in prompts]
        told = f"{decoder.model.device} does not hold {len(self._drawn)} answers to {len(prompts)} prompts at a time"
        with tapped(decoder.model), torch.no_grad(), seams.within_memory(lambda: told):
            starts = side_by_side(self._starts(prompts, seconds), len(prompts), max(len(p.ids) for p in prompts))
            limit, began = self._drawn[0].sampling.max_new_tokens, time.perf_counter()
            rows = grow(
                decoder.model, starts, branches, self._drawn, limit=limit, eos=decoder.eos, last_too=self._last_too
            )
            seams.finish(decoder.model.device)
        each = (time.perf_counter() - began) / len(prompts)
        return [
            PackedAnswered(
                decoder.card, start, (own,), tuple(response_of(decoder, row) for row in writing.values()),
                timing={"prefill": prefilled, "decode": each},
            )
            for start, own, writing, prefilled in zip(starts, branches, rows, seconds, strict=True)
        ]  # fmt: skip

    def _starts(self, prompts: Sequence[Prompt], seconds: list[float]) -> Iterator[Prefilled]:
        for prompt in prompts:
            start, took = self._prefills(prompt, answers=len(self._drawn))
            seconds.append(took)
            yield start


def read_ahead(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """Lists of `count` items, the last one maybe shorter; what comes before an item that fails is given out first."""
    source = iter(items)
    failed: Exception | None = None
    while failed is None:
        group: list[T] = []
        try:
            for item in islice(source, count):
                group.append(item)
        except Exception as error:
            failed = error
        if group:
            yield group
        elif failed is None:
            return
    raise failed
