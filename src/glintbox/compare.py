"""Several ways to choose among the same answers, and rivals that need none: cases and a model → Judged and Cost.

Every answer is kept in a store as soon as it is there: another start draws only what is missing, several processes
fill one folder, and another selector costs nothing, unless it is the first one that needs attention maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from statistics import fmean, median
from time import perf_counter, process_time
from typing import NamedTuple

import torch

from glintbox.artifacts import cache_folder
from glintbox.boxes import Box
from glintbox.calibrate import kept_sets, work_folder
from glintbox.collect import Tick, candidate_set, fill
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, Case, Cost, Judged, judged
from glintbox.evaluate_many import JudgedMany, judge_many
from glintbox.ground import grounding
from glintbox.images import open_image
from glintbox.localize import METHOD as LOCALIZATION
from glintbox.looks import kept_looks, look, unwritten
from glintbox.lvlm.api import LVLM
from glintbox.records import (
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    Sample,
    Sampling,
    ScoredBox,
    Selector,
    Setting,
    T,
    Watch,
)
from glintbox.rivals import Ask, Asked, Question, alone, rival_answers
from glintbox.selectors import selector
from glintbox.store import StoreCard, StoreWriter

TIMED = 20
"""Cases on which costs are measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked about every case, who chooses, and where the answers are kept.

    selectors: by the name to show, None = greedy's first box. asks: rivals by name. data: a name that tells the content
    of the data. work: None = the user's cache. Answers with maps are kept apart from those without.
    """

    setting: Setting
    samplings: tuple[Sampling, ...]
    selectors: Mapping[str, Selector | None]
    asks: Mapping[str, Ask]
    data: str
    work: Path | None = None

    @property
    def looks(self) -> HeadMap | None:
        """The localization heads that some method looks through."""
        return next((by.looks for by in self.selectors.values() if by and by.looks), None)

    @property
    def writes(self) -> bool:
        """Whether some method needs answers."""
        return any(name != LOCALIZATION for name in self.selectors)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads whose maps the selectors need, layer by layer."""
        needs = (by.needs for by in self.selectors.values() if by)
        return tuple(sorted({head for need in needs if need and need.maps for head in need.heads or ()}))

    def card(self, sampling: Sampling) -> StoreCard:
        """What the kept answers of one sampling have in common."""
        return StoreCard(self.setting, sampling, self.data, self.heads)

    def folder(self, sampling: Sampling) -> Path:
        """Where answers of one sampling are kept."""
        if self.work is None:
            return work_folder(self.card(sampling))
        maps = f"-maps-{hashlib.sha256(repr(self.heads).encode()).hexdigest()[:8]}" if self.heads else ""
        return self.work / f"n{sampling.n}-t{sampling.temperature:g}-seed{sampling.seed}{maps}"

    @property
    def apart(self) -> Path:
        """Where lies what does not depend on how samples are drawn: rivals' answers, looks of localization heads."""
        return self.work or cache_folder(self.setting) / "answers" / self.data

    def rivals(self) -> Path:
        """Where answers of the rivals are kept."""
        return self.apart / "rivals"

    def steps(self, cases: int) -> int:
        """How often `collect` ticks."""
        return cases * (self.writes + bool(self.asks) + bool(self.looks))


