"""What answering one prompt or several at a time have in common: the decoder, its prefills, how an answer is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Literal, NamedTuple

from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from glintbox.errors import BadInput
from glintbox.lvlm import seams
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.packing import Writing
from glintbox.lvlm.prefill import Prefilled, prefill, shares
from glintbox.records import Response, Watch


class Decoder(NamedTuple):
    """What decoding needs of a loaded model: eos = every id that ends an answer; spans = text and spans of ids.

    batch: how many prompts are answered at a time; the answers are the same, up to rounding, whatever it is.
    """

    model: PreTrainedModel
    card: ModelCard
    eos: Collection[int]
    spans: Callable[[Sequence[int]], tuple[str, tuple[tuple[int, int], ...]]]
    batch: int = 1


class Held(NamedTuple):
    """The cache of the prompt before, which the next one on its picture shares; reach: how many layers it fills."""

    prompt: Prompt
    cache: Cache
    reach: int


class Prefills:
    """Prefills one prompt after the other; each may take over the cache of the one before."""

    def __init__(self, decoder: Decoder, layers: tuple[int, ...]) -> None:
        self._decoder, self._layers = decoder, layers
        self._held: Held | None = None

    def forget(self) -> None:
        """Let go of the prompt before."""
        self._held = None

    def __call__(self, prompt: Prompt, *, answers: int, only_read: bool = False) -> tuple[Prefilled, float]:
        """A prompt in the cache, and the seconds that it took; answers: how many are to come, if it is not only read.

        Raises:
            OutOfMemory: it does not fit.
        """
        decoder, began = self._decoder, time.perf_counter()
        reach = self._layers[-1] + 1 if only_read and self._layers else decoder.card.layers
        held, self._held = self._held, None
        if held and not (shares(held.prompt, prompt) and reach <= held.reach):
            held = None  # let go of it first, or two images would lie side by side in memory
        with seams.within_memory(partial(too_much, decoder, prompt, answers)):
            cache = held.cache if held else None
            start = prefill(decoder.model, prompt, self._layers, shared=cache, only_read=only_read)
        seams.finish(decoder.model.device)
        self._held = Held(prompt, start.cache, held.reach if held else reach)
        return start, time.perf_counter() - began


def layers_of(card: ModelCard, watch: Watch | None) -> tuple[int, ...]:
    """The layers that are watched, in order.

    Raises:
        BadInput: a head that the model does not have or that has no global softmax map.
    """
    if watch is None:
        return ()
    heads = card.all_heads() if watch.heads is None else watch.heads
    for head in heads:
        if head.layer not in card.usable or not 0 <= head.index < card.heads:
            why = card.excluded.get(head.layer, f"the model has {card.layers} layers of {card.heads} heads")
            raise BadInput(f"head {head} cannot be watched: {why}; choose heads of layers {list(card.usable)}")
    return tuple(sorted({head.layer for head in heads}))


def response_of(decoder: Decoder, row: Writing) -> Response:
    """An answer that has ended, as it is told."""
    text, spans = decoder.spans(row.ids)
    source: Literal["greedy", "sampled"] = "greedy" if row.drawn.number is None else "sampled"
    ended: Literal["stop", "length"] = "stop" if row.stopped else "length"
    return Response(text, source, ended, tuple(row.ids), spans, tuple(row.entropy))


def too_much(decoder: Decoder, prompt: Prompt, answers: int, cache: Cache | None = None, limit: int = 0) -> str:
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
