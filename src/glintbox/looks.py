"""What localization heads look at in every case, read once and kept: for comparing them with what a model writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from glintbox.boxes import Box
from glintbox.collect import Tick
from glintbox.errors import BadInput
from glintbox.geometry import CoordFrame
from glintbox.localize import METHOD, UNSAMPLED, localized, text_heads
from glintbox.lvlm.api import LVLM
from glintbox.records import CandidateSet, HeadMap, Sample, Selector, Setting, TextMaps, to_json
from glintbox.text_stats import TextCard, TextStats, TextWriter, fill


def by_looks(headmap: HeadMap) -> Selector:
    """Localization heads beside ways to choose: the box of the text map that a set carries, whatever was written.

    Raises:
        BadInput: a head map without heads for the text.
    """
    text_heads(headmap)
    return Selector(METHOD, lambda found: localized(found).boxes, "share", looks=headmap)


def looks_card(headmap: HeadMap, data: str) -> TextCard:
    """What all kept looks of some data have in common."""
    return TextCard(headmap.setting, data, text_heads(headmap), maps=True)


def looks_folder(work: Path, headmap: HeadMap) -> Path:
    """A folder of `work` for these heads alone."""
    told = to_json(headmap.setting) + " ".join(map(str, text_heads(headmap)))
    return work / f"looks-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def look(lvlm: LVLM, samples: Sequence[Sample], headmap: HeadMap, *, data: str, work: Path, tick: Tick) -> None:
    """Read and keep what is missing of the cases; one prefill each, nothing is written.

    Raises:
        BadInput: kept looks of other data or heads, a picture of another size than annotated, a disk that is full.
        UnreadableImage, OutOfMemory: a picture cannot be opened or does not fit.
    """
    with TextWriter(looks_folder(work, headmap), looks_card(headmap, data)) as writer:
        fill(lvlm, samples, writer, tick=tick)


def kept_looks(samples: Sequence[Sample], headmap: HeadMap, *, work: Path) -> Iterator[TextMaps]:
    """The kept maps of each case, in order.

    Raises:
        BadInput: a case that is not there, or that is of another query or picture.
    """
    kept = TextStats(looks_folder(work, headmap))
    for sample in samples:
        there, grid, _, maps = kept[sample.id]
        if (there.query, there.size) != (sample.query, sample.size) or maps is None:
            raise BadInput(
                f"expected case {sample.id} of {kept.folder} to be {sample.query!r} in a picture of {sample.size}, "
                f"got {there.query!r} in {there.size}; it is of other data: name another --work"
            )
        yield TextMaps(headmap.setting, kept.card.heads, grid, maps)


def unwritten(sample: Sample, setting: Setting) -> CandidateSet:
    """A set without answers, where nobody chooses among any."""
    frame = CoordFrame(sample.size, Box.whole(sample.size))
    return CandidateSet(sample.id, sample.size, sample.query, setting, UNSAMPLED, frame, (), (), ())
