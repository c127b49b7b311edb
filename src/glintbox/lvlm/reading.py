"""Attention rows from kept queries and the cache's keys: what `Answered.read` gives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from glintbox.errors import BadInput, Closed, UnknownName
from glintbox.geometry import View
from glintbox.lvlm import seams
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.prefill import Prefilled
from glintbox.lvlm.tap import Tap, scores
from glintbox.records import Head, Moment, Response, Site, Watch

NOBODY = -1
CHUNK = 1 << 24
"""How many dot products (float32) are held at once."""


@dataclass(slots=True)
class Branches:
    """Answers that grow together, packed in one cache sequence after the prompt.

    owner, depth: answer and number in it of each token after the prompt, in cache order; NOBODY: it only fills a step
    in which another prompt of the cache feeds more. tap: their queries, in the prompt's row. parked: their keys on the
    CPU, once other answers take their room in the cache.
    """

    tap: Tap | None
    owner: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    parked: dict[int, Float[Tensor, "pair token dim"]] | None = None

    def places(self) -> dict[int, list[int]]:
        """Places of each answer's tokens, in its order."""
        found: dict[int, list[int]] = {}
        for place, owner in enumerate(self.owner):
            if owner != NOBODY:
                found.setdefault(owner, []).append(place)
        return found

    def queries(self, start: Prefilled, layer: int) -> Float[Tensor, "head token dim"]:
        """Queries of all tokens after the prompt."""
        assert self.tap is not None  # who asks has seen that the layer is watched
        return self.tap.queries(layer)[start.row]

    def keys(self, start: Prefilled, layer: int) -> Float[Tensor, "pair token dim"]:
        """Keys of all tokens after the prompt, on the cache's device."""
        if self.parked is None:
            return start.later_keys(layer, len(self.owner))
        return self.parked[layer].to(start.keys(layer).device)

    def park(self, start: Prefilled) -> None:
        """Move keys and queries to the CPU, so that the cache can be cut back to the prompt."""
        if self.tap is not None and self.owner:
            self.parked = {layer: self.keys(start, layer).to("cpu", copy=True) for layer in self.tap.layers}
            self.tap.park()


class Grown(NamedTuple):
    """One answer: where it grew, and the places of its tokens there."""

    branches: Branches
    places: list[int]


class Spot(NamedTuple):
    """Where a row comes from: query `place` of the prompt's kept ones (`response` None) or of an answer's branches.

    seen: how many prompt tokens it sees.
    """

    response: int | None
    place: int
    seen: int


class Rows(NamedTuple):
    """Rows whose queries are kept in one place: number `numbers` of those that are read, at `places` of the queries.

    branches: None for rows of the prompt. hidden: which of the branches' tokens are of another answer, or later.
    """

    numbers: list[int]
    places: list[int]
    branches: Branches | None
    hidden: Bool[Tensor, "site 1 token"] | None