def share_of(samples: Sequence[T], shard: str) -> Sequence[T]:
    """The part i of k ("1/2", "2/2") of the cases, in one piece, so that queries on one picture stay together.

    Raises:
        BadInput: no such part.
    """
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise BadInput(f"expected a shard like 1/2 or 2/2, got {shard!r}")
    i, k = int(part), int(parts)
    return samples[(i - 1) * len(samples) // k : i * len(samples) // k]


def collect(lvlm: LVLM, samples: Sequence[Sample], plan: Plan, *, tick: Tick) -> None:
    """Draw and keep what is missing of the answers to some cases; errors as in `compare`."""
    if plan.looks:
        look(lvlm, samples, plan.looks, data=plan.data, work=plan.apart, tick=tick)
    if plan.writes:
        with ExitStack() as stack:
            writers = [stack.enter_context(StoreWriter(plan.folder(one), plan.card(one))) for one in plan.samplings]
            fill(lvlm, samples, *writers, tick=tick)
    _rivals(lvlm, samples, plan, tick)


def kept(samples: Sequence[Sample], plan: Plan, sampling: Sampling) -> Iterator[CandidateSet]:
    """What the methods choose from, when all is collected: the answers to each case, and what was looked at.

    Raises:
        BadInput: a case that is not there, or that is of another query or picture.
    """
    sets = (
        (one.found for one in kept_sets(samples, plan.folder(sampling)))
        if plan.writes
        else (unwritten(sample, plan.setting) for sample in samples)
    )
    looks = kept_looks(samples, plan.looks, work=plan.apart) if plan.looks else repeat(None)
    return (replace(found, text_map=looked) for found, looked in zip(sets, looks, strict=False))


def compare(
    lvlm: LVLM, samples: Sequence[Sample], plan: Plan, *, tick: Tick, chosen: Tick = lambda: None
) -> list[Judged]:
    """Judge every selector and rival at each temperature, on the same answers.

    tick: as in `collect`; chosen: called when all selectors have chosen for a case at one temperature.

    Raises:
        BadInput: kept answers of another setting, sampling or data; a picture of another size than annotated.
        UnreadableImage, OutOfMemory: a picture cannot be opened or does not fit.
    """
    collect(lvlm, samples, plan, tick=tick)
    asked = _rivals(lvlm, samples, plan, lambda: None)
    methods: list[Judged] = []
    for sampling in plan.samplings:
        cases: dict[str, list[Case]] = {name: [] for name in (*plan.selectors, *plan.asks)}
        for k, (sample, found) in enumerate(zip(samples, kept(samples, plan, sampling), strict=True)):
            for name, by in plan.selectors.items():
                cases[name].append(judged(sample, selected(found, by)))
            for name in plan.asks:
                cases[name].append(judged_answer(sample, found, name, asked[k][name]))
            chosen()
        methods += [Judged(name, sampling.temperature, tuple(found)) for name, found in cases.items()]
    return methods


def compare_many(
    lvlm: LVLM, samples: Sequence[Sample], plan: Plan, *, tick: Tick, chosen: Tick = lambda: None
) -> list[JudgedMany]:
    """Judge greedy and every selector at each temperature where several objects are wanted.

    The selectors of the plan were made with `multiple`; greedy is always among the methods, and there are no rivals.
    Ticks and errors as in `compare`.
    """

    def answered(sampling: Sampling) -> Iterator[tuple[Sample, CandidateSet]]:
        for sample, found in zip(samples, kept(samples, plan, sampling), strict=True):
            yield sample, found
            chosen()

    collect(lvlm, samples, plan, tick=tick)
    selectors = {name: by for name, by in plan.selectors.items() if by}
    return [judged for sampling in plan.samplings for judged in judge_many(answered(sampling), selectors)]


def _rivals(lvlm: LVLM, samples: Sequence[Sample], plan: Plan, tick: Tick) -> list[dict[str, Asked]]:
    asked = []
    if plan.asks:
        for said in rival_answers(lvlm, samples, plan.asks, setting=plan.setting, work=plan.rivals()):
            asked.append(said)
            tick()
    return asked


def selected(found: CandidateSet, by: Selector | None) -> Grounding:
    """What a method chooses: None is greedy's first box."""
    return grounding(found, by) if by else _with_box(found, GREEDY, _greedy(found)[:1])


def judged_answer(sample: Sample, found: CandidateSet, name: str, said: Asked) -> Case:
    """What a rival said, judged beside the answers to the same case."""
    case = judged(sample, _with_box(found, name, (said.box,) if said.box else ()))
    return replace(case, unreadable=float(said.unreadable))


def _with_box(found: CandidateSet, method: str, boxes: Sequence[Box]) -> Grounding:
    """A result that did not come from a selector, beside the answers to the same case."""
    scored = tuple(ScoredBox(box, None, None) for box in boxes)
    return Grounding(found.id, method, "none", scored, _greedy(found), found)


def _greedy(found: CandidateSet) -> tuple[Box, ...]:
    return tuple(c.box for c in found.candidates if found.responses[c.response].source == "greedy")


def costs(lvlm: LVLM, samples: Sequence[Sample], plan: Plan) -> list[Cost]:
    """What greedy alone, N samples with their attention read and a box chosen, and each rival take.

    Measured anew on the first `TIMED` cases, in turn on each, so that other work on the machine slows all of them.
    """
    sampling = plan.samplings[0]
    name, by = next(((name, by) for name, by in plan.selectors.items() if by), ("consensus", selector("consensus")))
    rows: dict[str, list[Taken]] = {}
    for sample in [*samples[:1], *samples[:TIMED]]:  # the first one twice: it warms up
        question = Question(sample.id, open_image(sample.image), sample.query, plan.setting)
        first, took = _timed(alone, lvlm, question)
        rows.setdefault(GREEDY, []).append(Taken(1, first.image_tokens, 1, took))
        _, seconds = _timed(_chosen, lvlm, question, plan.card(sampling), by)
        told = f"{sampling.n} samples, {name}"
        rows.setdefault(told, []).append(Taken(1, first.image_tokens, sampling.n + 1, seconds))
        for rival, ask in plan.asks.items():
            said, seconds = _timed(ask, question, first)
            seconds += took if said is first or said.prompts > 1 else 0.0  # greedy's answer is a part of it
            rows.setdefault(rival, []).append(Taken(said.prompts, said.image_tokens, said.prompts, seconds))
    return [_cost(method, taken[1:]) for method, taken in rows.items()]


class Taken(NamedTuple):
    """What one case took."""

    prompts: int
    image_tokens: int
    answers: int
    seconds: float


def _cost(method: str, taken: Sequence[Taken]) -> Cost:
    prompts, tokens, answers, seconds = zip(*taken, strict=True)
    return Cost(method, fmean(prompts), fmean(tokens), fmean(answers), median(seconds))


def _timed(work: Callable[..., T], *given: object) -> tuple[T, float]:
    """What came of it and its seconds: of the wall where a GPU works, else of this process alone."""
    clock = perf_counter if torch.cuda.is_available() else process_time
    began = clock()
    return work(*given), clock() - began


def _chosen(lvlm: LVLM, question: Question, card: StoreCard, by: Selector) -> tuple[ScoredBox, ...]:
    setting, sampling = question.setting, card.sampling
    watch = Watch(view=setting.view, moment=setting.moment)
    prompt = lvlm.prompt(question.image, question.query, id=question.id, text=setting.prompt)
    [found] = [
        candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch, keep=card.heads)
        for answered in lvlm.answer([prompt], sampling, watch)
    ]
    return by.choose(found)
