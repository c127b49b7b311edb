"""The records that everything exchanges: frozen, plain, JSON in and out. No plotting, saving or loading on them.

Pixels are of the original EXIF-turned image; heads and layers count from 0; attention is a share, entropy in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PlainSerializer, PlainValidator, TypeAdapter
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.geometry import CoordFrame, TokenGrid

Moment = Literal["predicting", "predicted"]
"""Which query's row is read: the one that predicts a coordinate's first token, or that token itself (docs/acs.md 1)."""

Reading = Literal["boxes", "none", "unreadable"]
"""What an answer's text is: it holds boxes, it says there are none, or nothing can be read from it."""

Coord = Literal["x1", "y1", "x2", "y2"]
COORDS: tuple[Coord, Coord, Coord, Coord] = ("x1", "y1", "x2", "y2")

T = TypeVar("T")


def _tensor(value: Any) -> Tensor:
    """Nested lists as float32; JSON has no NaN, so it stands there as null."""
    return value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=np.float32))


_AsList = (
    PlainValidator(_tensor),
    PlainSerializer(lambda tensor: tensor.double().round(decimals=6).tolist(), return_type=list),
)


class Head(NamedTuple):
    """One attention head; prints L14H24."""

    layer: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of a head

    def __str__(self) -> str:
        return f"L{self.layer}H{self.index}"


class Site(NamedTuple):
    """Where a row is read: token `token` of response `response`; response -1 is the prompt."""

    response: int
    token: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Under which an artefact was made; two artefacts mix only if their settings are equal."""

    model: str
    revision: str
    model_type: str
    prompt: str
    view: str
    pixels: str
    moment: Moment = "predicting"


@dataclass(frozen=True, slots=True)
class Watch:
    """What a selector needs read: which heads (None = all usable), in which view, at which moment."""

    heads: tuple[Head, ...] | None = None
    view: str = "default"
    moment: Moment = "predicting"
    maps: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn; always explicit, nothing leaks in from a checkpoint's own defaults (docs/acs.md 36)."""

    n: int = 10
    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 100
    seed: int = 0
    max_new_tokens: int = 512
    greedy_too: bool = True

    def __post_init__(self) -> None:
        if self.n < 1:
            raise BadInput(f"expected n >= 1 sampled answers, got {self.n}")
        if not 0 <= self.temperature < math.inf:
            raise BadInput(f"expected a temperature >= 0, got {self.temperature}")
        if self.temperature == 0 and self.n > 1:
            raise BadInput(f"temperature 0 draws the same answer {self.n} times; use n=1 or a temperature above 0")
        if not 0 < self.top_p <= 1:
            raise BadInput(f"expected 0 < top_p <= 1, got {self.top_p}")
        if self.top_k < 0 or self.max_new_tokens < 1:
            raise BadInput(
                f"expected top_k >= 0 (0 = off) and max_new_tokens >= 1, got {self.top_k} and {self.max_new_tokens}"
            )


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
    entropy: Annotated[Float[Tensor, "candidate coord=4 head"], *_AsList]
    share: Annotated[Float[Tensor, "candidate coord=4 head"], *_AsList]


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """Attention shares, not normalised, per candidate and coordinate; head order is channel order."""

    heads: tuple[Head, ...]
    grid: TokenGrid
    values: Annotated[Float[Tensor, "candidate coord=4 head row col"], *_AsList]


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """What was written for one image and query, and the attention while writing. Greedy is kept apart by its source.

    maps are for pictures and regressors and are left out of JSON (None when read back).
    timing: seconds by stage. notes: what a user should know, e.g. that samples were drawn in halves.
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


@dataclass(frozen=True, slots=True)
class Labelled:
    """A set with the best IoU of each candidate with any true box; food of training and analysis."""

    found: CandidateSet
    iou: Annotated[Float[Tensor, " candidate"], *_AsList]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a HeadMap was found: data, counts of candidates per IoU group, thresholds, ΔH in nats of each chosen head.

    acs_free, consensus: Acc@0.5 of both selectors on the same cases. The heads were chosen on them, so a head map that
    loses there will not win elsewhere. ids: the cases (of scenes "SEED-CATEGORY"); sampling: how they were answered.
    """

    data: str
    high: int
    low: int
    tau_high: float
    tau_low: float
    delta: Mapping[Coord, tuple[float, ...]]
    acs_free: float | None = None
    consensus: float | None = None
    sampling: Sampling | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadMap:
    """The discriminative heads per coordinate (the paper's D_c), best first, and the setting they hold for."""

    setting: Setting
    made_by: str
    heads: Mapping[Coord, tuple[Head, ...]]
    calibration: Calibration | None = None
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class HeadSeparation:
    """How well each head's entropy tells `low` poor boxes from `high` good ones: ΔH (nats), AUC (0.5 = not at all)."""

    setting: Setting
    data: str
    high: int
    low: int
    heads: tuple[Head, ...]
    delta: Annotated[Float[Tensor, "coord=4 head"], *_AsList]
    auc: Annotated[Float[Tensor, "coord=4 head"], *_AsList]
    schema_version: int = 1


class ScoredBox(NamedTuple):
    """A chosen box; score is None where the method gives none; candidate is None where the box was invented."""

    box: Box
    score: float | None
    candidate: int | None


@dataclass(frozen=True, slots=True)
class Grounding:
    """The only result: boxes best first (empty = not found), how they were chosen, and everything they came from."""

    id: str
    method: str
    score_kind: Literal["iou", "rank", "agreement", "none"]
    boxes: tuple[ScoredBox, ...]
    greedy: tuple[Box, ...]
    found: CandidateSet


@dataclass(frozen=True, slots=True)
class Selector:
    """A way to choose: what it needs read and a pure function from a set to boxes, best first."""

    name: str
    choose: Callable[[CandidateSet], tuple[ScoredBox, ...]]
    score_kind: Literal["iou", "rank", "agreement", "none"] = "none"
    needs: Watch | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One case of a dataset: a picture, a query and every true box of it (px)."""

    id: str
    image: Path
    size: Size
    query: str
    truth: tuple[Box, ...]


def to_json(record: object, *, indent: int | None = None) -> str:
    """Any record above as JSON text; `from_json` is its inverse but for attention maps."""
    return _adapter(type(record)).dump_json(record, indent=indent).decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a record of `kind` back; raises pydantic.ValidationError with the offending field."""
    found: T = _adapter(kind).validate_json(text)
    return found


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # making one takes longer than using it


def sampled(found: CandidateSet) -> tuple[int, ...]:
    """Indices of the candidates that were sampled or given; greedy's own boxes are never mixed into a selection."""
    return tuple(i for i, c in enumerate(found.candidates) if found.responses[c.response].source != "greedy")
