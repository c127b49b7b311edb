"""From a model and labelled pictures to its head map: sample answers, label boxes by IoU, keep the heads that differ.

Resumable: every finished picture is one compressed file of the work folder, and another start does only the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from PIL.Image import Image
from pydantic import ValidationError

from glintbox.analysis.heads import find_heads
from glintbox.analysis.separation import label, separation
from glintbox.artifacts import cache_folder, write_whole
from glintbox.boxes import Size
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.images import open_image
from glintbox.lvlm.api import LVLM
from glintbox.records import (
    CandidateSet,
    HeadMap,
    HeadSeparation,
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


class Calibrated(NamedTuple):
    """The heads that were chosen, and how well all of them separate."""

    heads: HeadMap
    separation: HeadSeparation


def calibrate(
    lvlm: LVLM, samples: Sequence[Sample], *, sampling: Sampling, work: Path, data: str, n: int = 3, tick: Tick
) -> Calibrated:
    """The n heads per coordinate whose entropy separates good boxes from poor ones (ΔH, by IoU labels alone).

    data: what the samples are, in words; their ids are written into the head map beside it.

    Raises:
        BadInput: too few good or poor boxes to compare, or a work folder of other settings.
    """
    watch = Watch()
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view=watch.view, moment=watch.moment)
    again = partial(labelled_sets, lvlm, samples, sampling=sampling, setting=setting, work=work)
    found = separation(again(tick=tick))
    heads = find_heads(found, setting=setting, data=data, n=n)
    rivals = [selector("acs-free", headmap=heads), selector("consensus")]
    hits = [[_hit(case, rival) for rival in rivals] for case in again(tick=lambda: None)]
    acs_free, consensus = (fmean(column) for column in zip(*hits, strict=True))
    assert heads.calibration is not None  # find_heads always says how
    ids = tuple(sample.id for sample in samples)
    made = replace(heads.calibration, acs_free=acs_free, consensus=consensus, sampling=sampling, ids=ids)
    all_heads = HeadSeparation(setting, data, made.high, made.low, found.heads, found.delta, found.auc)
    return Calibrated(replace(heads, calibration=made), all_heads)


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


def work_folder(setting: Setting, sampling: Sampling, data: str) -> Path:
    """Where answers are kept by default: a folder of the user's cache per setting, data (its `data_name`), sampling."""
    made_of = hashlib.sha256(to_json(sampling).encode()).hexdigest()
    return cache_folder(setting) / "answers" / f"{data}-{made_of[:8]}"


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
    try:
        return from_json(CandidateSet, gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise BadInput(
            f"expected kept answers in {path}, got {str(error).splitlines()[0]}; remove the file and run again"
        ) from error


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
