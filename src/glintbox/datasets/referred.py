"""An expression and the one object that it means, and how a COCO file's annotations give both box and mask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from glintbox.boxes import Box, Size
from glintbox.datasets.coco import box_in
from glintbox.errors import BadInput
from glintbox.masks import from_polygons, from_string
from glintbox.records import Rle, Sample


@dataclass(frozen=True, slots=True)
class Referred:
    """A referring expression as a case: `sample.query` is the expression, `sample.truth` the one box that it means.

    category: what the object is, None where the data do not say. kind: of expression, "" where there are no kinds.
    needs_more: the category alone does not do, for others of it are there; None where that is unknown.
    ignore: pixels that count neither way when masks are compared (ReasonSeg).
    """

    sample: Sample
    category: str | None = None
    kind: str = ""
    needs_more: bool | None = None
    ignore: Rle | None = None

    @property
    def share(self) -> float:
        """Share of the picture that the true box covers."""
        return self.sample.truth[0].area / (self.sample.size.width * self.sample.size.height)


class Spoken(NamedTuple):
    """An expression by its id and picture; its case, with the mask, is made when it is wanted."""

    id: str
    image: Path
    make: Callable[[], Referred]


Listed = TypeVar("Listed", Sample, Spoken)
"""A case with an id and a picture, made already or not."""


class Instances:
    """The annotations of a COCO file by their ids; `where` it came from is told in errors."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        """Index the content of a COCO file.

        Raises:
            BadInput: it lacks images, categories or annotations, or one of these its id.
        """
        self._where = where
        try:
            self._pictures = {picture["id"]: picture for picture in content["images"]}
            self._names = {category["id"]: str(category["name"]) for category in content["categories"]}
            self._annotations = {annotation["id"]: annotation for annotation in content["annotations"]}
            objects = (one for one in content["annotations"] if not one.get("iscrowd"))
            self._count = Counter((one["image_id"], one["category_id"]) for one in objects)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"expected a COCO instances JSON in {where} (images, categories, annotations with ids), "
                f"got {type(error).__name__}: {error}"
            ) from error

    def picture(self, annotation: int) -> str:
        """The file name of the picture that an annotation is of; errors as in `referred`."""
        try:
            return str(self._pictures[self._annotations[annotation]["image_id"]]["file_name"])
        except (KeyError, TypeError) as error:
            raise self._no_annotation(annotation, error) from error

    def referred(self, annotation: int, *, id: str, text: str, image: Path) -> Referred:
        """The case of an expression that means this annotation: its box, its mask where it has one.

        Raises:
            BadInput: no such annotation, or one without an area inside its picture.
        """
        place = f"annotation {annotation} of {self._where}"
        try:
            found = self._annotations[annotation]
            picture = self._pictures[found["image_id"]]
            size = Size(int(picture["width"]), int(picture["height"]))
            pair = (found["image_id"], found["category_id"])
            box, mask = true_box(found["bbox"], size, place), _mask(found.get("segmentation"), size)
        except (KeyError, TypeError, ValueError) as error:
            raise self._no_annotation(annotation, error) from error
        sample = Sample(id, image, size, expression(text, place), (box,), mask)
        return Referred(sample, self._names.get(pair[1]), needs_more=self._count[pair] > 1)

    def _no_annotation(self, annotation: int, error: Exception) -> BadInput:
        return BadInput(
            f"expected annotation {annotation} in {self._where}, with bbox and category_id, and its picture, "
            f"got {type(error).__name__}: {error}; do expressions and annotations belong together?"
        )


def expression(text: str, place: str) -> str:
    """The expression without blanks around it.

    Raises:
        BadInput: nothing is left; `place` says where it stands.
    """
    if not (words := text.strip()):
        raise BadInput(f"expected an expression for {place}, got an empty one; take it out")
    return words


def true_box(written: Sequence[float], size: Size, place: str) -> Box:
    """The box of COCO's x, y, width, height, clipped to its picture.

    Raises:
        BadInput: not four finite numbers, no area, or nothing of it in the picture; `place` says whose it is.
    """
    box = box_in(written, size, place, Counter())
    if box is None:
        raise BadInput(
            f"expected a box with an area inside its picture of {size.width}x{size.height} px, got {list(written)} "
            f"(x, y, width, height) in {place}; take its expressions out"
        )
    return box


def _mask(segmentation: Any, size: Size) -> Rle | None:
    """COCO's polygons, run lengths, or compressed run lengths; None where there are none."""
    if not segmentation:
        return None
    if isinstance(segmentation, Mapping):
        counts = segmentation["counts"]
        return from_string(size, counts) if isinstance(counts, str) else Rle(size, tuple(counts))
    return from_polygons(size, segmentation)
