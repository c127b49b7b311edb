"""Which token each answer writes next: explicit warping and noise that depends on nothing but its own counter.

A response's noise is a hash of (seed, prompt id, query, response, step): it stays the same however many others are
drawn, in whatever order, on whatever device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from glintbox.records import Sampling


class Support(NamedTuple):
    """What may be drawn, likeliest first (equal ones by token id); probability 0 = cut off. On the CPU."""

    ids: Int[Tensor, "row kept"]
    probability: Float64[Tensor, "row kept"]


def noise(seed: int, prompt: str, response: int, step: int) -> float:
    """A number in [0, 1) for the step of a sampled response (counted without greedy); prompt: what names it.

    It has 48 bits, so that its product with a total below 2 rounds to less than that total.
    """
    counter = f"{seed}\0{response}\0{step}\0{prompt}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(counter, digest_size=6).digest(), "big") / 2**48


def support(logits: Float[Tensor, "row vocab"], sampling: Sampling) -> Support:
    """Temperature, then top-k (ties at its edge stay), then top-p (the smallest set that reaches it)."""
    scores = logits.float() / sampling.temperature
    if 0 < sampling.top_k < scores.shape[-1]:
        edge = scores.topk(sampling.top_k, -1).values[:, -1:]
        inside = scores >= edge
        scores, ids = scores.masked_fill(~inside, -torch.inf).topk(int(inside.sum(-1).max()), -1)
    else:
        ids = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape)
    ids, by_id = ids.cpu().sort(-1)
    scores, by_score = scores.cpu().double().gather(-1, by_id).sort(stable=True, dim=-1, descending=True)
    probability = scores.softmax(-1)
    if sampling.top_p < 1:
        before = probability.cumsum(-1) - probability
        probability = probability.masked_fill(before >= sampling.top_p, 0.0)
        probability = probability / probability.sum(-1, keepdim=True)
    return Support(ids.gather(-1, by_score), probability)


def choose(
    logits: Float[Tensor, "row vocab"], noises: Sequence[float | None], sampling: Sampling
) -> Int[Tensor, " row"]:
    """The next token of each row, on the CPU: the likeliest where its noise is None, else by inverse distribution."""
    best = logits.argmax(-1).cpu()
    rows = [row for row, value in enumerate(noises) if value is not None]
    if sampling.temperature == 0 or not rows:
        return best
    ids, probability = support(logits[rows], sampling)
    upto = probability.cumsum(-1)
    drawn = torch.tensor([value for value in noises if value is not None], dtype=torch.float64)
    at = torch.searchsorted(upto, (drawn * upto[:, -1])[:, None], right=True)
    best[rows] = ids.gather(-1, at)[:, 0]
    return best


def vocabulary_entropy(logits: Float[Tensor, "row vocab"]) -> Float[Tensor, " row"]:
    """Entropy of the vocabulary distribution at T=1 before any warping, nats, on the CPU."""
    return torch.special.entr(logits.float().softmax(-1)).sum(-1).cpu()
