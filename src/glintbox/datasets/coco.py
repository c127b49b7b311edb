"""A COCO instances JSON → pictures, category names, and the objects of each pair of picture and category."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from glintbox.boxes import Box, Size
from glintbox.datasets.objects365 import as_coco, is_objects365
from glintbox.errors import BadInput

NO_AREA = "annotations without area"
OUTSIDE = "annotations outside their picture"
LEFT_OUT = "pairs left out, their truth is incomplete"
CLIPPED = "boxes clipped to their picture"
CROWDS = "crowd annotations"
ODD = "depicted or mirrored objects"

WRITTEN = 0.01
"""COCO writes hundredths of a pixel; a box that leaves its picture by less is rounded, not clipped."""


class Picture(NamedTuple):
    """A file's name below the folder of pictures, and its size."""

    file: str
    size: Size


class Pair(NamedTuple):
    """A picture and a category by their ids."""

    image: int
    category: int

    def __str__(self) -> str:
        return f"{self.image}-{self.category}"


class Marked(NamedTuple):
    """One annotation. mask: px² that the object itself covers, None where the file does not say.

    crowd: a box around many. odd: Objects365's `isfake` (a picture of the thing) or `isreflected` (seen in a mirror).
    """

    box: Box
    mask: float | None = None
    crowd: bool = False
    odd: bool = False


class Annotations(NamedTuple):
    """What a COCO file says: pictures and category names by id, the annotations (px) of each pair, and `info.split`.

    notes: what was met and what was done about it, counted.
    """

    pictures: Mapping[int, Picture]
    names: Mapping[int, str]
    pairs: Mapping[Pair, tuple[Marked, ...]]
    split: str | None = None
    notes: Mapping[str, int] = {}


def read_coco(path: Path) -> Annotations:
    """Read a COCO instances JSON, or Objects365's, as `parse_coco` says.

    Raises:
        BadInput: no COCO file, a box that is not four finite numbers, an id that does not exist.
    """
    if not path.is_file():
        raise BadInput(f"expected a COCO instances JSON at {path}, found no file")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _no_coco(str(path), error) from error
    return parse_coco(content, str(path))


def parse_coco(content: Any, where: str) -> Annotations:
    """What a COCO instances JSON holds; `where` it came from is told in errors, which are those of `read_coco`.

    A box that leaves its picture is clipped to it. A box without area (COCO has a few), or wholly outside, makes the
    truth of its pair incomplete: such pairs are left out. Both are counted in `notes`, as crowds are. The peculiarities
    of Objects365 are those of `as_coco`.
    """
    notes: Counter[str] = Counter()
    try:
        if is_objects365(content):
            content, done = as_coco(content)
            notes.update(done)
        pictures = {one["id"]: _picture(one) for one in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs: dict[Pair, list[Marked | None]] = defaultdict(list)
        for annotation in content["annotations"]:
            pair = Pair(annotation["image_id"], annotation["category_id"])
            place = f"annotation {annotation.get('id')} in {where}"
            if pair.image not in pictures or pair.category not in names:
                raise BadInput(f"{place} is of an image or category that is not there")
            marked = _marked(annotation, pictures[pair.image].size, place, notes)
            if marked or not annotation.get("iscrowd"):
                pairs[pair].append(marked)
        split = content.get("info", {}).get("split")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_coco(where, error) from error
    whole = {pair: tuple(one for one in marked if one) for pair, marked in pairs.items() if None not in marked}
    notes[LEFT_OUT] = len(pairs) - len(whole)
    return Annotations(pictures, names, whole, split, {what: count for what, count in notes.items() if count})


def _no_coco(where: str, error: Exception) -> BadInput:
    return BadInput(
        f"expected a COCO instances JSON in {where} (images, categories, annotations with bbox), "
        f"got {type(error).__name__}: {error}"
    )


def _picture(entry: Mapping[str, Any]) -> Picture:
    size = Size(int(entry["width"]), int(entry["height"]))
    if min(size) < 1:
        raise BadInput(f"expected a width and height of at least 1 px, got {size} for picture {entry['id']}")
    return Picture(str(entry["file_name"]), size)


def _marked(annotation: Mapping[str, Any], size: Size, place: str, notes: Counter[str]) -> Marked | None:
    """An annotation; None where it has no box in the picture."""
    crowd = bool(annotation.get("iscrowd"))
    odd = bool(annotation.get("isfake") or annotation.get("isreflected"))
    box = box_in(annotation["bbox"], size, place, notes)
    if box is None:
        return None
    notes[CROWDS] += crowd
    notes[ODD] += odd
    mask = annotation.get("area")
    return Marked(box, None if mask is None else float(mask), crowd, odd)


def box_in(written: Sequence[float], size: Size, place: str, notes: Counter[str]) -> Box | None:
    """A box from COCO's x, y, width, height, as far as it lies in the picture; None where nothing does.

    Raises:
        BadInput: not four finite numbers; `place` says whose they are.
    """
    if len(written) != 4 or not all(math.isfinite(value) for value in written):
        raise BadInput(f"expected a bbox of four finite numbers, got {written} in {place}; correct it, or take it out")
    x, y, width, height = written
    if width <= 0 or height <= 0:
        notes[NO_AREA] += 1
        return None
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + width, size.width), min(y + height, size.height)
    if left >= right or top >= bottom:
        notes[OUTSIDE] += 1
        return None
    notes[CLIPPED] += max(left - x, top - y, x + width - right, y + height - bottom) > WRITTEN
    return Box(left, top, right, bottom)
