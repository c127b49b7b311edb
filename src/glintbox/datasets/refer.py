"""The DATASET argument where expressions are wanted → cases: scenes, RefCOCO, RefCOCO+, RefCOCOg, ReasonSeg, rows."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from glintbox.datasets import reasonseg, refcoco, refer_rows
from glintbox.datasets.cases import SIZES, require_pictures
from glintbox.datasets.coco import parse_coco
from glintbox.datasets.draws import draw, named
from glintbox.datasets.folders import home
from glintbox.datasets.referred import Instances, Referred, Spoken
from glintbox.datasets.resolve import ENDLESS, SCENES, Tick, check_split, drawn_rows, known_split, refuse_images
from glintbox.datasets.scene_folder import ANNOTATIONS, EXPRESSIONS, PICTURES, coco_of, fingerprint
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample

log = logging.getLogger(__name__)

WORDS = (*refcoco.WORDS, reasonseg.WORD)
"""Words whose data are expressions and nothing else; `scenes` have both."""

KNOWN = (SCENES, *WORDS, "a folder of one of them", "rows of expressions as JSON or JSON lines with --images")


def expressions_of(dataset: str, **options: Any) -> list[Sample]:
    """The samples of `referred`, whose options and errors these are."""
    return [one.sample for one in referred(dataset, **options)]


def referred(
    dataset: str,
    *,
    images: Path | None = None,
    split: str | None = None,
    size: str = "any",
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    skip_missing: bool = False,
    default_split: str = "validation",
    tick: Tick = lambda: None,
) -> list[Referred]:
    """Every expression of a dataset as a case, in the order of its file; ids are "PICTURE-NUMBER".

    Options are those of `resolve`, but for these. size: the true box must fit it. sample: draw so many of those that
    fit, by their ids and `seed`, as `draw` does; of any size, masks of the others are not made.

    Raises:
        UnknownName: no such dataset, split or size.
        BadInput: options that do not belong together, files that are not there or not whole, a true box without area,
            pictures that are not there, no case.
    """
    _check(size, limit=limit, sample=sample)
    if sample is not None and dataset == SCENES:
        raise BadInput("expected a sample of data that lie on disk, got scenes, which have no end; take a limit")
    listed = source(dataset, images=images, split=split, default_split=default_split).spoken(ids, tick)
    if ids is not None:
        listed = iter(named(list(listed), ids, where=dataset))
    fitting: Iterator[Spoken] = (one for one in listed if _fits(one, size))
    if sample is not None and ids is None:
        fitting = _drawn(list(fitting), sample, seed)
    chosen = list(islice(fitting, limit or (ENDLESS if dataset == SCENES and ids is None else None)))
    there, lost = require_pictures(chosen, skip=skip_missing)
    if lost:
        log.warning("left out %d of %d expressions: their pictures are not there", lost, len(chosen))
    if not there:
        raise BadInput(f"expected expressions in {dataset}, got none" + ("" if size == "any" else f" that are {size}"))
    return [one.make() for one in there]


def _check(size: str, **numbers: int | None) -> None:
    for what, number in numbers.items():
        if number is not None and number < 1:
            raise BadInput(f"expected {what} >= 1, got {number}")
    if size not in SIZES:
        raise UnknownName("size", size, SIZES)


def _drawn(listed: Sequence[Spoken], count: int, seed: int) -> Iterator[Spoken]:
    chosen = set(draw([one.id for one in listed], count, seed=seed))
    return (one for one in listed if one.id in chosen)


def _fits(one: Spoken, size: str) -> bool:
    share = SIZES[size]
    return share is None or share.low <= one.make().share <= share.high


class Source(NamedTuple):
    """A name that tells the data's content, fit for a file, and its expressions, given ids and a tick."""

    name: str
    spoken: Callable[[Sequence[str] | None, Tick], Iterator[Spoken]]


