"""A Grounding in the formats of other tools: plain Python out, their own objects where the tool is installed.

Boxes are px of the original, upright picture until here; each format's own units are made at this edge only. A box
without a score gets none, but in COCO results, which demand one. The label is the query: what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from glintbox.datasets.coco import Annotations
from glintbox.errors import BadInput, MissingExtra, UnknownName
from glintbox.geometry import CoordFrame
from glintbox.masks import decode, to_string
from glintbox.parsing import FRAMES, frame_of
from glintbox.records import Grounding, ScoredBox
from glintbox.runs import Kept

SCORE_KINDS: Mapping[str, str] = {
    "iou": "the IoU with the true box that a regressor predicts; compares boxes of all pictures",
    "rank": "how well a candidate ranks among those of its picture; made to compare boxes of one picture",
    "agreement": "the IoU with the other candidates, or with where heads look; made to compare boxes of one picture",
    "share": "the share of the attention that falls into the region; made to compare boxes of one picture",
    "none": "the method gives no score",
}
"""What a score is, by `Grounding.score_kind`."""

UNSCORED = 1.0
"""What COCO results hold for a box without a score: all alike, so that AP is what precision and recall alone give."""


UNSCORED = 1.0
"""What COCO results hold for a box without a score: all alike, so that AP is what precision and recall alone give."""


def coco_results(kept: Iterable[Kept], annotations: Annotations, *, unscored: float = UNSCORED) -> list[dict[str, Any]]:
    """COCO results: image_id, category_id, bbox x y width height (px), score, and masks as run lengths.

    Pictures are found by the end of their path, categories by name = query. `score_kind` goes along; COCO's tools pass
    over it. A box without a score gets `unscored`.

    Raises:
        BadInput: a picture that the annotations do not have, or have in another size.
        UnknownName: a query that is no category of theirs.
    """
    names = {name: id for id, name in annotations.names.items()}
    files = {picture.file: id for id, picture in annotations.pictures.items()}
    rows: list[dict[str, Any]] = []
    for one in kept:
        result, id = one.result, _image_id(files, picture_of(one))
        if (size := annotations.pictures[id].size) != (own := result.found.image):
            raise BadInput(
                f"expected {size.width}x{size.height} px for {one.image}, as its annotations say, "
                f"got {own.width}x{own.height}; are they of another copy, or one that is not turned upright?"
            )
        if result.found.query not in names:
            raise UnknownName("category", result.found.query, names)
        for box, score, _, mask, _ in result.boxes:
            row = {
                "image_id": id,
                "category_id": names[result.found.query],
                "bbox": [box.x1, box.y1, box.width, box.height],
                "score": unscored if score is None else score,
                "score_kind": result.score_kind if score is not None else "none",
            }
            if mask is not None:
                row["segmentation"] = {"size": [mask.size.height, mask.size.width], "counts": to_string(mask)}
            rows.append(row)
    return rows


def _image_id(files: Mapping[str, int], image: str) -> int:
    parts = PurePosixPath(image).parts
    for start in range(len(parts)):
        if (id := files.get("/".join(parts[start:]))) is not None:
            return id
    raise BadInput(
        f"expected {image} among the {len(files)} pictures of the annotations, found none at the end of its path; "
        "are they of this split?"
    )


def picture_of(kept: Kept) -> str:
    """The path or URL of a result's picture.

    Raises:
        BadInput: it is not known.
    """
    if kept.image is None:
        raise BadInput(
            f"expected the picture of {kept.result.id!r}, which this format names, got a result alone; "
            "export a folder that glintbox ground --out wrote"
        )
    return kept.image


def fiftyone_detections(result: Grounding) -> list[dict[str, Any]]:
    """What `fiftyone.Detection` takes: bounding_box as x y width height in shares of the picture, confidence, mask.

    mask: an array of the pixels that the box touches. The query, method and `score_kind` go along as attributes.
    """
    size = result.found.image
    rows: list[dict[str, Any]] = []
    for box, score, _, mask, _ in result.boxes:
        wide, high = size
        row: dict[str, Any] = {
            "label": result.found.query,
            "bounding_box": [box.x1 / wide, box.y1 / high, box.width / wide, box.height / high],
            "method": result.method,
            "score_kind": result.score_kind,
        }
        if score is not None:
            row["confidence"] = score
        if mask is not None:
            left, top, right, bottom = math.floor(box.x1), math.floor(box.y1), math.ceil(box.x2), math.ceil(box.y2)
            row["mask"] = decode(mask)[top:bottom, left:right]
        rows.append(row)
    return rows


def to_fiftyone(result: Grounding) -> Any:
    """The same as `fiftyone.Detections`.

    Raises:
        MissingExtra: fiftyone is not installed.
    """
    try:
        import fiftyone
    except ModuleNotFoundError as error:
        raise MissingExtra("fiftyone", "fiftyone") from error
    return fiftyone.Detections(detections=[fiftyone.Detection(**row) for row in fiftyone_detections(result)])


def label_studio_task(result: Grounding, image: str) -> dict[str, Any]:
    """A task with one prediction, regions in percent with their scores; without boxes it has no regions but stays.

    The labelling config has <Image name="image" value="$image"/> and <RectangleLabels name="label" toName="image">.
    Masks are left out.
    """
    size = result.found.image
    wide, high = size.width / 100, size.height / 100
    regions = [
        {
            "id": f"{result.id}-{k}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": size.width,
            "original_height": size.height,
            "image_rotation": 0,
            "value": {
                "x": box.x1 / wide,
                "y": box.y1 / high,
                "width": box.width / wide,
                "height": box.height / high,
                "rotation": 0,
                "rectanglelabels": [result.found.query],
            },
            **({} if score is None else {"score": score}),
        }
        for k, (box, score, *_) in enumerate(result.boxes)
    ]
    best = max((score for _, score, *_ in result.boxes if score is not None), default=None)
    version = f"{result.found.setting.model} {result.method} ({result.score_kind})"
    prediction = {"model_version": version, "result": regions, **({} if best is None else {"score": best})}
    return {"data": {"image": image, "id": result.id, "query": result.found.query}, "predictions": [prediction]}


def to_supervision(result: Grounding) -> Any:
    """`supervision.Detections`: xyxy (px); confidence and mask where all boxes have one.

    data: class_name (the query), method and score_kind of each box.

    Raises:
        MissingExtra: supervision is not installed.
    """
    try:
        import supervision
    except ModuleNotFoundError as error:
        raise MissingExtra("supervision", "supervision") from error
    scores, masks = [one.score for one in result.boxes], [one.mask for one in result.boxes]
    each = {"class_name": result.found.query, "method": result.method, "score_kind": result.score_kind}
    return supervision.Detections(
        xyxy=np.array([tuple(one.box) for one in result.boxes], dtype=np.float32).reshape(-1, 4),
        confidence=None if not scores or None in scores else np.array(scores, dtype=np.float32),
        class_id=np.zeros(len(scores), dtype=int),
        mask=None if not masks or None in masks else np.stack([decode(mask) for mask in masks if mask is not None]),
        data={name: np.array([value] * len(scores), dtype=object) for name, value in each.items()},
    )


def hugging_face(result: Grounding) -> list[dict[str, Any]]:
    """Hugging Face's zero-shot-object-detection shape: score (None = none), label, box of xmin ymin xmax ymax (px)."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"score": one.score, "label": result.found.query, "box": dict(zip(corners, one.box, strict=True))}
        for one in result.boxes
    ]


def bbox_2d(result: Grounding, frame: str = "pixels") -> list[dict[str, Any]]:
    """What vision-language models read and write: bbox_2d x1 y1 x2 y2, label, and score where there is one.

    frame: a name of `FRAMES` ("pixels" are the original picture's), or "model" for the units that the model wrote in.

    Raises:
        UnknownName: no such frame.
    """
    if frame not in (known := [*FRAMES, "model"]):
        raise UnknownName("frame", frame, known)
    found = result.found
    units: CoordFrame = found.frame if frame == "model" else frame_of(frame, image=found.image)
    return [_written(one, units, found.query) for one in result.boxes]


def _written(one: ScoredBox, units: CoordFrame, label: str) -> dict[str, Any]:
    numbers = [round(value, 6) for value in units.written(one.box)]
    return {"bbox_2d": numbers, "label": label, **({} if one.score is None else {"score": one.score})}
