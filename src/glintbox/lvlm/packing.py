"""Several answers in one cache sequence under a tree mask: each step feeds one token per live answer.

Prompts may lie side by side in the rows of a cache; each has such a sequence.
"""

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
from glintbox.lvlm.reading import NOBODY, Branches
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


Fed = tuple[int, int, int]
"""A token to feed: answer, number in it, id."""


def feed(
    model: PreTrainedModel, starts: Sequence[Prefilled], branches: Sequence[Branches], fed: Sequence[Sequence[Fed]]
) -> Float[Tensor, "row vocab"]:
    """Logits after each token of `fed`, prompt by prompt; they join the cache and the prompts' branches.

    All prompts lie in one cache. Those with fewer tokens than others are filled up with tokens of nobody.
    """
    asking = max(map(len, fed))
    filled = [[*some, *[(NOBODY, 0, 0)] * (asking - len(some))] for some in fed]
    for own, some in zip(branches, filled, strict=True):
        own.owner += [owner for owner, _, _ in some]
        own.depth += [depth for _, depth, _ in some]
    device = starts[0].logits.device
    owner, depth = (
        torch.tensor([getattr(own, what) for own in branches], device=device) for what in ("owner", "depth")
    )
    position = torch.tensor([start.next_position for start in starts], device=device)[:, None] + depth[:, -asking:]
    logits = seams.forward(
        model,
        torch.tensor([[token for _, _, token in some] for some in filled]),
        position.expand(starts[0].axes, -1, -1),
        starts[0].cache,
        mask=seams.tree_masks(model, [start.length for start in starts], owner, depth, asking=asking),
        tap=branches[0].tap,
    )
    return torch.cat([rows[: len(some)] for rows, some in zip(logits, fed, strict=True)])


def grow(
    model: PreTrainedModel,
    starts: Sequence[Prefilled],
    branches: Sequence[Branches],
    drawn: Mapping[int, Draw],
    *,
    limit: int,
    eos: Collection[int],
    last_too: bool,
) -> list[dict[int, Writing]]:
    """Write the answers `drawn` (by their place among the responses) to every prompt of a cache.

    Each grows until it has stopped or has `limit` tokens. last_too: also run the last token of answers that were cut,
    whose query no further token needs.
    """
    rows = [{response: Writing(draw) for response, draw in drawn.items()} for _ in starts]
    names = [f"{start.prompt.id}\0{start.prompt.query}" for start in starts]
    live = [list(drawn) for _ in starts]
    logits = torch.cat([start.logits.expand(len(drawn), -1) for start in starts])
    for step in range(limit):
        if step:
            logits = feed(model, starts, branches, _last(rows, live, step - 1))
        now = [(rows[k][r], names[k]) for k, some in enumerate(live) for r in some]
        entropy = _entropy(logits)
        chosen = _choose(logits, [(writing.drawn, name) for writing, name in now], step)
        for (writing, _), token, nats in zip(now, chosen, entropy, strict=True):
            writing.stopped = token in eos
            if not writing.stopped:
                writing.ids.append(token)
                writing.entropy.append(nats)
        live = [[r for r in some if not rows[k][r].stopped] for k, some in enumerate(live)]
        growing, answers = sum(map(len, live)), len(rows) * len(drawn)
        tell(Written(step + 1, answers - growing, answers))
        if not growing:
            return rows
    if last_too:
        feed(model, starts, branches, _last(rows, live, limit - 1))
    return rows


def _last(rows: Sequence[Mapping[int, Writing]], live: Sequence[Sequence[int]], depth: int) -> list[list[Fed]]:
    """The last token of each growing answer, prompt by prompt."""
    return [[(r, depth, own[r].ids[-1]) for r in some] for own, some in zip(rows, live, strict=True)]


def force(
    model: PreTrainedModel, start: Prefilled, branches: Branches, responses: Sequence[Response]
) -> list[list[float]]:
    """Run the tokens of given answers; entropies of the distributions that each of them was predicted from, nats."""
    told = [(r, depth, token) for r, response in enumerate(responses) for depth, token in enumerate(response.ids)]
    entropies = [_entropy(start.logits[None]) for _ in responses]
    for at in range(0, len(told), FORCED):
        fed = told[at : at + FORCED]
        for (r, _, _), nats in zip(fed, _entropy(feed(model, [start], [branches], [fed])), strict=True):
            entropies[r].append(nats)
    return [nats[: len(response.ids)] for nats, response in zip(entropies, responses, strict=True)]


def _choose(logits: Float[Tensor, "row vocab"], drawn: Sequence[tuple[Draw, str]], step: int) -> list[int]:
    """The next token of each row, by its own sampling; beside it what names its prompt."""
    tokens = [0] * len(drawn)
    for sampling in dict.fromkeys(draw.sampling for draw, _ in drawn):
        rows = [row for row, (draw, _) in enumerate(drawn) if draw.sampling == sampling]
        numbers = [(drawn[row][0].number, drawn[row][1]) for row in rows]
        noises = [None if n is None else noise(sampling.seed, name, n, step) for n, name in numbers]
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
