"""Ways to find what an expression means, over the same cases: what is written, what is looked at, masks → judged.

Answers and looks are kept as `compare` keeps them; masks of a mask model case by case.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL.Image import Image
from pydantic import ValidationError

from glintbox.artifacts import write_whole
from glintbox.boxes import Box
from glintbox.collect import Tick, opened
from glintbox.compare import Plan, collect, kept, selected
from glintbox.datasets.referred import Referred
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, Judged, judged
from glintbox.evaluate_refer import ReferCase, ReferMethod, judge_refer
from glintbox.lvlm.api import LVLM
from glintbox.records import Grounding, Rle, Sample, ScoredBox, from_json, to_json

Segment = Callable[[Image, Sequence[Box]], list[Rle]]
"""One mask per box of a picture."""


@dataclass(frozen=True, slots=True)
class ReferPlan:
    """Who chooses from what (one sampling, no rivals), and who makes masks of the boxes: None = nobody.

    masks: the mask model's id, which tells its weights. category: whether everybody is asked for the target's category
    alone too.
    """

    plan: Plan
    segment: Segment | None = None
    masks: str | None = None
    category: bool = True

    @property
    def control(self) -> Plan:
        """The same about categories alone, kept apart."""
        plan = self.plan
        return replace(plan, data=f"{plan.data}-categories", work=plan.work and plan.work / "categories")

    @property
    def mask_folder(self) -> Path:
        """Where masks of this mask model are kept."""
        digest = hashlib.sha256(str(self.masks).encode()).hexdigest()[:8]
        return self.plan.apart / f"masks-{digest}"


def controls(cases: Sequence[Referred]) -> list[Sample | None]:
    """For each expression its category alone as a query; one and the same for all expressions of a picture's category.

    None where the category is not known.
    """
    made: dict[tuple[Path, str], Sample] = {}
    found: list[Sample | None] = []
    for case in cases:
        sample, name = case.sample, case.category
        if name is None:
            found.append(None)
            continue
        id = f"{sample.image.stem}-{re.sub(r'[^A-Za-z0-9]+', '_', name)}"
        found.append(made.setdefault((sample.image, name), replace(sample, id=id, query=name, mask=None)))
    return found


def _once(samples: Sequence[Sample | None]) -> list[Sample]:
    """Each of them once, in order."""
    return list({sample.id: sample for sample in samples if sample is not None}.values())


def collect_refer(lvlm: LVLM, cases: Sequence[Referred], asked: ReferPlan, *, tick: Tick) -> None:
    """Draw, look at and keep what is missing of the cases, and of their categories; errors as in `compare`."""
    collect(lvlm, [case.sample for case in cases], asked.plan, tick=tick)
    if asked.category and (categories := _once(controls(cases))):
        collect(lvlm, categories, asked.control, tick=tick)


def steps_refer(cases: Sequence[Referred], asked: ReferPlan) -> int:
    """How often `collect_refer` ticks."""
    control = asked.control.steps(len(_once(controls(cases)))) if asked.category else 0
    return asked.plan.steps(len(cases)) + control


def compare_refer(
    lvlm: LVLM, cases: Sequence[Referred], asked: ReferPlan, *, tick: Tick, chosen: Tick = lambda: None
) -> tuple[list[ReferMethod], Judged | None]:
    """Judge every method on every expression; beside it the first method against greedy's box, where both are there.

    tick: as in `collect_refer`; chosen: called when all methods have chosen for a case.

    Raises:
        BadInput: kept results of other settings or data, a picture of another size than annotated, a disk that is full.
        UnreadableImage, OutOfMemory: a picture cannot be opened or does not fit.
    """
    collect_refer(lvlm, cases, asked, tick=tick)
    alone = _alone(cases, asked)
    judgements: dict[str, list[ReferCase]] = {name: [] for name in asked.plan.selectors}
    shown = []
    first = next((name for name in asked.plan.selectors if name != GREEDY), None)
    for case, found in zip(cases, _groundings([case.sample for case in cases], asked.plan), strict=True):
        for name, one in _masked(case.sample, found, asked).items():
            judgements[name].append(judge_refer(case, one, alone.get(case.sample.id, {}).get(name)))
        if first and GREEDY in found:
            shown.append(judged(case.sample, replace(found[first], greedy=found[GREEDY].greedy)))
        chosen()
    methods = [ReferMethod(name, tuple(judged_cases)) for name, judged_cases in judgements.items()]
    return methods, Judged(first, asked.plan.samplings[0].temperature, tuple(shown)) if first and shown else None


def _groundings(samples: Sequence[Sample], plan: Plan) -> Iterator[dict[str, Grounding]]:
    """What each method chooses for each case."""
    for found in kept(samples, plan, plan.samplings[0]):
        yield {name: selected(found, by) for name, by in plan.selectors.items()}


Found = Mapping[str, tuple[ScoredBox, ...]]
"""By method its box, or none."""


def _alone(cases: Sequence[Referred], asked: ReferPlan) -> dict[str, Found]:
    """By case what each method finds for its category alone; without those where that is not asked or known."""
    if not asked.category:
        return {}
    told = controls(cases)
    samples = _once(told)
    groundings = _groundings(samples, asked.control) if samples else iter(())
    found = {
        sample.id: {name: one.boxes[:1] for name, one in chosen.items()}
        for sample, chosen in zip(samples, groundings, strict=True)
    }
    return {case.sample.id: found[control.id] for case, control in zip(cases, told, strict=True) if control}


def _masked(sample: Sample, found: Mapping[str, Grounding], asked: ReferPlan) -> dict[str, Grounding]:
    """The results with masks of the mask model, where there is one; each box is shown to it once."""
    if asked.segment is None:
        return dict(found)
    boxes = list(dict.fromkeys(one.box for grounding in found.values() for one in grounding.boxes[:1]))
    masks = _masks(sample, boxes, asked.segment, asked.mask_folder)
    return {
        name: replace(one, boxes=tuple(box._replace(mask=masks[box.box]) for box in one.boxes[:1]))
        for name, one in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Masks:
    """Masks of a case that are kept, and the boxes that they are of."""

    query: str
    boxes: tuple[Box, ...]
    masks: tuple[Rle, ...]


def _masks(sample: Sample, boxes: Sequence[Box], segment: Segment, folder: Path) -> dict[Box, Rle]:
    path = folder / f"{sample.id}.json"
    try:
        there = from_json(_Masks, path.read_bytes()) if path.is_file() else _Masks(sample.query, (), ())
    except ValidationError as error:
        raise BadInput(f"expected kept masks in {path}, got a damaged file; remove it") from error
    if there.query != sample.query:
        raise BadInput(f"{path} is of {there.query!r}, now it is {sample.query!r}; name another --work")
    known = dict(zip(there.boxes, there.masks, strict=True))
    if missing := [box for box in boxes if box not in known]:
        known |= dict(zip(missing, segment(opened(sample), missing), strict=True))
        try:
            write_whole(path, to_json(_Masks(sample.query, tuple(known), tuple(known.values()))).encode())
        except OSError as error:
            raise BadInput(f"could not keep masks in {folder}: {error}; make room and run again to go on") from error
    return known
