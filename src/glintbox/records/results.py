"""A case, how to choose, and what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.records.answers import CandidateSet
from glintbox.records.headmaps import HeadMap
from glintbox.records.setting import Watch


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask of a picture of `size`: COCO's run lengths down the columns, left to right; background first."""

    size: Size
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if sum(self.counts) != self.size.width * self.size.height or min(self.counts, default=0) < 0:
            raise BadInput(
                f"expected run lengths >= 0 that fill {self.size.width}x{self.size.height} px, got {len(self.counts)} "
                f"of them for {sum(self.counts)} px; encode the mask of the whole picture"
            )


class ScoredBox(NamedTuple):
    """A chosen box; score is None where the method gives none; candidate is None where the box was invented.

    label: the words that it is of, where the query names several things.
    """

    box: Box
    score: float | None
    candidate: int | None
    mask: Rle | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Grounding:
    """The only result: boxes best first (empty = not found), how they were chosen, and everything they came from.

    Boxes with labels stand in the order of the query's words.
    """

    id: str
    method: str
    score_kind: Literal["iou", "rank", "agreement", "share", "none"]
    boxes: tuple[ScoredBox, ...]
    greedy: tuple[Box, ...]
    found: CandidateSet


@dataclass(frozen=True, slots=True)
class Selector:
    """A way to choose: what it needs read and a pure function from a set to boxes, best first.

    looks: localization heads whose text map the set must carry.
    """

    name: str
    choose: Callable[[CandidateSet], tuple[ScoredBox, ...]]
    score_kind: Literal["iou", "rank", "agreement", "share", "none"] = "none"
    needs: Watch | None = None
    looks: HeadMap | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One case of a dataset: a picture, a query and every true box of it (px).

    mask: of the one true object, where the dataset has it.
    """

    id: str
    image: Path
    size: Size
    query: str
    truth: tuple[Box, ...]
    mask: Rle | None = None
