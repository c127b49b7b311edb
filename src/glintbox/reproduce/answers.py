"""Answers that were kept, seen anew: the first few of each case, and scores that were computed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, Case, Judged, judged
from glintbox.ground import grounding
from glintbox.records import CandidateSet, HeadStats, Labelled, ScoredBox, Selector
from glintbox.selectors.base import Clusters, chooser, spread
from glintbox.store import CandidateRows, Store, Stored, label


def first(found: CandidateSet, k: int) -> CandidateSet:
    """The set as if only k answers had been sampled: a prefix of its answers (greedy's stays) and of its candidates.

    Sampling does not depend on how many answers are drawn, so these are the answers that n = k would have given.

    Raises:
        BadInput: fewer answers than that, or candidates that are not in the order of their answers.
    """
    drawn = [r for r, response in enumerate(found.responses) if response.source != GREEDY]
    order = [candidate.response for candidate in found.candidates]
    if not 1 <= k <= len(drawn) or order != sorted(order):
        raise BadInput(f"expected {k} or more sampled answers of {found.id!r} in order, got {len(drawn)}")
    end = drawn[k - 1] + 1
    count = sum(response < end for response in order)
    stats, maps = found.stats, found.maps
    return replace(
        found,
        sampling=replace(found.sampling, n=k),
        responses=found.responses[:end],
        readings=found.readings[:end],
        candidates=found.candidates[:count],
        stats=stats and HeadStats(stats.heads, stats.entropy[:count], stats.share[:count]),
        maps=maps and replace(maps, values=maps.values[:count]),
    )


class FirstAnswers(Store):
    """A store of which only the first k answers of each case are seen; reads every case once."""

    def __init__(self, folder: Path, k: int) -> None:
        super().__init__(folder)
        self._k = k

    def __getitem__(self, case: int) -> Stored:
        """A case without maps; errors as in `first`."""
        sample, found = super().__getitem__(case)
        return Stored(sample, first(found, self._k))

    def labelled(self) -> Iterator[Labelled]:
        """As `Store.labelled`."""
        for case in range(len(self)):
            sample, found = self[case]
            yield label(found, sample.truth)

    @cached_property
    def within(self) -> Bool[np.ndarray, " row"]:
        """Which rows of the whole store are of the first k answers."""
        counts = np.array([len(self[case].found.candidates) for case in range(len(self))], dtype=np.int64)
        rows = super().rows
        return np.asarray(rows.candidate < counts[rows.case])

    @property
    def rows(self) -> CandidateRows:
        """The flat table of their candidates."""
        return CandidateRows(*(column[self.within] for column in super().rows))


Predicted = Mapping[str, Float[Tensor, "candidate 2"]]
"""By case: index and predicted IoU of every candidate that has one."""


def by_case(store: Store, predicted: Float32[np.ndarray, " row"]) -> Predicted:
    """Predictions for all `store.rows`, case by case."""
    rows = store.rows
    both = torch.from_numpy(np.stack([rows.candidate, predicted], axis=1))
    return {id: both[rows.case == case] for case, id in enumerate(store.ids)}


def acs_learned(predicted: Predicted, *, multiple: bool | Clusters = False) -> Selector:
    """ACS-Learned by predictions that were computed before; of a set that `first` cut those that are left."""

    def score(found: CandidateSet) -> Float[Tensor, " candidate"]:
        own = predicted[found.id]
        left = own[own[:, 0] < len(found.candidates)]
        return spread(found, tuple(left[:, 0].long().tolist()), left[:, 1])

    return Selector("acs-learned", chooser(multiple)(score), "iou")


def _greedy(found: CandidateSet) -> tuple[ScoredBox, ...]:
    boxes = (k for k, c in enumerate(found.candidates) if found.responses[c.response].source == GREEDY)
    return tuple(ScoredBox(found.candidates[k].box, None, k) for k in boxes)[:1]


GREEDY_FIRST = Selector(GREEDY, _greedy)
"""Greedy's first box (docs/acs.md 25)."""


def judge(
    store: Store,
    selectors: Mapping[str, Selector],
    counts: Sequence[int],
    *,
    tick: Callable[[int], None] = lambda done: None,
) -> dict[int, list[Judged]]:
    """Judge selectors on the first k answers of every case, for each k; one pass over the store."""
    cases: dict[tuple[int, str], list[Case]] = {(k, name): [] for k in counts for name in selectors}
    for number in range(len(store)):
        sample, found = store[number]
        for k in counts:
            cut = first(found, k)
            for name, by in selectors.items():
                cases[k, name].append(judged(sample, grounding(cut, by)))
        tick(1)
    temperature = store.card.sampling.temperature
    return {k: [Judged(name, temperature, tuple(cases[k, name])) for name in selectors] for k in counts}
