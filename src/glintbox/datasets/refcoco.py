"""RefCOCO, RefCOCO+ and RefCOCOg as they unpack: `refs(PARTITION).p` with expressions beside `instances.json`.

The truth of an expression is the COCO annotation that it was written for (`ann_id`): its box is x, y, x + width,
y + height of `bbox`, its mask the `segmentation`. The file name in an entry (…_16.jpg) is no picture's; the picture is
that of the annotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from glintbox.datasets.cases import Pictures
from glintbox.datasets.plain_pickle import load_plain
from glintbox.datasets.referred import Instances, Spoken
from glintbox.errors import BadInput, UnknownName

WORDS = ("refcoco", "refcoco+", "refcocog")

PARTITIONS = ("unc", "umd", "google")
"""Who divided the pictures into splits; of several files in a folder the first one named here serves.

RefCOCOg has UMD's (val, test, train; no picture in two of them) and Google's (val, train; pictures in both).
"""

SPLITS = {"train": "train", "calibration": "train", "validation": "val", "test": "test"}
"""Which split serves which purpose, where none is named."""

PICTURES = ("train2014", "images/train2014", "images/mscoco/images/train2014", "images/mscoco/train2014")
BESIDE = ("coco/train2014", "coco/images/train2014", *PICTURES)
"""Where COCO's pictures may lie: in the folder of the expressions, or beside it."""


class Part(NamedTuple):
    """A file of expressions and one of its splits."""

    refs: Path
    split: str


def is_refcoco(folder: Path) -> bool:
    """Whether a folder holds expressions in this layout."""
    return bool(_files(folder))


def part_of(folder: Path, split: str | None, *, purpose: str) -> Part:
    """Which file and split "val", "testA" or, with a partition before it, "google-val" name.

    Raises:
        UnknownName: no such partition in the folder.
    """
    files = _files(folder)
    partition, _, own = (split or "").rpartition("-")
    if partition and partition not in files:
        raise UnknownName("partition", partition, files)
    return Part(files[partition] if partition else next(iter(files.values())), own or SPLITS[purpose])


def spoken(folder: Path, part: Part, images: Path | None) -> Iterator[Spoken]:
    """Every expression of a split, in the order of the file; an id is "IMAGE-SENTENCE" in the file's ids.

    images: where COCO's train2014 pictures lie; None looks in the usual places.

    Raises:
        BadInput: no plain pickle of such entries, no instances.json, or no folder of pictures.
        UnknownName: no such split in the file.
    """
    entries = _entries(part.refs)
    splits = dict.fromkeys(str(entry["split"]) for entry in entries)
    if part.split not in splits:
        raise UnknownName("split", part.split, splits)
    instances = Instances(_content(folder / "instances.json"), str(folder / "instances.json"))
    pictures = Pictures(images or _pictures(folder))
    for entry in entries:
        if entry["split"] == part.split:
            image = pictures(instances.picture(entry["ann_id"]))
            for said in entry["sentences"]:
                id = f"{entry['image_id']}-{said['sent_id']}"
                make = partial(instances.referred, entry["ann_id"], id=id, text=said["sent"], image=image)
                yield Spoken(id, image, make)


def _files(folder: Path) -> dict[str, Path]:
    """The files of expressions by partition, the one that serves first."""
    named = {name: folder / f"refs({name}).p" for name in PARTITIONS}
    return {name: path for name, path in named.items() if path.is_file()}


def _entries(path: Path) -> Sequence[Mapping[str, Any]]:
    entries = load_plain(path)
    try:
        for entry in entries:
            _check(entry["ann_id"], entry["image_id"], str(entry["split"]))
            for said in entry["sentences"]:
                _check(said["sent_id"], 0, said["sent"])
    except (KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"expected a list of expressions in {path} (ann_id, image_id, split, sentences with sent and sent_id), "
            f"got {type(error).__name__}: {error}"
        ) from error
    checked: Sequence[Mapping[str, Any]] = entries
    return checked


def _check(number: object, other: object, text: object) -> None:
    if not (isinstance(number, int) and isinstance(other, int) and isinstance(text, str)):
        raise TypeError(f"two whole numbers and a text are due, there are {number!r}, {other!r} and {text!r}")


def _content(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"expected the annotations beside the expressions at {path}, found no file; unpack both there")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"expected a COCO instances JSON in {path}, got {error}; fetch it anew") from error


def _pictures(folder: Path) -> Path:
    places = [folder / place for place in PICTURES] + [folder.parent / place for place in BESIDE]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise BadInput(
            f"expected COCO's train2014 pictures at {places[0]} or {folder.parent / BESIDE[0]}, found none; "
            "unpack them there, or name their folder with --images"
        )
    return found
