"""From a model and labelled pictures to its head map: sample answers, label boxes by IoU, keep the heads that differ.

Resumable: every finished case is kept in a store (`glintbox.store`), and another start does only the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from glintbox.analysis.entropies import entropies
from glintbox.analysis.heads import find_heads, of_every_head, tried
from glintbox.analysis.separation import separation
from glintbox.artifacts import cache_folder
from glintbox.collect import Tick, fill
from glintbox.errors import BadInput
from glintbox.lvlm.api import LVLM
from glintbox.records import HeadMap, HeadSeparation, Labelled, Sample, Sampling, Watch, to_json
from glintbox.store import Store, StoreCard, StoreWriter, label


class Calibrated(NamedTuple):
    """The heads that were chosen, and how well all of them separate."""

    heads: HeadMap
    separation: HeadSeparation


def calibrate(
    lvlm: LVLM,
    samples: Sequence[Sample],
    *,
    sampling: Sampling,
    work: Path | None,
    data: str,
    words: str | None = None,
    n: int = 3,
    tick: Tick,
) -> Calibrated:
    """The n heads per coordinate whose entropy separates good boxes from poor ones (ΔH, by IoU labels alone).

    work: the store that keeps the answers, None = in the user's cache. data: a name that tells the content of the data;
    words: the same for the head map, with the cases' number; their ids are written there too.

    Raises:
        BadInput: too few good or poor boxes to compare, or a store of other settings.
    """
    watch = Watch()
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view=watch.view, moment=watch.moment)
    card = StoreCard(setting, sampling, data, ())
    folder = work or work_folder(card)
    found = separation(entropies(labelled_sets(lvlm, samples, card=card, work=folder, tick=tick)))
    heads = tried(find_heads(found, setting=setting, data=words or data, n=n), kept_sets(samples, folder))
    return Calibrated(heads, of_every_head(found, heads))


def labelled_sets(
    lvlm: LVLM, samples: Sequence[Sample], *, card: StoreCard, work: Path, tick: Tick
) -> Iterator[Labelled]:
    """One labelled set per sample, in order, when all answers are in the store; what it lacks is drawn first.

    Raises:
        BadInput: as `StoreWriter`, `fill` and `kept_sets`.
    """
    with StoreWriter(work, card) as writer:
        fill(lvlm, samples, writer, tick=tick)
    yield from kept_sets(samples, work)


def kept_sets(samples: Sequence[Sample], work: Path) -> Iterator[Labelled]:
    """The sets of these samples as the store has them, with maps where it keeps some, labelled by the samples' boxes.

    Raises:
        BadInput: a case that is not there, or that is of another query or picture.
    """
    store = Store(work)
    place = {id: case for case, id in enumerate(store.ids)}
    for sample in samples:
        if sample.id not in place:
            raise BadInput(f"expected the answers to case {sample.id} in {work}, found none; run again to draw them")
        case = place[sample.id]
        found = store.with_maps(case) if store.card.heads else store[case].found
        if (found.query, found.image) != (sample.query, sample.size):
            raise BadInput(
                f"expected case {sample.id} of {work} to be {sample.query!r} in a picture of {sample.size}, "
                f"got {found.query!r} in {found.image}; it is of other data: name another --work"
            )
        yield label(found, sample.truth)


def work_folder(card: StoreCard) -> Path:
    """Where answers are kept by default: a folder of the user's cache per card; `data` must be fit for a file name."""
    digest = hashlib.sha256(to_json(card).encode()).hexdigest()
    return cache_folder(card.setting) / "answers" / f"{card.data}-{digest[:8]}"
