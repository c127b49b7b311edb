"""Under which an artefact was made, and what is asked of a model: heads, places to read, sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from glintbox.errors import BadInput

Moment = Literal["predicting", "predicted"]
"""Which query's row is read: the one that predicts a coordinate's first token, or that token itself (docs/acs.md 1)."""


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
