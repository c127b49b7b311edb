"""Several answers in one cache sequence under a tree mask: each step feeds one token per live answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from glintbox.errors import BadContract
from glintbox.lvlm import seams
from glintbox.lvlm.prefill import Prefilled
from glintbox.lvlm.progress import Written, tell
from glintbox.lvlm.reading import Branches
from glintbox.lvlm.sampling import choose, noise, vocabulary_entropy
from glintbox.records import Response, Sampling

FORCED = 256
"""How many given tokens are fed at once; bounds the logits that are held."""


class Draw(NamedTuple):
    """How an answer is drawn; number: its number among the samples of that sampling, None = greedy."""

    sampling: Sampling
    number: int | None


@dataclass(slots=True)
class Writing:
    """One answer as it grows."""

    drawn: Draw
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
    drawn: Mapping[int, Draw],
    *,
    limit: int,
    eos: Collection[int],
    last_too: bool,
) -> dict[int, Writing]:
    """Write the answers `drawn` (by their place among the responses) until each has stopped or has `limit` tokens.

    last_too: also run the last token of answers that were cut, whose query no further token needs.
    """
    rows = {response: Writing(draw) for response, draw in drawn.items()}
    live = list(rows)
    logits = start.logits.expand(len(live), -1)
    name = f"{start.prompt.id}\0{start.prompt.query}"
    for step in range(limit):
        if step:
            logits = feed(model, start, branches, [(r, step - 1, rows[r].ids[-1]) for r in live])
        entropy = _entropy(logits)
        chosen = _choose(logits, [rows[r].drawn for r in live], name, step)
        for r, token, nats in zip(live, chosen, entropy, strict=True):
            rows[r].stopped = token in eos
            if not rows[r].stopped:
                rows[r].ids.append(token)
                rows[r].entropy.append(nats)
        live = [r for r in live if not rows[r].stopped]
        tell(Written(step + 1, len(rows) - len(live), len(rows)))
        if not live:
            return rows
    if last_too:
        feed(model, start, branches, [(r, limit - 1, rows[r].ids[-1]) for r in live])
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


def _choose(logits: Float[Tensor, "row vocab"], drawn: Sequence[Draw], name: str, step: int) -> list[int]:
    """The next token of each row, by its own sampling."""
    tokens = [0] * len(drawn)
    for sampling in dict.fromkeys(draw.sampling for draw in drawn):
        rows = [row for row, draw in enumerate(drawn) if draw.sampling == sampling]
        numbers = [drawn[row].number for row in rows]
        noises = [None if n is None else noise(sampling.seed, name, n, step) for n in numbers]
        own = logits if len(rows) == len(drawn) else logits[rows]
        for row, token in zip(rows, choose(own, noises, sampling).tolist(), strict=True):
            tokens[row] = token
    return tokens


def _entropy(logits: Float[Tensor, "row vocab"]) -> list[float]:
    entropy = vocabulary_entropy(logits)
    if not bool(entropy.isfinite().all()):
        raise BadContract(
            "expected finite logits, got NaN or infinity; load the model in bfloat16 or float32 (float16 overflows)"
        )
    return [float(nats) for nats in entropy]
