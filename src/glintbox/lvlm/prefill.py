"""A prompt in the cache, once: prompts on the same image share the part up to the image's end."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from glintbox.errors import BadContract
from glintbox.lvlm import seams
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.tap import Tap


@dataclass(slots=True)
class Prefilled:
    """A prompt's keys and values, the logits after it, and the queries of its last tokens.

    logits: empty where the prompt was only read, up to the last watched layer; then no answer can follow.
    next_position: rotary position of the first token of every answer, the same on each of `axes` axes.
    tap: queries of the prompt tokens from `first` on, or None where nothing is watched.
    row, end: which row of the cache is this prompt's, and where answers begin in it: after the longest prompt there.
    """

    prompt: Prompt
    cache: Cache
    logits: Float[Tensor, " vocab"]
    next_position: int
    axes: int
    tap: Tap | None
    first: int
    row: int = 0
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.end = self.length

    @property
    def length(self) -> int:
        """Number of prompt tokens."""
        return self.prompt.ids.shape[0]

    def keys(self, layer: int) -> Float[Tensor, "pair token dim"]:
        """Keys of the prompt."""
        return self.cache.layers[layer].keys[self.row, :, : self.length]

    def later_keys(self, layer: int, count: int) -> Float[Tensor, "pair token dim"]:
        """Keys of the first `count` tokens after it."""
        return self.cache.layers[layer].keys[self.row, :, self.end : self.end + count]


def prefill(
    model: PreTrainedModel,
    prompt: Prompt,
    layers: Collection[int],
    *,
    shared: Cache | None = None,
    only_read: bool = False,
) -> Prefilled:
    """Run a prompt, or only what follows its image where `shared` holds the rest already (see `shares`).

    layers: whose queries to keep, from the first of the query's own words to the prompt's end. only_read: stop at the
    last of them, before it attends: what follows changes no row.

    Raises:
        BadContract: a layer whose attention cannot be tapped, or inputs that its family promises are missing.
    """
    length = prompt.ids.shape[0]
    first = prompt.said.start if len(prompt.said) else length - 1
    tap = Tap(layers, last=length - first, ends=only_read) if layers else None
    positions = seams.prompt_positions(model, prompt)
    known = 0 if shared is None else prompt.shared
    if shared is not None:
        seams.cut(shared, known)
    cache = seams.new_cache() if shared is None else shared
    logits = seams.forward(
        model,
        prompt.ids[None, known:],
        positions[..., known:],
        cache,
        tensors=None if known else seams.prompt_tensors(prompt),
        tap=tap,
        last_only=True,
    )
    if tap is not None and tap.silent():
        raise BadContract(
            f"layers {tap.silent()} of {type(model).__name__} do not hand their queries to transformers' attention "
            "interface; leave them out of the usable layers of its card"
        )
    after = logits[0, -1:].float().flatten()  # of the last token, or nothing
    return Prefilled(prompt, cache, after, int(positions.max()) + 1, positions.shape[0], tap, first)


def shares(before: Prompt, prompt: Prompt) -> bool:
    """Whether the cache of `before` serves as the beginning of `prompt`: same pixels, same tokens up to their end.

    The words of the query must come after that end, or their queries would be missing.
    """
    end = prompt.shared
    return (
        0 < end == before.shared
        and before.fingerprint == prompt.fingerprint
        and torch.equal(before.ids[:end], prompt.ids[:end])
        and (len(prompt.said) == 0 or prompt.said.start >= end)
    )


def side_by_side(starts: Iterator[Prefilled], rows: int, end: int) -> list[Prefilled]:
    """The same prompts in one cache of `rows` rows, answers beginning after `end` tokens; each is taken when copied.

    So the caches that they came in may be cut and used again in between.
    """
    cache, laid = seams.new_cache(), []
    for row, start in enumerate(starts):
        seams.lay(cache, start.cache, row, rows=rows, length=start.length, end=end)
        start.cache, start.row, start.end = cache, row, end
        laid.append(start)
    return laid
