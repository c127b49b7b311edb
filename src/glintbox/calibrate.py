"""From a model and labelled pictures to its head map: sample answers, label boxes by IoU, keep the heads that differ.

Resumable: every finished picture is one compressed file of the work folder, and another start does only the rest.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from glintbox.analysis.heads import find_heads
from glintbox.analysis.separation import label
from glintbox.artifacts import write_whole
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.images import open_image
from glintbox.lvlm.api import LVLM
from glintbox.records import HeadMap, Labelled, Sample, Sampling, Setting, Watch, from_json, to_json

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
    labelled = labelled_sets(lvlm, samples, sampling=sampling, setting=setting, work=work, tick=tick)
    return find_heads(labelled, n=n, setting=setting, data=data)


def labelled_sets(
    lvlm: LVLM, samples: Sequence[Sample], *, sampling: Sampling, setting: Setting, work: Path, tick: Tick
) -> Iterator[Labelled]:
    """One labelled set per sample, in order: read from the work folder where it lies there, else made and kept."""
    missing = [sample for sample in samples if not _file(work, sample).is_file()]
    made = _made(lvlm, missing, sampling=sampling, setting=setting, work=work)
    for sample in samples:
        path = _file(work, sample)
        labelled = from_json(Labelled, gzip.decompress(path.read_bytes())) if path.is_file() else next(made)
        if labelled.found.setting != setting or labelled.found.sampling != sampling:
            raise BadInput(f"{work} holds answers of another setting or sampling; remove it or name another --work")
        tick()
        yield labelled


def _made(
    lvlm: LVLM, samples: Iterable[Sample], *, sampling: Sampling, setting: Setting, work: Path
) -> Iterator[Labelled]:
    watch = Watch(view=setting.view, moment=setting.moment)
    waiting: list[Sample] = []

    def asked() -> Iterator[Sample]:
        for sample in samples:
            waiting.append(sample)
            yield sample

    prompts = (lvlm.prompt(open_image(s.image), s.query, id=s.id, text=setting.prompt) for s in asked())
    for answered in lvlm.answer(prompts, sampling, watch):
        sample = next(s for s in waiting if s.id == answered.prompt.id)
        waiting.remove(sample)
        found = candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)
        text = to_json(label(found, sample.truth))
        try:
            write_whole(_file(work, sample), gzip.compress(text.encode(), 1))
        except OSError as error:
            raise BadInput(
                f"could not keep case {sample.id} in {work}: {error}; "
                "finished cases are kept, make room and run again to go on"
            ) from error
        yield from_json(Labelled, text)  # what a resumed run would read, to the last digit


def _file(work: Path, sample: Sample) -> Path:
    return work / f"{sample.id}.json.gz"
