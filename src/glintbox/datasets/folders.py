"""COCO and Objects365 as they unpack: from a folder in the official layout to an annotation file and its pictures."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple

from glintbox.errors import BadInput, UnknownName


class Layout(NamedTuple):
    """Where things may lie below a dataset's folder. purposes: which split serves which, where none is named."""

    splits: tuple[str, ...]
    purposes: Mapping[str, str]
    annotations: tuple[str, ...]
    pictures: tuple[str, ...]


LAYOUTS: Mapping[str, Layout] = {
    "coco": Layout(
        ("val2017", "train2017", "val2014", "train2014"),
        {"train": "train2017", "calibration": "train2017", "validation": "val2017", "test": "val2017"},
        ("annotations/instances_{}.json", "instances_{}.json"),
        ("{}", "images/{}"),
    ),
    "objects365": Layout(
        ("val", "train"),
        {"train": "train", "calibration": "train", "validation": "val", "test": "val"},
        ("annotations/zhiyuan_objv2_{}.json", "{0}/zhiyuan_objv2_{0}.json", "zhiyuan_objv2_{}.json"),
        ("{}", "images/{}"),
    ),
}
"""By the word that names a dataset. The papers measure on the validation pictures and learn on the training ones."""

HOME = "GLINTBOX_DATA"
"""The environment variable that names the folder in which the words of `LAYOUTS` are folders."""


def home(dataset: str, words: Container[str] = LAYOUTS) -> Path | None:
    """The folder of a dataset named by one of the `words` or by its path, or None where it names no folder at all.

    Raises:
        BadInput: a word whose folder is not there.
    """
    if Path(dataset).is_dir():
        return Path(dataset)
    if dataset not in words:
        return None
    root = os.environ.get(HOME)
    folder = Path(root).expanduser() / dataset if root else None
    if folder is None or not folder.is_dir():
        looked = str(folder) if folder else f"{HOME}, which is not set,"
        raise BadInput(
            f"expected a folder {dataset!r} here or in {looked} and found none; name its folder or its JSON, "
            f"or set {HOME} to the folder that holds it"
        )
    return folder


def annotation_file(folder: Path, split: str | None, *, purpose: str) -> Path:
    """The annotations of a split of a COCO or Objects365 folder; where split is None, of the one for that purpose.

    Raises:
        UnknownName: no split of that dataset.
        BadInput: the folder holds neither dataset, or not this split's annotations.
    """
    layout = _layout(folder)
    return _there(folder, layout.annotations, "annotations", _known(layout, split, purpose))


def picture_folder(folder: Path, split: str | None, *, purpose: str) -> Path:
    """The pictures of a split of a COCO or Objects365 folder.

    Raises:
        UnknownName, BadInput: as `annotation_file`.
    """
    layout = _layout(folder)
    return _there(folder, layout.pictures, "pictures", _known(layout, split, purpose))


def _layout(folder: Path) -> Layout:
    for layout in LAYOUTS.values():
        if any((folder / name.format(split)).exists() for name in layout.annotations for split in layout.splits):
            return layout
    raise BadInput(
        f"expected scenes, COCO or Objects365 in {folder}, found no instances.json, annotations/instances_val2017.json "
        "or annotations/zhiyuan_objv2_val.json; if `glintbox scenes make` was stopped, run it again to go on; "
        "of other data name the JSON itself, with --images"
    )


def _known(layout: Layout, split: str | None, purpose: str) -> str:
    if split is not None and split not in layout.splits:
        raise UnknownName("split", split, layout.splits)
    return split or layout.purposes[purpose]


def _there(folder: Path, names: tuple[str, ...], what: str, split: str) -> Path:
    places = [name.format(split) for name in names]
    found = next((folder / name for name in places if (folder / name).exists()), None)
    if found is None:
        raise BadInput(
            f"expected the {what} of split {split!r} in {folder} at {' or '.join(places)}, found none; "
            "unpack them there, name another --split, or name the JSON itself, with --images"
        )
    return found
