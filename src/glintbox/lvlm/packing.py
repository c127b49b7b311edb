"""Several answers in one cache sequence under a tree mask: each step feeds one token per live answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from glintbox.errors import BadContract
from glintbox.lvlm import seams
from glintbox.lvlm.prefill import Prefilled
from glintbox.lvlm.reading import Branches
from glintbox.lvlm.sampling import choose, noise, vocabulary_entropy
from glintbox.records import Response, Sampling

FORCED = 256
"""How many given tokens are fed at once; bounds the logits that are held."""


@dataclass(slots=True)
class Writing:
    """One answer as it grows; drawn: its number among the samples, None = greedy."""

    drawn: int | None
    ids: list[int] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    stopped: bool = False


def feed(
    model: PreTrainedModel, start: Prefilled, branches: Branches, fed: Sequence[tuple[int, int, int]]
) -> Float[Tensor, "row vocab"]:
    """Logits after each of `fed`: (answer, number in it, id); they join the cache and `branches`."""
    branches.owner += [owner for owner, _, _ in fed]
    branches.depth += [depth for _, depth, _ in fed]
    device = start.logits.device
    owner, depth = torch.tensor(branches.owner, device=device), torch.tensor(branches.depth, device=device)
    return seams.forward(
        model,
        torch.tensor([token for _, _, token in fed]),
        (start.next_position + depth[-len(fed) :]).expand(start.axes, 1, -1),
        start.cache,
        mask=seams.tree_masks(model, start.length, owner, depth, asking=len(fed)),
        tap=branches.tap,
    )


def grow(
    model: PreTrainedModel,
    start: Prefilled,
    branches: Branches,
    drawn: Mapping[int, int | None],
    *,
    sampling: Sampling,
    eos: Collection[int],
    last_too: bool,
) -> dict[int, Writing]:
    """Write the answers `drawn` (by their place among the responses) until each has stopped or is long enough.

    last_too: also run the last token of answers that were cut, whose query no further token needs.
    """
    rows = {response: Writing(number) for response, number in drawn.items()}
    live = list(rows)
    logits = start.logits.expand(len(live), -1)
    name = f"{start.prompt.id}\0{start.prompt.query}"
    for step in range(sampling.max_new_tokens):
        if step:
            logits = feed(model, start, branches, [(r, step - 1, rows[r].ids[-1]) for r in live])
        entropy = _entropy(logits)
        numbers = [rows[r].drawn for r in live]
        noises = [None if n is None else noise(sampling.seed, name, n, step) for n in numbers]
        for r, token, nats in zip(live, choose(logits, noises, sampling).tolist(), entropy, strict=True):
            rows[r].stopped = token in eos
            if not rows[r].stopped:
                rows[r].ids.append(token)
                rows[r].entropy.append(nats)
        live = [r for r in live if not rows[r].stopped]
        if not live:
            return rows
    if last_too:
        feed(model, start, branches, [(r, sampling.max_new_tokens - 1, rows[r].ids[-1]) for r in live])
    return rows


def force(
    model: PreTrainedModel, start: Prefilled, branches: Branches, responses: Sequence[Response]
) -> list[list[float]]:
    """Run the tokens of given answers; entropies of the distributions that each of them was predicted from, nats."""
    told = [(r, depth, token) for r, response in enumerate(responses) for depth, token in enumerate(response.ids)]
    entropies = [_entropy(start.logits[None]) for _ in responses]
    for at in range(0, len(told), FORCED):
        fed = told[at : at + FORCED]
        for (r, _, _), nats in zip(fed, _entropy(feed(model, start, branches, fed)), strict=True):
            entropies[r].append(nats)
    return [nats[: len(response.ids)] for nats, response in zip(entropies, responses, strict=True)]


def _entropy(logits: Float[Tensor, "row vocab"]) -> list[float]:
    entropy = vocabulary_entropy(logits)
    if not bool(entropy.isfinite().all()):
        raise BadContract(
            "expected finite logits, got NaN or infinity; load the model in bfloat16 or float32 (float16 overflows)"
        )
    return [float(nats) for nats in entropy]
