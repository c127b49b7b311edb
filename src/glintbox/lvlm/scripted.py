"""ScriptedLVLM: canned answers and made-up attention behind the real protocol, for tests and examples; no weights.

Some heads look at what is true: the closer a written box is to the true one, the sharper. The others look anywhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Literal

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from glintbox.boxes import Box, Size, iou
from glintbox.errors import BadInput, Closed, UnknownName
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.records import Head, Response, Sampling, Site, Watch

LAYERS, HEADS = 4, 3
SHARP = (Head(1, 0), Head(2, 1), Head(2, 2), Head(3, 0))
"""The heads that look at the truth."""

WRITTEN = re.compile(r"\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]")


@dataclass(frozen=True, slots=True)
class Script:
    """What is answered to one query: greedy's text, the sampled texts (repeated as needed), the true box (px)."""

    greedy: str
    sampled: tuple[str, ...]
    truth: Box

    def __post_init__(self) -> None:
        if not self.sampled:
            raise BadInput("expected at least one sampled text in a script, got none")


class ScriptedLVLM:
    """Answers each query of `scripts` with its texts; boxes are written as [x1, y1, x2, y2] in 0..1000.

    One token is one character, its id the code point. The image has rows x cols tokens.
    """

    default_prompt = "scripted"

    def __init__(self, scripts: Mapping[str, Script], *, rows: int = 6, cols: int = 8) -> None:
        if rows < 1 or cols < 1:
            raise BadInput(f"expected a grid of at least 1 x 1 cells, got {rows} x {cols}")
        self._scripts = dict(scripts)
        self._rows, self._cols = rows, cols
        self.card = ModelCard(
            id="scripted",
            revision="1",
            model_type="scripted",
            layers=LAYERS,
            heads=HEADS,
            usable=tuple(range(LAYERS)),
            excluded={},
            views=("default",),
            pixels=f"rows={rows} cols={cols}",
        )

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """The image's cells as leading tokens, then the query's characters.

        Raises:
            UnknownName: a query without a script, or a prompt text other than "scripted" and those of expressions.
        """
        if query not in self._scripts:
            raise UnknownName("query", query, self._scripts)
        if text not in (None, *(known := (self.default_prompt, "expression", "expression-as-given"))):
            raise UnknownName("prompt", str(text), known)
        size, cells = Size(*image.size), self._rows * self._cols
        whole = Box.whole(size)
        return Prompt(
            id=id,
            image=size,
            query=query,
            ids=torch.tensor([0] * cells + [ord(c) for c in query]),
            tensors={},
            shared=cells,
            said=range(cells, cells + len(query)),
            frame=CoordFrame(Size(1000, 1000), whole),
            views={"default": View(torch.arange(cells), TokenGrid(self._rows, self._cols, whole))},
            fingerprint=hashlib.sha256(image.tobytes()).hexdigest(),
            spans=tuple((k, k + 1) for k in range(len(query))),
        )

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[_Answered]:
        """Greedy's text first, if wanted, then `sampling.n` of the sampled texts, cut at `sampling.max_new_tokens`."""
        for prompt in prompts:
            script = self._scripts[prompt.query]
            greedy = [self._response(prompt, script.greedy, "greedy", sampling)] if sampling.greedy_too else []
            texts = islice(cycle(script.sampled), sampling.n)
            drawn = [self._response(prompt, text, "sampled", sampling) for text in texts]
            yield from self._opened(prompt, (*greedy, *drawn), watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[_Answered, ...]]:
        """Each sampling's answers, one after the other."""
        for prompt in prompts:
            apart = [self.answer([prompt], sampling, watch) for sampling in samplings]
            yield tuple(next(answers) for answers in apart)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[_Answered]:
        """The given responses as they are; their attention is what live reading would give for the same text."""
        for prompt, responses in told:
            yield from self._opened(prompt, responses, watch)

    def _opened(self, prompt: Prompt, responses: tuple[Response, ...], watch: Watch | None) -> Iterator[_Answered]:
        answered = _Answered(prompt, responses, self._scripts[prompt.query].truth, self.card, watch)
        try:
            yield answered
        finally:
            answered.open = False

    def _response(
        self, prompt: Prompt, text: str, source: Literal["greedy", "sampled"], sampling: Sampling
    ) -> Response:
        kept = text[: sampling.max_new_tokens]
        spans = tuple((k, k + 1) for k in range(len(kept)))
        truth = self._scripts[prompt.query].truth
        quality = [_quality(prompt, kept, span, truth) for span in spans]
        doubt = tuple(0.0 if good is None else 1 - good for good in quality)
        return Response(kept, source, "stop" if kept == text else "length", tuple(map(ord, kept)), spans, doubt)


