"""The DATASET argument of the commands → cases: scenes, COCO or Objects365, by word, by folder or by JSON."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from glintbox.artifacts import cache_root
from glintbox.datasets.cases import Instances, Rule, cases, check_names, require_pictures
from glintbox.datasets.coco import LEFT_OUT, NO_AREA, OUTSIDE, Annotations, parse_coco, read_coco
from glintbox.datasets.draws import named
from glintbox.datasets.folders import LAYOUTS, annotation_file, home, picture_folder
from glintbox.datasets.scene_folder import ANNOTATIONS, PICTURES, Rows, coco_of, fingerprint, kept_or_drawn
from glintbox.datasets.scenes import SPLITS, split_of
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample

log = logging.getLogger(__name__)

SCENES = "scenes"
"""The word for generated pictures; they are drawn into the user's cache as far as they are needed."""

KNOWN = (
    SCENES, *LAYOUTS, "a folder of scenes, COCO or Objects365", "a COCO instances JSON with --images",
    "of expressions (refcoco, reasonseg …): glintbox refer",
)  # fmt: skip

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
    instances: Instances = "one",
    one_per_image: bool = False,
    ids: Sequence[str] | None = None,
    skip_missing: bool = False,
    default_split: str = "validation",
    tick: Tick = lambda: None,
) -> list[Sample]:
    """The cases of a dataset: pairs of picture and category, by picture, then category; ids are "IMAGE-CATEGORY".

    dataset: as docs/datasets.md has it, whose pictures lie in `images` where it is a JSON. split: None means the one
    that serves for `default_split`. size: a name of `SIZES`, which all boxes of a case must fit. limit: None takes all
    cases there are, of `scenes` the first 500. instances: objects of the category in the picture. one_per_image: of a
    picture's cases in order only number (first 8 bytes of sha256(file name), big-endian) modulo their count. ids:
    exactly these, of any size and number. skip_missing: leave out, with a warning, what has no picture.

    Raises:
        UnknownName: no such dataset, split, size or number of objects.
        BadInput: options that do not belong together, ids or pictures that are not there, no case; as `read_coco`.
    """
    if limit is not None and limit < 1:
        raise BadInput(f"expected limit >= 1, got {limit}")
    check_names(size, instances)
    if ids is not None:
        size, instances = "any", "any"
    found = _found(Where(dataset, images, split, default_split), Rule(instances), size=size, ids=ids, tick=tick)
    most = limit or (ENDLESS if dataset == SCENES and ids is None else None)
    chosen = list(islice(_one_of_each(found) if one_per_image else found, most))
    there, lost = require_pictures(chosen, skip=skip_missing)
    if lost:
        log.warning("left out %d of %d cases: their pictures are not there", lost, len(chosen))
    if not there:
        raise BadInput(_nothing(dataset, size, instances))
    return there


class Where(NamedTuple):
    """A dataset as it is named on the command line."""

    dataset: str
    images: Path | None
    split: str | None
    default_split: str


def _found(where: Where, rule: Rule, *, size: str, ids: Sequence[str] | None, tick: Tick) -> Iterator[Sample]:
    """All cases of a rule, or those that are named."""
    dataset, images, split, default_split = where
    if dataset == SCENES:
        refuse_images(images, "scenes are drawn into the cache")
        found = _drawn(known_split(split or default_split), rule, size, ids, tick)
    else:
        folder = _pictures(where)
        found = cases(annotations_of(dataset, split=split, default_split=default_split), folder, rule, size=size)
    return found if ids is None else iter(named(list(found), ids, where=dataset))


def _nothing(dataset: str, size: str, instances: Instances) -> str:
    what = {"one": "exactly one object", "many": "two or more objects"}.get(instances, "objects") + " of a category"
    hint = "" if size == "any" else f" that is {size}; --size any takes objects of any size"
    return f"expected pictures with {what} in {dataset}, got none{hint}"


def annotations_of(dataset: str, *, split: str | None, default_split: str = "validation") -> Annotations:
    """What a dataset that lies on disk says of its pictures; they themselves need not be there.

    Raises:
        UnknownName, BadInput: as `resolve`; and for the word `scenes`, which has no end.
    """
    if dataset == SCENES:
        raise BadInput("expected data that lies on disk, got scenes, which have no end; make a folder of them first")
    path = _file(dataset, split, default_split)
    content = read_coco(path)
    scenes = _is_scenes(dataset)
    if scenes and content.split is None:
        raise BadInput(f"expected a folder of `glintbox scenes make`, got other annotations in {path}; name that file")
    if scenes or not home(dataset):
        check_split(content, dataset, split, default_split)
    if left := content.notes.get(LEFT_OUT):
        why = ", ".join(f"{content.notes[what]} {what}" for what in (NO_AREA, OUTSIDE) if what in content.notes)
        log.warning("left out %d of %d pairs of %s: %s", left, left + len(content.pairs), path, why)
    return content


