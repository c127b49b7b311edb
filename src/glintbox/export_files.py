"""Many results as the text of one file, in the formats of other tools: the table of what `glintbox export` writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from glintbox.datasets.coco import Annotations
from glintbox.errors import BadInput
from glintbox.exports import (
    UNSCORED,
    bbox_2d,
    coco_results,
    fiftyone_detections,
    hugging_face,
    label_studio_task,
    picture_of,
)
from glintbox.runs import Kept

ABOUT = ("id", "image", "width", "height", "query", "method", "score_kind", "answers", "unreadable")
"""What is said of a result; answers: how many the model gave, and how many of them nothing could be read from."""

BOX = ("x1", "y1", "x2", "y2", "score")
"""Further columns of the CSV (px), one line per box; a picture without a box has one line, empty from x1 on."""


class Options(NamedTuple):
    """What some formats need told.

    annotations: the COCO file whose ids results are to have. unscored: for COCO, the score of a box without one.
    frame: for bbox_2d, a name of `FRAMES`, or "model" for the units that the model wrote in.
    prefix: for Label Studio, what pictures' names are put behind, in place of their folder.
    """

    annotations: Annotations | None = None
    unscored: float = UNSCORED
    frame: str = "pixels"
    prefix: str | None = None


def _coco(kept: Sequence[Kept], options: Options) -> str:
    if options.annotations is None:
        raise BadInput(
            "expected the annotations whose picture and category ids COCO results are to have, got none; "
            "add --annotations instances.json, or export to csv"
        )
    return _json(coco_results(kept, options.annotations, unscored=options.unscored))


def _fiftyone(kept: Sequence[Kept], options: Options) -> str:
    """FiftyOne's FiftyOneImageDetectionDataset: boxes by the picture's stem, those of several queries together."""
    labels: dict[str, list[dict[str, Any]]] = {}
    pictures: dict[str, str] = {}
    for one in kept:
        picture = picture_of(one)
        stem = PurePosixPath(picture).stem
        if (other := pictures.setdefault(stem, picture)) != picture:
            raise BadInput(f"expected one picture of each name, as FiftyOne wants, got {other} and {picture}")
        rows = labels.setdefault(stem, [])
        for row in fiftyone_detections(one.result):
            row.pop("mask", None)  # a dataset of this type has none
            rows.append(row | {"attributes": {name: row.pop(name) for name in ("method", "score_kind")}})
    return _json({"classes": None, "labels": labels})


def _label_studio(kept: Sequence[Kept], options: Options) -> str:
    def place(image: str) -> str:
        return image if options.prefix is None else f"{options.prefix}{PurePosixPath(image).name}"

    return _json([label_studio_task(one.result, place(picture_of(one))) for one in kept])


def _hugging_face(kept: Sequence[Kept], options: Options) -> str:
    return _json([_about(one) | {"detections": hugging_face(one.result)} for one in kept])


def _bbox_2d(kept: Sequence[Kept], options: Options) -> str:
    frame = options.frame
    return _json([_about(one) | {"frame": frame, "boxes": bbox_2d(one.result, frame)} for one in kept])


def _csv(kept: Sequence[Kept], options: Options) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*ABOUT, *BOX])
    for one in kept:
        rows = [[*box, score] for box, score, *_ in one.result.boxes] or [[None] * len(BOX)]
        table.writerows([*_about(one).values(), *row] for row in rows)
    return text.getvalue()


def _about(one: Kept) -> dict[str, Any]:
    """What a result is of and how it came about."""
    found, readings = one.result.found, one.result.found.readings
    answers = (len(readings), readings.count("unreadable"))
    how = (found.query, one.result.method, one.result.score_kind)
    return dict(zip(ABOUT, (one.result.id, one.image, *found.image, *how, *answers), strict=True))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Kept], Options], str]] = {
    "bbox-2d": _bbox_2d,
    "coco": _coco,
    "csv": _csv,
    "fiftyone": _fiftyone,
    "hf": _hugging_face,
    "label-studio": _label_studio,
}
"""The text of a file of many results, by format."""
