"""Scenes as a folder that any detection tool reads: PNG pictures, a COCO instances file with masks, expressions.

Each picture carries its own rows of both files, so that a picture that lies there whole is a finished scene: whatever
stopped the writing, the next start goes on, and the folder becomes the same, byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from glintbox.artifacts import write_whole
from glintbox.datasets.art import FOLDER as ART
from glintbox.datasets.expressions import expressions
from glintbox.datasets.scenes import SPLITS, Scene, categories, draw_scene, scene_seed
from glintbox.errors import BadInput
from glintbox.masks import encode

ANNOTATIONS = "instances.json"
EXPRESSIONS = "expressions.json"
PICTURES = "images"
LICENCES: Mapping[str, tuple[int, str]] = {
    "a": (1, "drawings: Noto Emoji, SIL Open Font License 1.1; Fluent Emoji, MIT License"),
    "b": (2, "drawings: Twemoji, CC BY 4.0"),
}
"""By style of the scenes."""

Rows = dict[str, Any]
"""What a scene adds to the files: `image`, `annotations`, `expressions`, numbered within the scene."""


def write_scenes(folder: Path, *, split: str, count: int, tick: Callable[[], None] = lambda: None) -> Path:
    """Draw the first `count` scenes of a split into `folder`; return the path of its COCO file, written last.

    Pictures of this very generator that lie there whole are kept, all others are drawn. Beside `images/`:
    `instances.json` (COCO; `area` counts the pixels of the mask, `segmentation` is its uncompressed run lengths, down
    the columns; `color` is what the object was painted in, or null) and `expressions.json` (rows of id, image_id,
    ann_id, sentence, kind, needs_more). `tick` is called once per scene, in order.

    Raises:
        BadInput: a count below 1 or beyond the split, a folder that cannot be written or that holds other pictures.
        UnknownName: no such split.
    """
    start, most = scene_seed(split, 0), len(SPLITS[split])
    if count < 1:
        raise BadInput(f"expected at least 1 scene, got {count}")
    if count > most:
        raise BadInput(f"expected at most {most} scenes of split {split!r}, got {count}")
    seeds = range(start, start + count)
    images = folder / PICTURES
    try:
        _refuse_others(images, seeds)
        _forget_older(folder)
        rows = []
        for seed in seeds:
            rows.append(kept_or_drawn(images, seed))
            tick()
        for part in [*folder.glob(".*.part"), *images.glob(".*.part")]:  # of a process that was killed
            part.unlink(missing_ok=True)
        return _write(folder, split, rows)
    except OSError as error:
        raise BadInput(
            f"expected a folder that can be written at {folder}, got: {error}; "
            "whole pictures are kept, run again to go on"
        ) from error


def kept_or_drawn(images: Path, seed: int) -> Rows:
    """The rows of a scene, from its picture in `images` if that lies there whole, else drawn and written there now.

    Raises OSError where it cannot be written.
    """
    path = images / _name(seed)
    rows = _kept(path)
    if rows is None:
        scene = draw_scene(seed)
        rows = {"drawn_by": fingerprint(), **_rows(scene)}
        carried = PngImagePlugin.PngInfo()
        carried.add_text("glintbox", json.dumps(rows), zip=True)
        written = io.BytesIO()
        scene.image.save(written, "PNG", pnginfo=carried)
        write_whole(path, written.getvalue())
    return rows


@cache
def fingerprint() -> str:
    """Sixteen hex digits of the art and of some drawn scenes: another release, or another Pillow, draws otherwise."""
    seen = hashlib.sha256()
    for path in sorted(ART.glob("sprites*")):
        seen.update(path.read_bytes())
    for seed in SPLITS["train"][:8]:
        scene = draw_scene(seed)
        seen.update(scene.image.tobytes() + json.dumps(_rows(scene)).encode())
    return seen.hexdigest()[:16]


def _name(seed: int) -> str:
    return f"{seed:08d}.png"


def _kept(path: Path) -> Rows | None:
    """What a whole picture of this generator carries; None where the file is missing, damaged or of another."""
    try:
        with Image.open(path, formats=["PNG"]) as png:
            rows: Rows = json.loads(png.info["glintbox"])
            png.verify()
        return rows if (rows["drawn_by"], rows["image"]["file_name"]) == (fingerprint(), path.name) else None
    except (OSError, SyntaxError, LookupError, TypeError, ValueError):
        return None


def _rows(scene: Scene) -> Rows:
    """Ids count from 1 hundred to a scene, so that they hold in every folder."""
    width, height = scene.image.size
    number = {label: k for k, label in enumerate(categories(), start=1)}
    own = 100 * scene.seed + 1
    return {
        "image": {
            "id": scene.seed,
            "file_name": _name(scene.seed),
            "width": width,
            "height": height,
            "license": LICENCES[scene.style][0],
        },
        "annotations": [
            {
                "id": own + k,
                "image_id": scene.seed,
                "category_id": number[found.label],
                "bbox": [found.box.x1, found.box.y1, found.box.width, found.box.height],
                "area": int(found.mask.sum()),
                "segmentation": {"size": [height, width], "counts": [*encode(found.mask).counts]},
                "iscrowd": 0,
                "color": found.color,
            }
            for k, found in enumerate(scene.objects)
        ],
        "expressions": [
            {
                "id": own + k,
                "image_id": scene.seed,
                "ann_id": own + one.target,
                "sentence": one.text,
                "kind": one.kind,
                "needs_more": one.needs_more,
            }
            for k, one in enumerate(expressions(scene))
        ],
    }


def _refuse_others(images: Path, seeds: Sequence[int]) -> None:
    own = {_name(seed) for seed in seeds}
    odd = next(
        (path.name for path in sorted(images.glob("*")) if not path.name.startswith(".") and path.name not in own), None
    )
    if odd is not None:
        raise BadInput(
            f"expected only the {len(seeds)} scenes asked for in {images}, found {odd}; "
            "choose another folder, or remove this one"
        )


def _forget_older(folder: Path) -> None:
    """Take away the files of another generator before the first of its pictures is drawn anew."""
    try:
        info = json.loads((folder / ANNOTATIONS).read_bytes())["info"]
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError):
        info = {}
    if info.get("drawn_by") != fingerprint():
        (folder / ANNOTATIONS).unlink()
        (folder / EXPRESSIONS).unlink(missing_ok=True)


def coco_of(rows: Sequence[Rows], split: str) -> dict[str, Any]:
    """The content of `instances.json`."""
    licence, words = LICENCES["b" if split == "test-style-b" else "a"]
    return {
        "info": {"description": f"glintbox scenes, split {split}", "split": split, "drawn_by": fingerprint()},
        "licenses": [{"id": licence, "name": words}],
        "images": [row["image"] for row in rows],
        "annotations": [annotation for row in rows for annotation in row["annotations"]],
        "categories": [{"id": k, "name": label} for k, label in enumerate(categories(), start=1)],
    }


def _write(folder: Path, split: str, rows: Sequence[Rows]) -> Path:
    told = [expression for row in rows for expression in row["expressions"]]
    write_whole(folder / EXPRESSIONS, json.dumps(told).encode())
    write_whole(folder / ANNOTATIONS, json.dumps(coco_of(rows, split)).encode())
    return folder / ANNOTATIONS
