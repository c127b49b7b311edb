"""From a model and labelled pictures to its head map: sample answers, label boxes by IoU, keep the heads that differ.

Resumable: every finished picture is one compressed file of the work folder, and another start does only the rest.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from PIL.Image import Image

from glintbox.analysis.heads import find_heads
from glintbox.analysis.separation import label
from glintbox.artifacts import cache_folder, write_whole
from glintbox.boxes import Size
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.images import open_image
from glintbox.lvlm.api import LVLM
from glintbox.records import (
    CandidateSet,
    HeadMap,
    Labelled,
    Sample,
    Sampling,
    Selector,
    Setting,
    Watch,
    from_json,
    to_json,
)
from glintbox.selectors import selector

Tick = Callable[[], None]
"""Called once per finished picture."""


def calibrate(
    lvlm: LVLM, samples: Sequence[Sample], *, sampling: Sampling, work: Path, data: str, n: int = 3, tick: Tick
) -> HeadMap:
    """The n heads per coordinate whose entropy separates good boxes from poor ones (ΔH, by IoU labels alone).

    Raises:
        BadInput: too few good or poor boxes to compare, or a work folder of other settings.
    """
    watch = Watch()
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view=watch.view, moment=watch.moment)
    again = partial(labelled_sets, lvlm, samples, sampling=sampling, setting=setting, work=work)
    found = find_heads(again(tick=tick), n=n, setting=setting, data=data)
    rivals = [selector("acs-free", headmap=found), selector("consensus")]
    hits = [[_hit(case, rival) for rival in rivals] for case in again(tick=lambda: None)]
    acs_free, consensus = (fmean(column) for column in zip(*hits, strict=True))
    assert found.calibration is not None  # find_heads always says how
    return replace(found, calibration=replace(found.calibration, acs_free=acs_free, consensus=consensus))


def _hit(case: Labelled, by: Selector) -> bool:
    """Whether the chosen candidate has IoU >= 0.5; no candidate is no hit."""
    chosen = by.choose(case.found)
    return bool(chosen) and chosen[0].candidate is not None and bool(case.iou[chosen[0].candidate] >= 0.5)


def labelled_sets(
    lvlm: LVLM, samples: Sequence[Sample], *, sampling: Sampling, setting: Setting, work: Path, tick: Tick
) -> Iterator[Labelled]:
    """One labelled set per sample, in order: its answers come from the work folder, or are made and kept there.

    Raises:
        BadInput: kept answers of another setting, sampling, query or picture; a picture of another size than annotated.
    """
    missing = [sample for sample in samples if not _file(work, sample).is_file()]
    made = _made(lvlm, missing, sampling=sampling, setting=setting, work=work)
    todo = {sample.id for sample in missing}  # decided once: another process may fill the same folder
    for sample in samples:
        found = next(made) if sample.id in todo else _kept(_file(work, sample))
        if found.setting != setting or found.sampling != sampling:
            raise BadInput(f"{work} holds answers of another setting or sampling; remove it or name another --work")
        if found.query != sample.query or found.image != sample.size:
            raise BadInput(
                f"expected case {sample.id} of {work} to be {sample.query!r} in a picture of {sample.size}, "
                f"got {found.query!r} in {found.image}; it is of other data: name another --work"
            )
        tick()
        yield label(found, sample.truth)


def work_folder(setting: Setting, sampling: Sampling, data: Path) -> Path:
    """Where the answers to some data are kept by default: one folder of the user's cache per data and sampling."""
    made_of = hashlib.sha256(data.read_bytes() + to_json(sampling).encode()).hexdigest()
    return cache_folder(setting) / "answers" / f"{data.stem}-{made_of[:8]}"


def _made(
    lvlm: LVLM, samples: Sequence[Sample], *, sampling: Sampling, setting: Setting, work: Path
) -> Iterator[CandidateSet]:
    watch = Watch(view=setting.view, moment=setting.moment)
    prompts = (lvlm.prompt(_opened(s), s.query, id=s.id, text=setting.prompt) for s in samples)
    for sample, answered in zip(samples, lvlm.answer(prompts, sampling, watch), strict=True):
        found = candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)
        text = to_json(found)
        try:
            write_whole(_file(work, sample), gzip.compress(text.encode(), 1))
        except OSError as error:
            raise BadInput(
                f"could not keep case {sample.id} in {work}: {error}; "
                "finished cases are kept, make room and run again to go on"
            ) from error
        yield from_json(CandidateSet, text)  # what a resumed run would read, to the last digit


def _kept(path: Path) -> CandidateSet:
    return from_json(CandidateSet, gzip.decompress(path.read_bytes()))


def _opened(sample: Sample) -> Image:
    """The picture, upright; one of another size than annotated would make every label wrong."""
    image = open_image(sample.image)
    if Size(*image.size) != sample.size:
        raise BadInput(
            f"expected {sample.image} to be {sample.size.width}x{sample.size.height} as annotated, got "
            f"{image.width}x{image.height} upright; use the pictures that the boxes were drawn on"
        )
    return image


def _file(work: Path, sample: Sample) -> Path:
    return work / f"{sample.id}.json.gz"