class Chunk(NamedTuple):
    """Rows that are computed at once. unseen: prompt tokens that come after a row's own; order: of rows by `parts`."""

    parts: list[Rows]
    unseen: Bool[Tensor, "site 1 token"]
    order: Int[Tensor, " site"]


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
        self._grown = {
            response: Grown(together, places) for together in branches for response, places in together.places().items()
        }

    def close(self) -> None:
        """Let go of cache and queries; called by the iterator that made this object."""
        self._start = None
        self._grown = {}

    @torch.no_grad()
    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """As `api.Answered.read`; a prompt site reads the row of that prompt token's own query, whatever the moment.

        Raises:
            OutOfMemory: the device does not hold the rows beside the answers.
        """
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
        told = f"{device} does not hold {len(sites)} rows of {len(heads)} heads beside {len(self.responses)} answers"
        with seams.within_memory(lambda: f"{told}; lower n, or the pixel budget"):
            out = torch.empty(len(sites), len(heads), view.grid.cells, device=device)
            chunks = self._chunks(self._start, spots)
            for layer in dict.fromkeys(head.layer for head in heads):
                channels = [channel for channel, head in enumerate(heads) if head.layer == layer]
                which = torch.tensor([heads[channel].index for channel in channels])
                out[:, channels] = self._layer(self._start, layer, which, chunks, view.columns).to(device)
        seams.finish(device)
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
            return Spot(None, token - start.first, start.length if self.prompt.prefix else token + 1)
        if 0 <= response < len(self.responses) and 0 <= token < len(self.responses[response].ids):
            token -= moment == "predicting"
            if token < 0:
                return Spot(None, start.length - 1 - start.first, start.length)
            if response in self._grown and token < len(self._grown[response].places):
                return Spot(response, self._grown[response].places[token], start.length)
        raise BadInput(
            f"{site} was not watched while answering or does not exist: expected a token of responses "
            f"0..{len(self.responses) - 1}, or response -1 and a prompt token in {start.first}..{start.length - 1}; "
            'the last token of a cut answer has a "predicted" row only if the Watch given to answer asks for it'
        )

    def _chunks(self, start: Prefilled, spots: Sequence[Spot]) -> list[Chunk]:
        """The rows in chunks of bounded memory, whatever the layer."""
        longest = start.length + max((len(grown.branches.owner) for grown in self._grown.values()), default=0)
        size = max(1, CHUNK // (longest * self._card.heads))
        return [self._chunk(start, spots[at : at + size]) for at in range(0, len(spots), size)]

    def _chunk(self, start: Prefilled, spots: Sequence[Spot]) -> Chunk:
        device = start.logits.device
        together: dict[int, tuple[Branches | None, list[int]]] = {}
        for number, spot in enumerate(spots):
            branches = None if spot.response is None else self._grown[spot.response].branches
            together.setdefault(id(branches), (branches, []))[1].append(number)
        parts = [_rows(numbers, spots, branches, device) for branches, numbers in together.values()]
        seen = torch.tensor([spot.seen for spot in spots])
        order = torch.tensor([number for part in parts for number in part.numbers]).argsort()
        unseen = torch.arange(start.length) >= seen[:, None, None]
        return Chunk(parts, unseen.to(device), order.to(device))

    def _layer(
        self, start: Prefilled, layer: int, which: Int[Tensor, " head"], chunks: Sequence[Chunk], columns: Tensor
    ) -> Float[Tensor, "site head cell"]:
        keys = start.keys(layer)
        which, columns = which.to(keys.device), columns.to(keys.device)
        parts = [self._shares(start, layer, which, chunk, columns) for chunk in chunks]
        return torch.cat(parts) if parts else keys.new_empty(0, len(which), len(columns), dtype=torch.float32)

    def _shares(
        self, start: Prefilled, layer: int, which: Int[Tensor, " head"], chunk: Chunk, columns: Tensor
    ) -> Float[Tensor, "site head cell"]:
        keys = start.keys(layer)
        device, group = keys.device, self._card.heads // keys.shape[0]
        query = self._queries(start, layer, which, chunk)
        dots = scores(query, keys, which, group)
        dots.masked_fill_(chunk.unseen.to(device), -torch.inf)
        total = dots.logsumexp(-1)
        for rows in chunk.parts:
            if rows.branches is not None and rows.hidden is not None:
                own = scores(query[rows.numbers], rows.branches.keys(start, layer), which, group)
                own.masked_fill_(rows.hidden.to(device), -torch.inf)
                total[rows.numbers] = torch.logaddexp(total[rows.numbers], own.logsumexp(-1))
        return (dots[..., columns] - total[..., None]).exp()

    def _queries(
        self, start: Prefilled, layer: int, which: Int[Tensor, " head"], chunk: Chunk
    ) -> Float[Tensor, "site head dim"]:
        """The kept queries of some rows, scaled, float32."""
        found = []
        for rows in chunk.parts:
            tap = start.tap if rows.branches is None else rows.branches.tap
            assert tap is not None  # `_heads` has refused what was not watched
            kept = tap.queries(layer)[0] if rows.branches is None else rows.branches.queries(start, layer)
            query = kept[:, rows.places].to(which.device)
            found.append(query[which].transpose(0, 1).float() * tap.scale[layer])
        return torch.cat(found)[chunk.order.to(which.device)]


class PartAnswered:
    """Some of the answers that were drawn together, as an `api.Answered` of their own; numbers: theirs in the whole.

    Open as long as the whole; its timing is the whole's.
    """

    def __init__(self, whole: PackedAnswered, numbers: Sequence[int]) -> None:
        self.prompt: Prompt = whole.prompt
        self.responses = tuple(whole.responses[number] for number in numbers)
        self.notes = whole.notes
        self._whole, self._numbers = whole, tuple(numbers)

    @property
    def timing(self) -> dict[str, float]:
        """Seconds by stage, of all answers that were drawn together."""
        return self._whole.timing

    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """As `PackedAnswered.read`."""
        strange = [site for site in sites if not -1 <= site.response < len(self._numbers)]
        if strange:
            raise BadInput(
                f"expected a token of responses 0..{len(self._numbers) - 1} or of the prompt, got {strange[0]}"
            )
        own = [Site(self._numbers[r] if r >= 0 else -1, token) for r, token in sites]
        return self._whole.read(own, watch)


def _rows(numbers: list[int], spots: Sequence[Spot], branches: Branches | None, device: torch.device) -> Rows:
    """The rows of one packed group of answers, or of the prompt."""
    places = [spots[number].place for number in numbers]
    if branches is None:
        return Rows(numbers, places, None, None)
    owner, answer = torch.tensor(branches.owner), torch.tensor([spots[number].response for number in numbers])
    later = torch.arange(len(owner)) > torch.tensor(places)[:, None]
    hidden = (owner != answer[:, None]) | later
    return Rows(numbers, places, branches, hidden[:, None].to(device))
