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


class Picture(NamedTuple):
    """A file's name below the folder of pictures, and its size."""

    file: str
    size: Size


class Pair(NamedTuple):
    """A picture and a category by their ids."""

    image: int
    category: int


class Annotations(NamedTuple):
    """What a COCO file says: pictures and category names by id, true boxes (px) of each pair, and `info.split`."""

    pictures: Mapping[int, Picture]
    names: Mapping[int, str]
    pairs: Mapping[Pair, tuple[Box, ...]]
    split: str | None = None


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
    return islice(cases(read_coco(annotations), images, area=area, single=single), limit)


def cases(
    annotations: Annotations, images: Path, *, area: tuple[float, float] | None, single: bool
) -> Iterator[Sample]:
    """The pairs of `coco_samples` from what was read already.

    Raises:
        BadInput: a picture that is not there.
    """
    for pair in sorted(annotations.pairs):
        boxes, (file, size) = annotations.pairs[pair], annotations.pictures[pair.image]
        shares = [box.area / (size.width * size.height) for box in boxes]
        if (single and len(boxes) != 1) or (area and not all(area[0] <= share <= area[1] for share in shares)):
            continue
        path = images / file
        if not path.is_file():
            raise BadInput(f"expected the picture {path}, found no file; are the pictures of this split in {images}?")
        yield Sample(f"{pair.image}-{pair.category}", path, size, annotations.names[pair.category], boxes)


def read_coco(path: Path) -> Annotations:
    """Read a COCO instances JSON; pairs with a box without area are left out, as `coco_samples` says.

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
    """What a COCO instances JSON holds; `where` it came from is told in errors, which are those of `read_coco`."""
    try:
        pictures = {one["id"]: _picture(one) for one in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs: dict[Pair, list[Box | None]] = defaultdict(list)
        for annotation in content["annotations"]:
            pair = Pair(annotation["image_id"], annotation["category_id"])
            if pair.image not in pictures or pair.category not in names:
                raise BadInput(f"annotation {annotation['id']} in {where} is of an image or category that is not there")
            if not annotation.get("iscrowd", 0):
                pairs[pair].append(_box(annotation["bbox"], f"annotation {annotation['id']} in {where}"))
        split = content.get("info", {}).get("split")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_coco(where, error) from error
    return Annotations(pictures, names, _whole(pairs), split)


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


def _box(written: Sequence[float], where: str) -> Box | None:
    """A box from COCO's x, y, width, height; None where it has no area."""
    if len(written) != 4 or not all(math.isfinite(value) for value in written):
        raise BadInput(f"expected a bbox of four finite numbers, got {written} in {where}")
    x, y, width, height = written
    return Box(x, y, x + width, y + height) if width > 0 and height > 0 else None


def _whole(pairs: Mapping[Pair, Sequence[Box | None]]) -> Mapping[Pair, tuple[Box, ...]]:
    """The pairs all of whose boxes have an area."""
    whole = {
        pair: tuple(box for box in boxes if box)
        for pair, boxes in pairs.items()
        if all(box is not None for box in boxes)
    }
    if len(whole) < len(pairs):
        log.warning("left out %d of %d pairs: a box without area", len(pairs) - len(whole), len(pairs))
    return whole
