"""Attention rows from kept queries and the cache's keys: what `Answered.read` gives."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glintbox.errors import BadInput, Closed, UnknownName
from glintbox.geometry import View
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.prefill import Prefilled
from glintbox.lvlm.tap import Tap, scores
from glintbox.records import Head, Moment, Response, Site, Watch

CHUNK = 1 << 24
"""How many dot products (float32) are held at once."""


@dataclass(slots=True)
class Branches:
    """Answers that grow together, packed in one cache sequence after the prompt.

    owner, depth: answer and number in it of each token after the prompt, in cache order. tap: their queries.
    parked: their keys on the CPU, once other answers take their room in the cache.
    """

    tap: Tap | None
    owner: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    parked: dict[int, Float[Tensor, "pair token dim"]] | None = None

    def own(self, response: int) -> list[int]:
        """Places of one answer's tokens, in its order."""
        return [place for place, owner in enumerate(self.owner) if owner == response]

    def keys(self, start: Prefilled, layer: int) -> Float[Tensor, "pair token dim"]:
        """Keys of all tokens after the prompt, on the cache's device."""
        cached = start.cache.layers[layer].keys[0]
        if self.parked is None:
            return cached[:, start.length : start.length + len(self.owner)]
        return self.parked[layer].to(cached.device)

    def park(self, start: Prefilled) -> None:
        """Move keys and queries to the CPU, so that the cache can be cut back to the prompt."""
        if self.tap is not None and self.owner:
            self.parked = {layer: self.keys(start, layer).to("cpu", copy=True) for layer in self.tap.layers}
            self.tap.park()


class Spot(NamedTuple):
    """Where a row comes from: query `place` of the prompt (`branches` None, counted from its start) or of an answer.

    seen: how many prompt tokens it sees.
    """

    branches: Branches | None
    place: int
    response: int
    seen: int


class PackedAnswered:
    """An `api.Answered` over one prompt cache."""

    def __init__(
        self,
        card: ModelCard,
        start: Prefilled,
        branches: Sequence[Branches],
        responses: tuple[Response, ...],
        *,
        timing: dict[str, float],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.prompt: Prompt = start.prompt
        self.responses = responses
        self.timing = timing
        self.notes = notes
        self._card = card
        self._start: Prefilled | None = start
        self._branches = tuple(branches)

    def close(self) -> None:
        """Let go of cache and queries; called by the iterator that made this object."""
        self._start = None
        self._branches = ()

    @torch.no_grad()
    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """As `api.Answered.read`; a prompt site reads the row of that prompt token's own query, whatever the moment."""
        if self._start is None:
            raise Closed(
                f"the answers to prompt {self.prompt.id!r} were read after their iterator had moved on; "
                "read what you need before asking for the next"
            )
        began = time.perf_counter()
        heads = self._heads(watch)
        view = self._view(watch.view)
        spots = [self._spot(self._start, site, watch.moment) for site in sites]
        device = self._start.logits.device
        out = torch.empty(len(sites), len(heads), view.grid.cells, device=device)
        for layer in dict.fromkeys(head.layer for head in heads):
            channels = [channel for channel, head in enumerate(heads) if head.layer == layer]
            which = torch.tensor([heads[channel].index for channel in channels])
            out[:, channels] = self._layer(self._start, layer, which, spots, view.columns).to(device)
        self.timing["read"] = self.timing.get("read", 0.0) + time.perf_counter() - began
        return out.reshape(len(sites), len(heads), view.grid.rows, view.grid.cols)

    def _heads(self, watch: Watch) -> tuple[Head, ...]:
        heads = self._card.all_heads() if watch.heads is None else watch.heads
        watched = self._start.tap.layers if self._start is not None and self._start.tap is not None else frozenset()
        unknown = [h for h in heads if h.layer not in watched or not 0 <= h.index < self._card.heads]
        if unknown:
            raise BadInput(
                f"head {unknown[0]} was not watched while answering or does not exist: watched were layers "
                f"{sorted(watched)} with {self._card.heads} heads each; name it in the Watch given to answer or replay"
            )
        return heads

    def _view(self, name: str) -> View:
        if name not in self.prompt.views:
            raise UnknownName("view", name, self.prompt.views)
        return self.prompt.views[name]

    def _spot(self, start: Prefilled, site: Site, moment: Moment) -> Spot:
        response, token = site
        if response == -1 and start.first <= token < start.length:
            return Spot(None, token, response, token + 1)
        if 0 <= response < len(self.responses) and 0 <= token < len(self.responses[response].ids):
            if moment == "predicting":
                token -= 1
            if token < 0:
                return Spot(None, start.length - 1, response, start.length)
            for branches in self._branches:
                own = branches.own(response)
                if token < len(own):
                    return Spot(branches, own[token], response, start.length)
        raise BadInput(
            f"{site} was not watched while answering or does not exist: expected a token of responses "
            f"0..{len(self.responses) - 1}, or response -1 and a prompt token in {start.first}..{start.length - 1}; "
            'the last token of a cut answer has a "predicted" row only if the Watch given to answer asks for it'
        )

    def _layer(
        self, start: Prefilled, layer: int, which: Int[Tensor, " head"], spots: Sequence[Spot], columns: Tensor
    ) -> Float[Tensor, "site head cell"]:
        keys = start.cache.layers[layer].keys[0, :, : start.length]
        group = self._card.heads // keys.shape[0]
        which, columns = which.to(keys.device), columns.to(keys.device)
        size = max(1, CHUNK // (start.length * len(which)))
        parts = []
        for at in range(0, len(spots), size):
            some = spots[at : at + size]
            query, scale = _queries(start, layer, which, some)
            dots = scale * scores(query, keys, which, group)
            seen = torch.tensor([spot.seen for spot in some], device=keys.device)
            hidden = torch.arange(start.length, device=keys.device) >= seen[:, None, None]
            dots = dots.masked_fill(hidden, -torch.inf)
            total = dots.logsumexp(-1)
            for rows, branches, own in _by_response(some):
                keys_of = branches.keys(start, layer)
                mine = scale * scores(query[rows], keys_of[:, own], which, group)
                last = torch.tensor([some[row].place for row in rows], device=keys.device)
                later = torch.tensor(own, device=keys.device) > last[:, None, None]
                total[rows] = torch.logaddexp(total[rows], mine.masked_fill(later, -torch.inf).logsumexp(-1))
            parts.append((dots[..., columns] - total[..., None]).exp())
        return torch.cat(parts) if parts else keys.new_empty(0, len(which), len(columns), dtype=torch.float32)


def _queries(
    start: Prefilled, layer: int, which: Int[Tensor, " head"], spots: Sequence[Spot]
) -> tuple[Float[Tensor, "site head dim"], float]:
    assert start.tap is not None  # `_heads` has refused what was not watched
    rows = []
    for spot in spots:
        tap = start.tap if spot.branches is None else spot.branches.tap
        assert tap is not None
        place = spot.place - start.first if spot.branches is None else spot.place
        rows.append(tap.queries(layer)[:, place].to(which.device)[which])
    return torch.stack(rows), start.tap.scale[layer]


def _by_response(spots: Sequence[Spot]) -> Iterable[tuple[list[int], Branches, list[int]]]:
    """Rows that stand in an answer, answer by answer: rows, its branches, places of its tokens."""
    for response in dict.fromkeys(spot.response for spot in spots if spot.branches is not None):
        rows = [r for r, spot in enumerate(spots) if spot.branches is not None and spot.response == response]
        branches = spots[rows[0]].branches
        assert branches is not None
        yield rows, branches, branches.own(response)
