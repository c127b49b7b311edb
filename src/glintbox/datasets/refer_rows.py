"""Expressions as rows of a JSON or JSON-lines file, as the datasets of the Hugging Face Hub have them when exported.

Three forms are known by their fields. They write the same box in three ways, so each is read by its own rule:

- `solution`, `normal_caption`, `image`, `width`, `height` (om-ai's VLM-R1): `solution` is the truth, x1 y1 x2 y2: it is
  COCO's x, y, x + width, y + height to the digit. The row's `bbox_list` ends one pixel earlier on both axes (x + width
  - 1, as boxes of whole pixels count their last one) and is left alone.
- `raw_anns`, `raw_image_info`, `sentences` (jxu124): the COCO annotation itself, as JSON text in the row.
- `bbox`, `answer`, `file_name` (lmms-lab): `bbox` is COCO's x, y, width, height; each answer is an expression.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glintbox.boxes import Size
from glintbox.datasets.cases import Pictures
from glintbox.datasets.referred import Instances, Referred, Spoken, expression, true_box
from glintbox.errors import BadInput
from glintbox.images import size_of
from glintbox.masks import from_polygons
from glintbox.records import Sample

Row = Mapping[str, Any]

ENTRY = re.compile(r"(COCO_\w+_\d{12})_\d+(?=\.)")
"""COCO's name of a picture with a number behind it, as RefCOCO names its entries."""


def read_rows(path: Path) -> list[Row] | None:
    """The rows of a JSON array or of JSON lines; None where the file holds another kind of JSON.

    Raises:
        BadInput: no JSON, or rows that are no objects.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text)
    except (OSError, ValueError) as error:
        raise BadInput(f"expected rows of expressions as JSON or JSON lines in {path}, got: {error}") from error
    if not isinstance(rows, list):
        return None
    if odd := [k for k, row in enumerate(rows) if not isinstance(row, Mapping)]:
        raise BadInput(f"expected an object in every row of {path}, got another value in row {odd[0]}")
    return rows


def spoken(rows: Sequence[Row], images: Path, *, split: str | None, where: str) -> Iterator[Spoken]:
    """Every expression of the rows, or of those of a split, in their order; an id is "PICTURE-ROW-EXPRESSION".

    Raises:
        BadInput: a row of no known form, a split where rows have none, or one that no row is of.
    """
    pictures, splits = Pictures(images), {row.get("split") for row in rows}
    if split is not None and split not in splits:
        known = ", ".join(sorted(str(one) for one in splits - {None})) or "none: rows have no split, leave it out"
        raise BadInput(f"expected a split that rows of {where} have, got {split!r}; they have {known}")
    for number, row in enumerate(rows):
        if split is None or row.get("split") == split:
            yield from _spoken(row, pictures, f"row {number} of {where}", number)


def _spoken(row: Row, pictures: Pictures, place: str, number: int) -> Iterator[Spoken]:
    try:
        file, texts, make = _form(row)(row, place)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"texts are due, there are {texts!r}")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise BadInput(
            f"expected the expressions of a box in {place} (solution, normal_caption, image, width, height; or "
            f"raw_anns, raw_image_info, sentences; or bbox, answer, file_name), got {type(error).__name__}: {error}"
        ) from error
    image = pictures(file)
    for k, text in enumerate(texts):
        id = f"{Path(file).stem}-{number}-{k}"
        yield Spoken(id, image, partial(make, id=id, text=text, image=image))


Told = tuple[str, list[Any], Callable[..., Referred]]
"""A picture's file, what should be expressions, and how a case is made of an id, a text and an image."""


def _form(row: Row) -> Callable[[Row, str], Told]:
    if "solution" in row:
        return _solution
    return _raw if "raw_anns" in row else _bbox


def _solution(row: Row, place: str) -> Told:
    written = row["solution"]
    x1, y1, x2, y2 = json.loads(written) if isinstance(written, str) else written
    size = Size(int(row["width"]), int(row["height"]))
    corners = (x1, y1, x2 - x1, y2 - y1)

    def make(*, id: str, text: str, image: Path) -> Referred:
        return Referred(Sample(id, image, size, expression(text, place), (true_box(corners, size, place),)))

    return str(row["image"]), [row["normal_caption"]], make


def _raw(row: Row, place: str) -> Told:
    annotation, picture = json.loads(row["raw_anns"]), json.loads(row["raw_image_info"])
    content = {"images": [picture], "categories": [], "annotations": [annotation]}
    instances = Instances(content, place)

    def make(*, id: str, text: str, image: Path) -> Referred:
        alone = instances.referred(annotation["id"], id=id, text=text, image=image)
        return Referred(alone.sample)  # of the others in the picture the row says nothing

    return str(picture["file_name"]), [said["sent"] for said in row["sentences"]], make


def _bbox(row: Row, place: str) -> Told:
    written, outline = row["bbox"], row.get("segmentation")

    def make(*, id: str, text: str, image: Path) -> Referred:
        size = size_of(image)
        mask = from_polygons(size, [outline] if isinstance(outline[0], float | int) else outline) if outline else None
        box = true_box(written, size, place)
        return Referred(Sample(id, image, size, expression(text, place), (box,), mask))

    return ENTRY.sub(r"\1", str(row["file_name"])), list(row["answer"]), make
