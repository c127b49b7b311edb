"""COCO-format annotations → small-object cases: one picture, one category, its true boxes (docs/acs.md 26)."""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.records import Sample

log = logging.getLogger(__name__)


class Share(NamedTuple):
    """A range of box area as share of the image's, both ends included."""

    low: float
    high: float


SMALL = Share(0.001, 0.01)
"""The paper's small objects: 0.1-1 % of the image (section 5.1)."""


class _Picture(NamedTuple):
    file: str
    size: Size


class _Pair(NamedTuple):
    image: int
    category: int


def coco_samples(
    annotations: Path,
    images: Path,
    *,
    area: tuple[float, float] | None = SMALL,
    single: bool = True,
    limit: int | None = None,
) -> Iterator[Sample]:
    """Pairs of picture and category whose boxes are all of the wanted size, by image id, then category id.

    annotations: a COCO instances JSON. images: the folder of its pictures. area: share of the image that the BOX (not
    the mask) covers, both ends included; None = any. single: exactly one annotated object of the category, else at
    least one. Crowd annotations are no objects and are passed over. A sample's id is "IMAGE-CATEGORY" in COCO's ids.

    A box without area (COCO has a few) makes its pair's truth incomplete: such pairs are left out, and their number is
    logged as a warning.

    Raises:
        BadInput: no COCO file, a box that is not four finite numbers, an id that does not exist, a picture that is
            not there.
    """
    if area is not None and not 0 <= area[0] <= area[1] <= 1:
        raise BadInput(f"expected area shares 0 <= low <= high <= 1, got {area}")
    if limit is not None and limit < 1:
        raise BadInput(f"expected limit >= 1, got {limit}")
    if not images.is_dir():
        raise BadInput(f"expected a folder of pictures at {images}, found none")
    pictures, names, pairs = _read(annotations)
    return islice(_samples(pictures, names, _whole(pairs), images, (area, single)), limit)


def _samples(
    pictures: Mapping[int, _Picture],
    names: Mapping[int, str],
    pairs: Mapping[_Pair, tuple[Box, ...]],
    images: Path,
    wanted: tuple[tuple[float, float] | None, bool],
) -> Iterator[Sample]:
    area, single = wanted
    for pair in sorted(pairs):
        boxes, (file, size) = pairs[pair], pictures[pair.image]
        shares = [box.area / (size.width * size.height) for box in boxes]
        if (single and len(boxes) != 1) or (area and not all(area[0] <= share <= area[1] for share in shares)):
            continue
        path = images / file
        if not path.is_file():
            raise BadInput(f"expected the picture {path}, found no file; are the pictures of this split in {images}?")
        yield Sample(f"{pair.image}-{pair.category}", path, size, names[pair.category], boxes)


def _read(
    path: Path,
) -> tuple[Mapping[int, _Picture], Mapping[int, str], Mapping[_Pair, Sequence[Box | None]]]:
    """Pictures by id, category names by id, and the boxes of every pair; None stands for a box without area."""
    if not path.is_file():
        raise BadInput(f"expected a COCO instances JSON at {path}, found no file")
    try:
        content = json.loads(path.read_bytes())
        pictures = {one["id"]: _picture(one) for one in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs: dict[_Pair, list[Box | None]] = defaultdict(list)
        for annotation in content["annotations"]:
            pair = _Pair(annotation["image_id"], annotation["category_id"])
            if pair.image not in pictures or pair.category not in names:
                raise BadInput(f"annotation {annotation['id']} in {path} is of an image or category that is not there")
            if not annotation.get("iscrowd", 0):
                pairs[pair].append(_box(annotation["bbox"], f"annotation {annotation['id']} in {path}"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"expected a COCO instances JSON in {path} (images, categories, annotations with bbox), "
            f"got {type(error).__name__}: {error}"
        ) from error
    return pictures, names, pairs


def _picture(entry: Mapping[str, Any]) -> _Picture:
    size = Size(int(entry["width"]), int(entry["height"]))
    if min(size) < 1:
        raise BadInput(f"expected a width and height of at least 1 px, got {size} for picture {entry['id']}")
    return _Picture(str(entry["file_name"]), size)


def _box(written: Sequence[float], where: str) -> Box | None:
    """A box from COCO's x, y, width, height; None where it has no area."""
    if len(written) != 4 or not all(math.isfinite(value) for value in written):
        raise BadInput(f"expected a bbox of four finite numbers, got {written} in {where}")
    x, y, width, height = written
    return Box(x, y, x + width, y + height) if width > 0 and height > 0 else None


def _whole(pairs: Mapping[_Pair, Sequence[Box | None]]) -> Mapping[_Pair, tuple[Box, ...]]:
    """The pairs all of whose boxes have an area."""
    whole = {
        pair: tuple(box for box in boxes if box)
        for pair, boxes in pairs.items()
        if all(box is not None for box in boxes)
    }
    if len(whole) < len(pairs):
        log.warning("left out %d of %d pairs: a box without area", len(pairs) - len(whole), len(pairs))
    return whole
