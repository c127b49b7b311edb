"""Every touch of a transformers internal, in one place: cache, positions, masks, the forward call, memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from glintbox.errors import BadContract, BadInput, OutOfMemory
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.tap import KEYWORD, Enough, Tap

PACKABLE = {"full_attention", "sliding_attention"}
SPARE = 256
"""Tokens of room that a cache layer takes beyond its need."""


class GrowingLayer(DynamicLayer):
    """A cache layer with room to grow: no copy of the whole prompt for each new token."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append and return all keys and values, [batch pair token dim] each."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._length = 0
            self._room_keys, self._room_values = key_states[:, :, :0], value_states[:, :, :0]
        need = self._length + key_states.shape[2]
        if need > self._room_keys.shape[2]:
            room = need + max(SPARE, need // 4)
            keys, values = self._moved(self._room_keys, room), self._moved(self._room_values, room)
            self._room_keys, self._room_values = keys, values  # both or none: memory may run out between the two
        self._room_keys[:, :, self._length : need] = key_states
        self._room_values[:, :, self._length : need] = value_states
        self.cut(need)
        return self.keys, self.values

    def lay(self, other: GrowingLayer, row: int, *, rows: int, length: int, end: int) -> None:
        """Copy the first `length` tokens of a layer of one row into a row of this one; updates follow after `end`."""
        keys, values = other.keys, other.values
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            shape = (rows, keys.shape[1], end + SPARE)
            self._room_keys = keys.new_zeros(*shape, keys.shape[3])  # zeros: what a mask hides must be finite
            self._room_values = values.new_zeros(*shape, values.shape[3])
        self._room_keys[row, :, :length] = keys[0, :, :length]
        self._room_values[row, :, :length] = values[0, :, :length]
        self.cut(end)

    def _moved(self, old: Tensor, room: int) -> Tensor:
        new = old.new_empty(*old.shape[:2], room, old.shape[3])
        new[:, :, : self._length] = old[:, :, : self._length]
        return new

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        self._length = length
        self.keys, self.values = self._room_keys[:, :, :length], self._room_values[:, :, :length]


def new_cache() -> Cache:
    """An empty cache whose layers all keep every token, also those with a sliding window.

    It is made without the config on purpose: with it a sliding layer drops the prompt's keys while other answers
    grow in the same sequence. The window is in the masks instead.
    """
    return Cache(layer_class_to_replicate=GrowingLayer)


def cut(cache: Cache, length: int) -> None:
    """Keep the first `length` tokens of every layer."""
    for layer in cache.layers:
        layer.cut(length)


def lay(cache: Cache, other: Cache, row: int, *, rows: int, length: int, end: int) -> None:
    """Copy a prompt of `length` tokens from its own cache into a row of one that serves `rows` prompts."""
    for index, layer in enumerate(other.layers):
        if index == len(cache.layers):
            cache.layers.append(GrowingLayer())
        cache.layers[index].lay(layer, row, rows=rows, length=length, end=end)


def bytes_per_token(cache: Cache) -> int:
    """What one token takes in the cache, all layers."""
    return sum(
        2 * layer.keys.shape[1] * layer.keys.shape[3] * layer.keys.element_size()
        for layer in cache.layers
        if layer.is_initialized
    )


def check_packable(model: PreTrainedModel) -> None:
    """Refuse a model with layers that cannot decode several answers in one sequence.

    Raises:
        BadContract: names the kinds of layer, for instance linear attention, whose state belongs to one sequence.
    """
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - PACKABLE
    if kinds:
        raise BadContract(
            f"{type(model).__name__} has {', '.join(sorted(kinds))} layers; packed decoding needs layers that attend "
            f"to all keys or to a window. Use a model whose layer_types are {' or '.join(sorted(PACKABLE))}."
        )


def prompt_positions(model: PreTrainedModel, prompt: Prompt) -> Real[Tensor, "axis batch token"]:
    """Rotary positions of the prompt: three axes for a model with M-RoPE, else one.

    Always computed from this prompt: what the model remembers (`rope_deltas`) belongs to whichever prompt came last.

    Raises:
        BadContract: M-RoPE and no `mm_token_type_ids`; the model would fall back to one axis without a word.
    """
    rope_index = getattr(model.model, "get_rope_index", None)
    if rope_index is None:
        return torch.arange(prompt.ids.shape[0])[None, None]
    if "mm_token_type_ids" not in prompt.tensors:
        raise BadContract(
            f"{type(model).__name__} needs mm_token_type_ids to place image tokens, got {sorted(prompt.tensors)}; "
            "take the inputs from the checkpoint's own processor"
        )
    known = ("mm_token_type_ids", "image_grid_thw")
    positions, _ = rope_index(prompt.ids[None], **{name: prompt.tensors[name] for name in known})
    return positions


def tree_mask(
    lengths: Sequence[int],
    owner: Int[Tensor, "batch own"],
    depth: Int[Tensor, "batch own"],
    *,
    asking: int,
    window: int | None = None,
) -> Bool[Tensor, "batch asking key"]:
    """Who sees whom: the last `asking` own tokens see their prompt and the earlier tokens of their own answer.

    lengths: of the prompts, which lie before the own tokens in as many columns as the longest needs. owner, depth:
    answer and number in it of each token after the prompt, in cache order. window: how many tokens a sliding layer
    sees back, itself included.
    """
    device, own = owner.device, owner.shape[1]
    length, column = torch.tensor(lengths, device=device)[:, None], torch.arange(max(lengths), device=device)
    order = torch.arange(own, device=device)
    mine = (owner[:, -asking:, None] == owner[:, None]) & (order[-asking:, None] >= order[None])
    mask = torch.cat([(column < length)[:, None].expand(-1, asking, -1), mine], 2)
    if window is not None:
        place = torch.cat([column.expand(len(lengths), -1), length + depth], 1)
        mask &= place[:, -asking:, None] - place[:, None] < window
    return mask


def tree_masks(
    model: PreTrainedModel,
    lengths: Sequence[int],
    owner: Int[Tensor, "batch own"],
    depth: Int[Tensor, "batch own"],
    *,
    asking: int,
) -> Tensor | dict[str, Tensor]:
    """`tree_mask` as the model wants it: one for all layers, or one for each kind of layer."""
    text = model.config.get_text_config()
    window, kinds = getattr(text, "sliding_window", None), getattr(text, "layer_types", None)
    full = tree_mask(lengths, owner, depth, asking=asking)[:, None]
    if window is None or (kinds is not None and "sliding_attention" not in kinds):
        return full
    near = tree_mask(lengths, owner, depth, asking=asking, window=window)[:, None]
    return near if kinds is None else {"full_attention": full, "sliding_attention": near}


def forward(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch token"],
    positions: Real[Tensor, "axis batch token"],
    cache: Cache,
    *,
    mask: Tensor | dict[str, Tensor] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    tap: Tap | None = None,
    last_only: bool = False,
) -> Float[Tensor, "batch row vocab"]:
    """Logits after each token, or only after the last; the tokens join the cache.

    A tap that ends the pass at its last layer leaves no logits, and nothing in the cache's later layers.
    """
    device, dtype = model.device, model.dtype
    inputs: dict[str, Any] = {
        name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
        for name, value in (tensors or {}).items()
    }
    if positions.shape[0] == 1:
        positions = positions[0]
    if tap is not None:
        inputs[KEYWORD] = tap
    try:
        output = model(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if last_only else 0,
            **inputs,
        )
    except Enough:
        return torch.empty(1, 0, 0, device=device)
    return output.logits


def prompt_tensors(prompt: Prompt) -> dict[str, Tensor]:
    """What the prefill takes beside the ids; a single prompt has no padding, so it needs no mask.

    Raises:
        BadInput: the prompt is padded.
    """
    mask = prompt.tensors.get("attention_mask")
    if mask is not None and not bool(mask.all()):
        raise BadInput(
            f"expected a prompt without padding, got {int((mask == 0).sum())} masked tokens in {prompt.id!r}"
        )
    return {name: value for name, value in prompt.tensors.items() if name != "attention_mask"}


def ran_out(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory ran out, on a GPU or on the CPU (which has no class of its own)."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


@contextmanager
def within_memory(told: Callable[[], str]) -> Iterator[None]:
    """Turn torch's errors for memory that ran out into `OutOfMemory` with the message `told`."""
    try:
        yield
    except RuntimeError as error:
        if not ran_out(error):
            raise
        raise OutOfMemory(told()) from error


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device, or None where it cannot be told."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    names = os.sysconf_names if device.type == "cpu" else {}
    if "SC_AVPHYS_PAGES" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def finish(device: torch.device) -> None:
    """Wait for what a GPU has still to do, so that clocks tell the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
