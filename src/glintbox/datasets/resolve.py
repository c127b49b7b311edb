"""The DATASET argument of the commands → cases: the word `scenes`, a folder of scenes, or a COCO instances JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

from glintbox.artifacts import cache_root
from glintbox.datasets.coco import SMALL, Annotations, Share, cases, parse_coco, read_coco
from glintbox.datasets.scene_folder import ANNOTATIONS, PICTURES, coco_of, fingerprint, kept_or_drawn
from glintbox.datasets.scenes import SPLITS, split_of
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample

SCENES = "scenes"
"""The word for generated pictures; they are drawn into the user's cache as far as they are needed."""

SIZES: Mapping[str, Share | None] = {
    "small": SMALL,
    "medium": Share(0.01, 0.05),
    "large": Share(0.05, 1.0),
    "any": None,
}
"""Share of the picture that a box covers, both ends included."""

KNOWN = (SCENES, "a folder of `glintbox scenes make`", "a COCO instances JSON with --images")

ENDLESS = 500
"""Cases of `scenes` where no limit is given: a split has a million scenes."""

Tick = Callable[[], None]
"""Called once per scene that was drawn or found in the cache."""


def resolve(
    dataset: str,
    *,
    images: Path | None,
    split: str | None,
    size: str = "small",
    limit: int | None,
    single: bool = True,
    one_per_image: bool = False,
    default_split: str = "validation",
    tick: Tick = lambda: None,
) -> list[Sample]:
    """The cases of a dataset: pairs of picture and category, by picture, then category; ids are "IMAGE-CATEGORY".

    dataset: `scenes`, a folder of `glintbox scenes make`, or a COCO instances JSON, whose pictures lie in `images`;
    `scenes` and a folder of the same seeds give the same cases. split: of scenes; None means `default_split`.
    size: a name of `SIZES`, which all boxes of a case must fit. limit: at most so many cases; None takes all there are,
    of `scenes` the first 500. single: exactly one object of the category in the picture. one_per_image: of a picture's
    cases in order only number (first 8 bytes of sha256(file name), big-endian) modulo their count.

    Raises:
        UnknownName: no such dataset, split or size.
        BadInput: scenes outside the split, options that do not belong together, no case; and as `coco_samples`.
    """
    if size not in SIZES:
        raise UnknownName("size", size, SIZES)
    if limit is not None and limit < 1:
        raise BadInput(f"expected limit >= 1, got {limit}")
    if dataset == SCENES:
        _refuse_images(images, "scenes are drawn into the cache")
        found = _drawn(_known_split(split or default_split), SIZES[size], single, tick)
    else:
        content, images = _read(dataset, images)
        _check_split(content, dataset, split, default_split)
        found = cases(content, images, area=SIZES[size], single=single)
    most = limit or (ENDLESS if dataset == SCENES else None)
    taken = list(islice(_one_of_each(found) if one_per_image else found, most))
    if not taken:
        raise BadInput(_nothing(dataset, size, single))
    return taken


def _nothing(dataset: str, size: str, single: bool) -> str:
    what = "exactly one object of a category" if single else "objects of a category"
    hint = "" if size == "any" else f" that is {size}; --size any takes objects of any size"
    return f"expected pictures with {what} in {dataset}, got none{hint}"


def data_name(dataset: str, *, split: str | None, default_split: str = "validation") -> str:
    """A file name that tells a dataset's content: scenes by what the generator draws, a JSON by the hash of its bytes.

    Answers that are kept under it stay valid for as long as it stays the same, whatever the limit and size.

    Raises:
        UnknownName, BadInput: as `resolve`.
    """
    if dataset == SCENES:
        return f"{SCENES}-{_known_split(split or default_split)}-{fingerprint()}"
    path = Path(dataset)
    path = path / ANNOTATIONS if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"expected a COCO instances JSON at {path}, found no file")
    return f"{Path(dataset).stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def _drawn(split: str, area: Share | None, single: bool, tick: Tick) -> Iterator[Sample]:
    """Cases of the split's scenes in the order of their seeds, drawn where the cache does not hold them yet."""
    images = cache_root() / f"{SCENES}-{fingerprint()}" / split
    for seed in SPLITS[split]:
        try:
            rows = kept_or_drawn(images, seed)
        except OSError as error:
            raise BadInput(
                f"could not keep scene {seed} in {images}: {error}; make room, or move the cache with GLINTBOX_CACHE"
            ) from error
        yield from cases(parse_coco(coco_of([rows], split), f"scene {seed}"), images, area=area, single=single)
        tick()


def _read(dataset: str, images: Path | None) -> tuple[Annotations, Path]:
    """The annotations of a folder of scenes or of a COCO file, and the folder of their pictures."""
    path = Path(dataset)
    if path.is_dir():
        _refuse_images(images, f"the pictures of its scenes lie in {path / PICTURES}")
        return _read_folder(path), path / PICTURES
    if not path.is_file():
        if path.suffix == ".json" or len(path.parts) > 1:
            raise BadInput(f"expected a COCO instances JSON or a folder of scenes at {path}, found nothing there")
        raise UnknownName("dataset", dataset, KNOWN)
    if images is None:
        raise BadInput(f"expected --images DIR, the folder of the pictures of {path}, got none; add it")
    if not images.is_dir():
        raise BadInput(f"expected a folder of pictures at {images}, found none")
    return read_coco(path), images


def _read_folder(folder: Path) -> Annotations:
    path = folder / ANNOTATIONS
    if not path.is_file():
        raise BadInput(
            f"expected a folder of `glintbox scenes make`, found no {ANNOTATIONS} in {folder}; if it was stopped, run "
            "it again to go on; of COCO name the instances JSON itself"
        )
    content = read_coco(path)
    if content.split is None:
        raise BadInput(f"expected a folder of `glintbox scenes make`, got other annotations in {path}; name that file")
    return content


def _check_split(content: Annotations, dataset: str, split: str | None, default_split: str) -> None:
    """Scenes of one split are never taken for another's: a test picture must not help to choose anything."""
    if content.split is None:
        if split is not None:
            raise BadInput(f"expected --split only for scenes, got {split!r} for {dataset}; leave it out")
        return
    asked = _known_split(split or default_split)
    odd = next((seed for seed in content.pictures if seed not in SPLITS[asked]), None)
    if odd is not None:
        own = split_of(odd)
        raise BadInput(
            f"expected scenes of split {asked!r} in {dataset}, got scene {odd} of split {own!r}; "
            f"if that is what you mean, write --split {own}"
        )


def _known_split(split: str) -> str:
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    return split


def _refuse_images(images: Path | None, why: str) -> None:
    if images is not None:
        raise BadInput(f"expected --images only with a COCO file, got {images}: {why}; leave it out")


def _one_of_each(found: Iterator[Sample]) -> Iterator[Sample]:
    for image, group in groupby(found, key=lambda sample: sample.image):
        own = list(group)
        yield own[int.from_bytes(hashlib.sha256(image.name.encode()).digest()[:8]) % len(own)]
