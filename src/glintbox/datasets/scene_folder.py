"""Scenes as a folder that any detection tool reads: PNG pictures and a COCO instances file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glintbox.artifacts import write_whole
from glintbox.datasets.scenes import Scene, categories, draw_scene, scene_seed
from glintbox.errors import BadInput

ANNOTATIONS = "instances.json"
PICTURES = "images"


def write_scenes(folder: Path, *, split: str, count: int, tick: Callable[[], None]) -> Path:
    """Draw the first `count` scenes of a split into `folder` and return the path of its COCO file, written last.

    Pictures that lie there already are written anew: an older release may have drawn them otherwise. `tick` is called
    once per scene.

    Raises:
        BadInput: a count below 1, or a folder that cannot be written.
        UnknownName: no such split.
    """
    if count < 1:
        raise BadInput(f"expected at least 1 scene, got {count}")
    seeds = [scene_seed(split, index) for index in range(count)]
    number = {label: k for k, label in enumerate(categories(), start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        for seed in seeds:
            scene = draw_scene(seed)
            images.append(_picture(folder, scene))
            annotations += [_annotation(scene, k, number, len(annotations) + k + 1) for k in range(len(scene.objects))]
            tick()
        coco = {
            "info": {"description": f"glintbox scenes, split {split}", "split": split},
            "licenses": [{"id": 1, "name": "drawings: Noto Emoji, SIL Open Font License 1.1"}],
            "images": images,
            "annotations": annotations,
            "categories": [{"id": k, "name": label} for label, k in number.items()],
        }
        write_whole(folder / ANNOTATIONS, json.dumps(coco).encode())
    except OSError as error:
        raise BadInput(f"expected a folder that can be written at {folder}, got: {error}") from error
    return folder / ANNOTATIONS


def _picture(folder: Path, scene: Scene) -> dict[str, Any]:
    name = f"{scene.seed:08d}.png"
    buffer = io.BytesIO()
    scene.image.save(buffer, "PNG")
    write_whole(folder / PICTURES / name, buffer.getvalue())
    width, height = scene.image.size
    return {"id": scene.seed, "file_name": name, "width": width, "height": height, "license": 1}


def _annotation(scene: Scene, place: int, number: dict[str, int], id: int) -> dict[str, Any]:
    found = scene.objects[place]
    box = found.box
    return {
        "id": id,
        "image_id": scene.seed,
        "category_id": number[found.label],
        "bbox": [box.x1, box.y1, box.width, box.height],
        "area": box.area,
        "iscrowd": 0,
    }