@dataclass
class _Answered:
    """See api.Answered."""

    prompt: Prompt
    responses: tuple[Response, ...]
    truth: Box
    card: ModelCard
    watch: Watch | None
    open: bool = True
    timing: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """See api.Answered.read."""
        if not self.open:
            raise Closed(
                "expected an open answer, got one whose iterator has moved on; read before asking for the next"
            )
        if watch.view not in self.prompt.views:
            raise UnknownName("view", watch.view, self.prompt.views)
        heads = watch.heads if watch.heads is not None else self.card.all_heads()
        kept = () if self.watch is None else self.card.all_heads() if self.watch.heads is None else self.watch.heads
        if unread := [head for head in heads if head not in kept]:
            raise BadInput(f"expected heads that were watched while answering, got {', '.join(map(str, unread))}")
        grid = self.prompt.views[watch.view].grid
        rows = torch.zeros(len(sites), len(heads), grid.rows, grid.cols)
        for s, site in enumerate(sites):
            for h, head in enumerate(heads):
                rows[s, h] = self._map(site, head, grid)
        return rows

    def _map(self, site: Site, head: Head, grid: TokenGrid) -> Float[Tensor, "row col"]:
        text, span = self._token(site)
        if site.response < 0:
            good = 1.0 if site.token in self.prompt.said else None
        else:
            good = _quality(self.prompt, text, span, self.truth)
        if head in SHARP and good is not None:
            return 0.4 * _bump(grid, self.truth, 0.5 + 3 * (1 - good))
        digest = hashlib.blake2b(f"{self.prompt.query}/{text}/{span}/{head}".encode(), digest_size=7).digest()
        noise = torch.rand(grid.rows, grid.cols, generator=torch.Generator().manual_seed(int.from_bytes(digest, "big")))
        return 0.2 * noise / noise.sum()

    def _token(self, site: Site) -> tuple[str, tuple[int, int]]:
        """The text that a site's token belongs to, and the token's characters in it."""
        texts = ("", *(response.text for response in self.responses))
        spans = (tuple((k, k) for k in range(len(self.prompt.ids))), *(response.spans for response in self.responses))
        if not (-1 <= site.response < len(self.responses) and 0 <= site.token < len(spans[site.response + 1])):
            raise BadInput(f"expected a token of one of {len(self.responses)} responses or of the prompt, got {site}")
        return texts[site.response + 1], spans[site.response + 1][site.token]


def _quality(prompt: Prompt, text: str, span: tuple[int, int], truth: Box) -> float | None:
    """IoU with the truth of the box that the characters `span` are part of; None outside boxes."""
    for found in WRITTEN.finditer(text):
        if found.start() < span[1] and span[0] < found.end():
            box = prompt.frame.box([float(number) for number in found.groups()], prompt.image)
            return None if box is None else iou(box, truth)
    return None


def _bump(grid: TokenGrid, at: Box, width: float) -> Float[Tensor, "row col"]:
    """A Gaussian of `width` cells around the middle of `at` (px); its sum is 1."""
    col = ((at.x1 + at.x2) / 2 - grid.region.x1) / grid.region.width * grid.cols - 0.5
    row = ((at.y1 + at.y2) / 2 - grid.region.y1) / grid.region.height * grid.rows - 0.5
    away = (torch.arange(grid.rows)[:, None] - row) ** 2 + (torch.arange(grid.cols)[None] - col) ** 2
    return (-away / (2 * width**2)).flatten().softmax(0).reshape(grid.rows, grid.cols)
