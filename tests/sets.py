"""Small candidate sets for tests of what works on records: 100 x 60 px, written in 0..1000 over each axis."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Response,
    Sampling,
    ScoredBox,
    Setting,
)

IMAGE = Size(100, 60)
FRAME = CoordFrame(Size(1000, 1000), Box.whole(IMAGE))
SETTING = Setting("tiny", "main", "qwen3_vl", "short", "default", "min=1 max=9")
HEADS = (Head(0, 1), Head(2, 0), Head(2, 3))

Corners = tuple[float, float, float, float]


def a_set(
    *sampled: Sequence[Corners],
    greedy: Sequence[Corners] | None = None,
    id: str = "a",
    seed: int = 0,
    doubts: Sequence[float] | None = None,
) -> CandidateSet:
    """One response per argument, each a list of boxes (px); greedy's comes first where there is one.

    doubts: per response the vocabulary entropy of each of its tokens.
    """
    answers = [*([("greedy", greedy)] if greedy is not None else []), *(("sampled", boxes) for boxes in sampled)]
    responses, candidates = [], []
    for r, (source, boxes) in enumerate(answers):
        length = 4 * len(boxes)
        entropy = tuple([doubts[r]] * length) if doubts else None
        spans = tuple((k, k + 1) for k in range(length))
        responses.append(Response("#" * length, source, "stop", (0,) * length, spans, entropy))  # type: ignore[arg-type]
        for b, corners in enumerate(boxes):
            box, first = Box(*corners), 4 * b
            tokens = (first, first + 1, first + 2, first + 3)
            candidates.append(Candidate(box, FRAME.written(box), None, r, (first, first + 4), tokens))
    return CandidateSet(
        id=id,
        image=IMAGE,
        query="cup",
        setting=SETTING,
        sampling=Sampling(n=max(1, len(sampled)), seed=seed),
        frame=FRAME,
        responses=tuple(responses),
        readings=tuple("boxes" if boxes else "none" for _, boxes in answers),
        candidates=tuple(candidates),
    )


def with_entropy(found: CandidateSet, entropy: Float[Tensor, "candidate coord=4 head"]) -> CandidateSet:
    return replace(found, stats=HeadStats(HEADS[: entropy.shape[2]], entropy, torch.zeros_like(entropy)))


def with_maps(found: CandidateSet, values: Float[Tensor, "candidate coord=4 head row col"]) -> CandidateSet:
    rows, cols = values.shape[-2:]
    return replace(found, maps=AttentionMaps(HEADS[: values.shape[2]], TokenGrid(rows, cols, Box.whole(IMAGE)), values))


def permuted(found: CandidateSet, order: Sequence[int]) -> CandidateSet:
    """The same set with its candidates stored in another order."""
    stats, maps, places = found.stats, found.maps, list(order)
    return replace(
        found,
        candidates=tuple(found.candidates[i] for i in order),
        stats=stats and replace(stats, entropy=stats.entropy[places], share=stats.share[places]),
        maps=maps and replace(maps, values=maps.values[places]),
    )


def boxes_of(chosen: Sequence[ScoredBox]) -> list[Corners]:
    return [tuple(scored.box) for scored in chosen]  # type: ignore[misc]  # a box has four corners
