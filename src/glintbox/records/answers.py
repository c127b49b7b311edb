"""What a model wrote for one picture and query, and the attention while it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import PlainSerializer
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records.serial import AS_LIST
from glintbox.records.setting import Head, Sampling, Setting

Reading = Literal["boxes", "none", "unreadable"]
"""What an answer's text is: it holds boxes, it says there are none, or nothing can be read from it."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    spans: characters [a, b) of `text` that each token of `ids` stands for; they tile the text.
    entropy: of the vocabulary distribution that each token was drawn from, at T=1 before any warping, nats per token.
    """

    text: str
    source: Literal["greedy", "sampled", "given"]
    ended: Literal["stop", "length"]
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    entropy: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One box of one answer.

    written: the four numbers as the model wrote them, in its own units.
    response: index into `CandidateSet.responses`; span: characters of the box in that response's text.
    tokens: for x1 y1 x2 y2 the index of the coordinate's first token in the response; None where unknown.
    """

    box: Box
    written: tuple[float, float, float, float]
    label: str | None
    response: int
    span: tuple[int, int]
    tokens: tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class HeadStats:
    """Per candidate, coordinate and head: entropy (nats) of the normalised map and share of attention on the image."""

    heads: tuple[Head, ...]
    entropy: Annotated[Float[Tensor, "candidate coord=4 head"], *AS_LIST]
    share: Annotated[Float[Tensor, "candidate coord=4 head"], *AS_LIST]


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """Attention shares, not normalised, per candidate and coordinate; head order is channel order."""

    heads: tuple[Head, ...]
    grid: TokenGrid
    values: Annotated[Float[Tensor, "candidate coord=4 head row col"], *AS_LIST]


@dataclass(frozen=True, slots=True)
class TextMaps:
    """Attention shares of the expression's last token on the picture, not normalised, per localization head.

    Unlike the maps of coordinates they are one row of few heads, so they stay in JSON: boxes and overlaps can be had
    from kept results with any smoothing. setting: that of the heads, whose prompt is the expression alone.
    """

    setting: Setting
    heads: tuple[Head, ...]
    grid: TokenGrid
    values: Annotated[Float[Tensor, "head row col"], *AS_LIST]


@dataclass(frozen=True, slots=True)
class SpanMaps:
    """Where localization heads look at the end of one of several spans of an expression.

    span: its characters [a, b) in the query, whose words are `text`. token: of the prompt, whose rows were read.
    """

    text: str
    span: tuple[int, int]
    token: int
    maps: TextMaps


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """What was written for one image and query, and the attention while writing. Greedy is kept apart by its source.

    maps are for pictures and regressors and are left out of JSON (None when read back).
    timing: seconds by stage. notes: what a user should know, e.g. that samples were drawn in halves.
    text_map: where localization heads look, if they were read; span_maps: the same for each of several spans.
    """

    id: str
    image: Size
    query: str
    setting: Setting
    sampling: Sampling
    frame: CoordFrame
    responses: tuple[Response, ...]
    readings: tuple[Reading, ...]
    candidates: tuple[Candidate, ...]
    stats: HeadStats | None = None
    maps: Annotated[AttentionMaps | None, PlainSerializer(lambda _: None)] = None
    timing: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    text_map: TextMaps | None = None
    span_maps: tuple[SpanMaps, ...] = ()


@dataclass(frozen=True, slots=True)
class Labelled:
    """A set with the best IoU of each candidate with any true box; food of training and analysis."""

    found: CandidateSet
    iou: Annotated[Float[Tensor, " candidate"], *AS_LIST]


def sampled(found: CandidateSet) -> tuple[int, ...]:
    """Indices of the candidates that were sampled or given; greedy's own boxes are never mixed into a selection."""
    return tuple(i for i, c in enumerate(found.candidates) if found.responses[c.response].source != "greedy")