def source(
    dataset: str, *, images: Path | None = None, split: str | None = None, default_split: str = "validation"
) -> Source:
    """Where the expressions of a dataset come from; options and errors as in `referred`."""
    if dataset == SCENES:
        refuse_images(images, "scenes are drawn into the cache")
        own = known_split(split or default_split)
        return Source(f"{SCENES}-{own}-{fingerprint()}-expressions", partial(_drawn_scenes, own))
    folder = home(dataset, WORDS)
    if folder is None:
        return _rows(dataset, images, split)
    if (folder / EXPRESSIONS).is_file():
        refuse_images(images, f"the pictures lie in {folder} as well")
        return _scene_folder(folder, split, default_split)
    if refcoco.is_refcoco(folder):
        part = refcoco.part_of(folder, split, purpose=default_split)
        name = f"{folder.name}-{part.refs.stem[5:-1]}-{part.split}-{_digest(part.refs)}"
        return _always(name, lambda: refcoco.spoken(folder, part, images))
    if reasonseg.is_reasonseg(folder):
        refuse_images(images, f"the pictures lie in {folder} as well")
        own_folder = reasonseg.split_folder(folder, split, purpose=default_split)
        name = f"{reasonseg.WORD}-{own_folder.name}-{reasonseg.digest(own_folder)}"
        return _always(name, lambda: reasonseg.spoken(own_folder))
    raise BadInput(
        f"expected expressions in {folder}, found no {EXPRESSIONS} of `glintbox scenes make`, no refs(unc).p, "
        "refs(umd).p or refs(google).p, and no val/ with pictures and JSON of ReasonSeg; name another folder, or rows"
    )


def _always(name: str, spoken: Callable[[], Iterator[Spoken]]) -> Source:
    """A source whose expressions are all read, whatever ids are wanted."""
    return Source(name, lambda ids, tick: spoken())


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:8]


def _rows(dataset: str, images: Path | None, split: str | None) -> Source:
    path = Path(dataset)
    if not path.is_file():
        if path.suffix in (".json", ".jsonl") or len(path.parts) > 1:
            raise BadInput(f"expected rows of expressions or a folder at {path}, found nothing there")
        raise UnknownName("dataset of expressions", dataset, KNOWN)
    rows = refer_rows.read_rows(path)
    if rows is None:
        raise BadInput(
            f"expected rows of expressions in {path}, got a JSON of another kind; of COCO's annotations name the "
            "folder that holds refs(unc).p beside them"
        )
    if images is None:
        raise BadInput(f"expected --images DIR, the folder of the pictures of {path}, got none; add it")
    folder = images
    name = f"{path.stem}-{split or 'all'}-{_digest(path)}"
    return _always(name, lambda: refer_rows.spoken(rows, folder, split=split, where=str(path)))


def _drawn_scenes(split: str, ids: Sequence[str] | None, tick: Tick) -> Iterator[Spoken]:
    for images, rows in drawn_rows(split, ids):
        where = f"scene {rows['image']['id']}"
        yield from _told(coco_of([rows], split), rows["expressions"], images, where)
        tick()


def _scene_folder(folder: Path, split: str | None, default_split: str) -> Source:
    path, told = folder / ANNOTATIONS, folder / EXPRESSIONS
    try:
        content, expressions = json.loads(path.read_bytes()), json.loads(told.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"expected {ANNOTATIONS} and {EXPRESSIONS} of `glintbox scenes make`, got: {error}") from error
    check_split(parse_coco(content, str(path)), str(folder), split, default_split)
    name = f"{folder.name}-{_digest(path, told)}-expressions"
    return _always(name, lambda: _told(content, expressions, folder / PICTURES, str(path)))


def _told(content: Any, rows: Any, images: Path, where: str) -> Iterator[Spoken]:
    """The expressions of scenes; an id is "SCENE-K", K the last two digits of the row's own."""
    instances = Instances(content, where)
    try:
        for row in rows:
            id = f"{row['image_id']}-{row['id'] - 100 * row['image_id']}"
            image = images / instances.picture(row["ann_id"])
            make = partial(_of_kind, instances, row["ann_id"], id=id, text=row["sentence"], image=image, row=row)
            yield Spoken(id, image, make)
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"expected {EXPRESSIONS} of `glintbox scenes make` beside {where}, got {type(error).__name__}: {error}"
        ) from error


def _of_kind(
    instances: Instances, annotation: int, *, id: str, text: str, image: Path, row: Mapping[str, Any]
) -> Referred:
    found = instances.referred(annotation, id=id, text=text, image=image)
    return replace(found, kind=row["kind"], needs_more=row["needs_more"])
