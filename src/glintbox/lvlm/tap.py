"""The one attention tap: runs SDPA and keeps queries, with no code per model.

The attention of a row is computed later, from the kept query and the keys that lie in the cache anyway; so nothing
but a copy of a few vectors is paid while answering. The tap itself holds no state: each forward pass carries its own
`Tap` as a keyword argument, which transformers hands down to the attention function.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "glintbox_tap"
KEYWORD = "glintbox_tap"


class Enough(Exception):  # no error: it ends a pass that would only compute what nobody reads
    """A tap has the queries of its last layer, and that layer's keys lie in the cache."""


class Tap:
    """Post-RoPE queries of the watched layers, as they were in one series of forward passes.

    last: how many of a pass's last tokens are kept; None = all. ends: raise `Enough` at the last watched layer.
    """

    def __init__(self, layers: Collection[int], last: int | None = None, *, ends: bool = False) -> None:
        self.layers = frozenset(layers)
        self.last = last
        self.ends = ends
        self.scale: dict[int, float] = {}
        self._kept: dict[int, list[Tensor]] = {layer: [] for layer in self.layers}

    def keep(self, layer: int, query: Float[Tensor, "batch head token dim"], scale: float) -> None:
        """Called by the attention function, when the layer's keys are in the cache and before it attends."""
        if layer in self.layers:
            start = 0 if self.last is None else max(0, query.shape[2] - self.last)
            self._kept[layer].append(query[:, :, start:].clone())
            self.scale[layer] = scale
        if self.ends and layer == max(self.layers):
            raise Enough

    def queries(self, layer: int) -> Float[Tensor, "batch head token dim"]:
        """All queries kept so far, in the order in which their tokens were fed."""
        kept = self._kept[layer]
        if len(kept) > 1:
            self._kept[layer] = kept = [torch.cat(kept, 2)]
        return kept[0]

    def silent(self) -> list[int]:
        """Watched layers that have not called the tap."""
        return sorted(layer for layer, kept in self._kept.items() if not kept)

    def park(self) -> None:
        """Move everything to the CPU."""
        self._kept = {layer: [self.queries(layer).cpu()] for layer in self.layers}


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    tap: Tap | None = options.pop(KEYWORD, None)
    scaling = options.get("scaling")
    if tap is not None:
        tap.keep(module.layer_idx, query, scaling if scaling is not None else query.shape[-1] ** -0.5)
    grouped = query.shape[1] != key.shape[1] and query.shape[2] > 1
    if grouped and attention_mask is not None and attention_mask.shape[1] == 1:
        return _folded(query, key, value, attention_mask, scaling), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


def _folded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """SDPA under a mask with the heads of a group folded into query rows, so that keys and values are not repeated."""
    batch, heads, tokens, width = query.shape
    group = heads // key.shape[1]
    rows = query.reshape(batch, key.shape[1], group * tokens, width)
    tiled = mask.repeat(1, 1, group, 1)
    output = torch.nn.functional.scaled_dot_product_attention(rows, key, value, attn_mask=tiled, scale=scaling)
    return output.reshape(batch, heads, tokens, -1).transpose(1, 2).contiguous()


# Both, or the mask is dropped without a word: transformers makes none for a name it has no mask function for.
AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def tapped(model: PreTrainedModel) -> Iterator[None]:
    """Run the text decoder of `model` through the tap; the vision tower stays as it is, and all is restored after.

    Never hold it open across a yield: of two interleaved iterators the first to end would take it from the other.
    """
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation({"text_config": NAME})
    try:
        yield
    finally:
        model.set_attn_implementation({"text_config": before})


def scores(
    query: Float[Tensor, "site head dim"],
    keys: Float[Tensor, "pair token dim"],
    heads: Int[Tensor, " head"],
    group: int,
) -> Float[Tensor, "site head token"]:
    """Dot products of chosen heads with the keys of their pair (`group` heads share one pair), float32."""
    if heads.shape[0] == group * keys.shape[0]:
        sites, _, dim = query.shape  # every head: fold groups into rows, so that no key is copied
        rows = query.reshape(sites, -1, group, dim).transpose(0, 1).reshape(-1, sites * group, dim)
        dots = rows.float() @ keys.float().transpose(1, 2)
        return dots.reshape(-1, sites, group, keys.shape[1]).transpose(0, 1).flatten(1, 2)
    dots = query.float().transpose(0, 1) @ keys[heads // group].float().transpose(1, 2)
    return dots.transpose(0, 1)
