"""Scenes for the model in the box, drawn anew: what it can find, and what is hard for it."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from glintbox.datasets.scenes import draw_scene, scene_seed

SCENES = ((2, "hat"), (7, "laptop"), (9, "clock"), (14, "bicycle"), (15, "owl"), (23, "donut"))
"""Index in validation, and what is asked for; chosen for variety, not by result."""


class Example(NamedTuple):
    """A picture file's name, what to find in it, and its bytes (JPEG)."""

    name: str
    query: str
    picture: bytes


def examples() -> tuple[Example, ...]:
    """The pictures of examples/images."""
    return tuple(_example(index, query) for index, query in SCENES)


def _example(index: int, query: str) -> Example:
    file = BytesIO()
    draw_scene(scene_seed("validation", index)).image.save(file, "JPEG", quality=95)
    return Example(f"scene-{index:02d}-{query}.jpg", query, file.getvalue())
