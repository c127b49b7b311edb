"""Scenes laid out by hand or at random: boxes with names and colours, on a white picture."""

import numpy as np
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.datasets.scenes import Scene, SceneObject

Corners = tuple[float, float, float, float]
Laid = tuple[str, Corners] | tuple[str, Corners, str | None]


WIDE = Size(200, 100)


def laid_out(*objects: Laid, size: Size = WIDE, seed: int = 0) -> Scene:
    """Each object: label, corners in px, and its colour where it is painted; the mask fills the box."""
    return Scene(
        seed, Image.new("RGB", size, "white"), tuple(_object(size, *(*each, None)[:3]) for each in objects), "a"
    )


def _object(size: Size, label: str, corners: Corners, color: str | None) -> SceneObject:
    box = Box(*corners)
    mask = np.zeros((size.height, size.width), dtype=bool)
    mask[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)] = True
    return SceneObject(label, box, box.area / (size.width * size.height), color, mask)


def random_layout(seed: int, labels: tuple[str, ...], colors: tuple[str, ...]) -> Scene:
    """Two to twelve boxes of a few labels; a label is painted in all its instances or in none."""
    random = np.random.default_rng(seed)
    size = Size(*random.choice([(300, 200), (200, 300), (240, 336)]).tolist())
    painted = {label: random.random() < 0.6 for label in labels}
    own = random.permutation(labels)[: random.integers(2, 5)]
    objects: list[Laid] = []
    for _ in range(random.integers(2, 13)):
        label = str(random.choice(own))
        wide, high = np.exp(random.uniform(np.log(6), np.log(120), size=2))
        x, y = random.uniform(0, size.width - wide), random.uniform(0, size.height - high)
        corners = (float(x), float(y), float(x + wide), float(y + high))
        objects.append((label, corners, str(random.choice(colors))) if painted[label] else (label, corners))
    return laid_out(*objects, size=size, seed=seed)
