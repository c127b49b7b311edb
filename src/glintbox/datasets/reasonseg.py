"""ReasonSeg as it unpacks: a folder per split of pictures and, beside each, a JSON of the same name.

A JSON holds `text` (one or more instructions), `is_sentence` (long or short) and `shapes`: polygons of the target and,
with "ignore" in their label, of what shall count neither way. As LISA's own reader does it, larger polygons are drawn
first, so that a smaller one lies on top, outlines belong to them, and shapes labelled "flag" mean nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from glintbox.boxes import Size
from glintbox.datasets.referred import Referred, Spoken, expression
from glintbox.errors import BadInput, UnknownName
from glintbox.images import size_of
from glintbox.masks import encode, tight_box
from glintbox.records import Sample

WORD = "reasonseg"
SPLITS = ("val", "test", "train")
PURPOSES = {"train": "train", "calibration": "train", "validation": "val", "test": "test"}
"""Which split serves which purpose, where none is named."""


class Shape(NamedTuple):
    """A polygon, in px of the upright picture."""

    ignored: bool
    points: tuple[tuple[int, int], ...]


def is_reasonseg(folder: Path) -> bool:
    """Whether a folder holds a split of ReasonSeg, itself or in ReasonSeg/."""
    return any(_holds(root / split) for root in _roots(folder) for split in SPLITS)


def split_folder(folder: Path, split: str | None, *, purpose: str) -> Path:
    """Where the pictures and JSON of a split lie.

    Raises:
        UnknownName: no such split.
        BadInput: it is not there.
    """
    name = split or PURPOSES[purpose]
    if name not in SPLITS:
        raise UnknownName("split", name, SPLITS)
    found = next((root / name for root in _roots(folder) if _holds(root / name)), None)
    if found is None:
        raise BadInput(
            f"expected pictures and JSON of ReasonSeg's split {name!r} in {folder / name}, found none; "
            "unpack them there, or name another --split"
        )
    return found


def digest(folder: Path) -> str:
    """Eight hex digits of all JSON of a split."""
    seen = hashlib.sha256()
    for path in sorted(folder.glob("*.json")):
        seen.update(path.name.encode() + path.read_bytes())
    return seen.hexdigest()[:8]


def spoken(folder: Path) -> Iterator[Spoken]:
    """Every instruction of a split, by the names of the pictures; an id is "PICTURE-TEXT", texts count from 0.

    The truth is the one box around all of the target, whose parts may lie apart.

    Raises:
        BadInput: a JSON without texts and polygons.
    """
    for path in sorted(folder.glob("*.json")):
        content = _content(path)
        texts, shapes, long = _read(content, path)
        image = path.with_suffix(".jpg")
        for k, text in enumerate(texts):
            id = f"{path.stem}-{k}"
            kind = "long" if long else "short"
            yield Spoken(id, image, partial(_referred, id, text, image, shapes, kind=kind))


def _roots(folder: Path) -> tuple[Path, Path]:
    return folder, folder / "ReasonSeg"


def _holds(folder: Path) -> bool:
    return any(path.with_suffix(".jpg").is_file() for path in folder.glob("*.json"))


def _content(path: Path) -> Any:
    raw = path.read_bytes()
    try:
        try:
            return json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError:
            return json.loads(raw.decode("cp1252"))  # some of the published files are
    except ValueError as error:
        raise BadInput(f"expected a JSON of ReasonSeg in {path}, got: {error}; fetch it anew") from error


def _read(content: Any, path: Path) -> tuple[list[str], list[Shape], bool]:
    try:
        texts = [str(text) for text in content["text"]]
        shapes = [_shape(one) for one in content["shapes"] if one["label"].lower() != "flag"]
        long = bool(content["is_sentence"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput(
            f"expected a JSON of ReasonSeg in {path} (text, is_sentence, shapes with label and points), "
            f"got {type(error).__name__}: {error}"
        ) from error
    if isinstance(content["text"], str) or not texts:
        raise BadInput(f"expected a list of instructions as text in {path}, got {content['text']!r}")
    return texts, shapes, long


def _shape(one: Mapping[str, Any]) -> Shape:
    """Corners are cut to whole pixels, as LISA's reader cuts them."""
    return Shape("ignore" in one["label"].lower(), tuple((int(x), int(y)) for x, y in one["points"]))


def _referred(id: str, text: str, image: Path, shapes: list[Shape], *, kind: str) -> Referred:
    size, place = size_of(image), str(image.with_suffix(".json"))
    target, ignored = _painted(shapes, size)
    mask = encode(target)
    box = tight_box(mask)
    if box is None:
        raise BadInput(f"expected a target with an area inside its picture in {place}, got none; take it out")
    sample = Sample(id, image, size, expression(text, place), (box,), mask)
    return Referred(sample, kind=kind, ignore=encode(ignored) if ignored.any() else None)


def _painted(shapes: list[Shape], size: Size) -> tuple[Bool[np.ndarray, "y x"], Bool[np.ndarray, "y x"]]:
    """The pixels of the target, and those that count neither way."""
    drawn = sorted(((_filled(shape, size), shape.ignored) for shape in shapes), key=lambda one: -int(one[0].sum()))
    target = np.zeros((size.height, size.width), dtype=bool)
    ignored = target.copy()
    for mask, ignore in drawn:
        target, ignored = (target & ~mask, ignored | mask) if ignore else (target | mask, ignored & ~mask)
    return target, ignored


def _filled(shape: Shape, size: Size) -> Bool[np.ndarray, "y x"]:
    """A polygon with its outline; one of fewer than three corners is its line or point."""
    canvas = Image.new("1", size)
    pen = ImageDraw.Draw(canvas)
    if len(shape.points) > 2:
        pen.polygon(shape.points, fill=1, outline=1)
    elif shape.points:
        pen.line([*shape.points, shape.points[0]], fill=1)
    return np.asarray(canvas, dtype=bool)