def _is_scenes(dataset: str) -> bool:
    """Whether a dataset is a folder of `glintbox scenes make`, by its annotation file."""
    folder = home(dataset)
    return folder is not None and (folder / ANNOTATIONS).is_file()


def _file(dataset: str, split: str | None, default_split: str) -> Path:
    """The annotation file of a dataset that lies on disk."""
    folder, path = home(dataset), Path(dataset)
    if folder:
        own = folder / ANNOTATIONS
        return own if own.is_file() else annotation_file(folder, split, purpose=default_split)
    if not path.is_file():
        if path.suffix == ".json" or len(path.parts) > 1:
            raise BadInput(f"expected a COCO instances JSON or a folder at {path}, found nothing there")
        raise UnknownName("dataset", dataset, KNOWN)
    return path


def _pictures(where: Where) -> Path:
    """The folder of the pictures of a dataset that lies on disk."""
    dataset, images, split, default_split = where
    folder, path = home(dataset), _file(dataset, split, default_split)
    if folder:
        refuse_images(images, f"the pictures lie in {folder} as well")
        scenes = _is_scenes(dataset)
        return folder / PICTURES if scenes else picture_folder(folder, split, purpose=default_split)
    if images is None:
        raise BadInput(f"expected --images DIR, the folder of the pictures of {path}, got none; add it")
    if not images.is_dir():
        raise BadInput(f"expected a folder of pictures at {images}, found none")
    return images


def data_name(dataset: str, *, split: str | None, default_split: str = "validation") -> str:
    """A file name that tells a dataset's content: scenes by what the generator draws, others by their JSON's bytes.

    Answers that are kept under it stay valid for as long as it stays the same, whatever the limit and size.

    Raises:
        UnknownName, BadInput: as `resolve`.
    """
    if dataset == SCENES:
        return f"{SCENES}-{known_split(split or default_split)}-{fingerprint()}"
    path = _file(dataset, split, default_split)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{Path(dataset).stem if _is_scenes(dataset) else path.stem}-{digest[:8]}"


def _drawn(split: str, rule: Rule, size: str, ids: Sequence[str] | None, tick: Tick) -> Iterator[Sample]:
    """Cases of the split's scenes in the order of their seeds, drawn where the cache does not hold them yet."""
    for images, rows in drawn_rows(split, ids):
        yield from cases(parse_coco(coco_of([rows], split), f"scene {rows['image']['id']}"), images, rule, size=size)
        tick()


def drawn_rows(split: str, ids: Sequence[str] | None) -> Iterator[tuple[Path, Rows]]:
    """The folder of the pictures, and the rows of each scene of a split, or of those that ids "SEED-…" are of.

    Raises:
        BadInput: the cache cannot be written.
    """
    images = cache_root() / f"{SCENES}-{fingerprint()}" / split
    for seed in SPLITS[split] if ids is None else _seeds(ids, split):
        try:
            rows = kept_or_drawn(images, seed)
        except OSError as error:
            raise BadInput(
                f"could not keep scene {seed} in {images}: {error}; make room, or move the cache with GLINTBOX_CACHE"
            ) from error
        yield images, rows


def _seeds(ids: Sequence[str], split: str) -> list[int]:
    """The scenes that ids are of; what is no id of the split is found missing afterwards, by its name."""
    seeds = {int(seed) for id in ids if (seed := id.partition("-")[0]).isdecimal()}
    return sorted(seed for seed in seeds if seed in SPLITS[split])


def check_split(content: Annotations, dataset: str, split: str | None, default_split: str) -> None:
    """Scenes of one split are never taken for another's: a test picture must not help to choose anything."""
    if content.split is None:
        if split is not None:
            raise BadInput(f"expected --split only for scenes, got {split!r} for {dataset}; leave it out")
        return
    asked = known_split(split or default_split)
    odd = next((seed for seed in content.pictures if seed not in SPLITS[asked]), None)
    if odd is not None:
        own = split_of(odd)
        raise BadInput(
            f"expected scenes of split {asked!r} in {dataset}, got scene {odd} of split {own!r}; "
            f"if that is what you mean, write --split {own}"
        )


def known_split(split: str) -> str:
    """A split of scenes, by its name."""
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    return split


def refuse_images(images: Path | None, why: str) -> None:
    """Refuse a folder of pictures where they lie elsewhere already."""
    if images is not None:
        raise BadInput(f"expected --images only with a COCO file, got {images}: {why}; leave it out")


def _one_of_each(found: Iterator[Sample]) -> Iterator[Sample]:
    for image, group in groupby(found, key=lambda sample: sample.image):
        own = list(group)
        yield own[int.from_bytes(hashlib.sha256(image.name.encode()).digest()[:8]) % len(own)]
