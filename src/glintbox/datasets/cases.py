"""Which pairs of picture and category are cases: a rule, the objects that it takes, and the picture's place on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from glintbox.boxes import Box, Size
from glintbox.datasets.coco import Annotations, Marked, Pair
from glintbox.datasets.referred import Listed
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample

Instances = Literal["one", "many", "any", "first"]
"""Objects of the category: exactly one, two or more, one or more; or one or more, of which the first alone counts."""


Area = Literal["box", "mask"]
Crowd = Literal["ignored", "counted", "refused"]
Odd = Literal["counted", "refused"]


class Share(NamedTuple):
    """A range of an object's area as share of the picture's."""

    low: float
    high: float


SMALL = Share(0.001, 0.01)
"""The paper's small objects: 0.1-1 % of the image (section 5.1)."""

SIZES: Mapping[str, Share | None] = {
    "small": SMALL,
    "medium": Share(0.01, 0.05),
    "large": Share(0.05, 1.0),
    "any": None,
}
"""Share of the picture that a box covers, both ends included; the paper's medium/large objects are `large` here."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How the words of a paper about its cases are read; the default is glintbox's reading (docs/acs.md 26-28).

    instances: see `Instances`. area: of the box, or of the mask. crowd: whether crowd annotations are no objects, are
    objects, or make their pair unfit. ends: whether a share exactly at an end of the range is in it. odd: whether
    depicted and mirrored objects are objects, or make their pair unfit.
    """

    instances: Instances = "one"
    area: Area = "box"
    crowd: Crowd = "ignored"
    ends: bool = True
    odd: Odd = "counted"


def taken(marked: Sequence[Marked], rule: Rule, *, size: Size, share: Share | None) -> tuple[Box, ...]:
    """The true boxes of a pair in a picture of `size` (px), or none where the pair is no case by that rule.

    Raises:
        BadInput: areas of masks are asked for and an annotation has none.
    """
    unfit = any((one.crowd and rule.crowd == "refused") or (one.odd and rule.odd == "refused") for one in marked)
    objects = [one for one in marked if rule.crowd == "counted" or not one.crowd]
    if unfit or not _enough(len(objects), rule.instances):
        return ()
    objects = objects[:1] if rule.instances == "first" else objects
    fits = share is None or all(_within(one, rule, size, share) for one in objects)
    return tuple(one.box for one in objects) if fits else ()


def _enough(count: int, instances: Instances) -> bool:
    return count == 1 if instances == "one" else count >= (2 if instances == "many" else 1)


def _within(one: Marked, rule: Rule, size: Size, share: Share) -> bool:
    area = one.box.area if rule.area == "box" else one.mask
    if area is None:
        raise BadInput("expected the area of every mask, got annotations without; use Rule(area='box')")
    covered = area / (size.width * size.height)
    return share.low <= covered <= share.high if rule.ends else share.low < covered < share.high


def fitting(annotations: Annotations, rule: Rule, *, size: str = "any") -> Iterator[tuple[Pair, tuple[Box, ...]]]:
    """The pairs that are cases by a rule, by image id, then category id, and their true boxes.

    size: a name of `SIZES`, which every object of a case must fit.

    Raises:
        UnknownName: no such size or word for instances.
    """
    check_names(size, rule.instances)
    for pair in sorted(annotations.pairs):
        extent = annotations.pictures[pair.image].size
        boxes = taken(annotations.pairs[pair], rule, size=extent, share=SIZES[size])
        if boxes:
            yield pair, boxes


def cases(annotations: Annotations, images: Path, rule: Rule, *, size: str = "any") -> Iterator[Sample]:
    """The cases of `fitting` with their pictures below `images`; a case's id is "IMAGE-CATEGORY" in the file's ids.

    Whether the pictures are there is not asked.
    """
    pictures = Pictures(images)
    for pair, boxes in fitting(annotations, rule, size=size):
        file, extent = annotations.pictures[pair.image]
        yield Sample(str(pair), pictures(file), extent, annotations.names[pair.category], boxes)


def check_names(size: str, instances: str) -> None:
    """Refuse words that mean no size or no number of objects, with those that do."""
    if size not in SIZES:
        raise UnknownName("size", size, SIZES)
    if instances not in get_args(Instances):
        raise UnknownName("number of objects", instances, get_args(Instances))


class Pictures:
    """Finds pictures below a folder by the names that annotations give them.

    Leading folders of a name may be missing on disk ("images/v1/patch8/a.jpg" lies in patch8/), and a bare name may lie
    in one of the patch folders, into which Objects365 is split.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, file: str) -> Path:
        """Where the picture is; where there is none, where it was expected."""
        parts = PurePosixPath(file).parts
        for start in range(len(parts)):
            path = self.folder.joinpath(*parts[start:])
            if path.is_file():
                return path
        return self._patched.get(parts[-1], self.folder / file)

    @cached_property
    def _patched(self) -> Mapping[str, Path]:
        return {path.name: path for path in self.folder.glob("**/patch*/*")}


def require_pictures(samples: Sequence[Listed], *, skip: bool) -> tuple[list[Listed], int]:
    """The cases whose picture is there, and the number of those without; skip: whether that may happen at all.

    Raises:
        BadInput: a picture is not there and `skip` is False, or none is.
    """
    there = [sample for sample in samples if sample.image.is_file()]
    if len(there) < len(samples) and not (skip and there):
        lost = sorted({sample.image for sample in samples} - {sample.image for sample in there})
        named = ", ".join(str(path) for path in lost[:3]) + (", …" if len(lost) > 3 else "")
        raise BadInput(
            f"expected the pictures of {len(samples)} cases, found no file for {len(samples) - len(there)} of them: "
            f"{named}; are the pictures of this split in that folder? --skip-missing leaves such cases out"
        )
    return there, len(samples) - len(there)
