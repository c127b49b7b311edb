"""Generated scenes with known boxes: emoji sprites on natural-ish clutter; the same seed draws the same picture."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput, UnknownName

FOLDER = Path(__file__).parent
SHAPES: tuple[Size, ...] = (Size(288, 288), Size(240, 336), Size(336, 240))  # px; 144 or 140 cells of 24 px
SMALLEST, LARGEST = 0.001, 0.30  # share of the image, log-uniform between them
MOST_INSTANCES = 3

# Disjoint ranges of seeds. `test` is drawn last and touched once per table; style b is reserved for other art.
SPLITS: Mapping[str, range] = {
    "train": range(0, 10_000_000),
    "calibration": range(10_000_000, 11_000_000),
    "validation": range(11_000_000, 12_000_000),
    "test": range(12_000_000, 13_000_000),
    "test-style-b": range(13_000_000, 14_000_000),
}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One drawn sprite; the box is tight around its pixels that are at least half opaque."""

    label: str
    box: Box
    area: float  # share of the image that the box covers


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (RGB) and all that was drawn into it, left to right (the order in which the model lists instances)."""

    seed: int
    image: Image.Image
    objects: tuple[SceneObject, ...]

    def boxes(self, label: str) -> tuple[Box, ...]:
        """True boxes of one category; empty where it is absent."""
        return tuple(found.box for found in self.objects if found.label == label)


class _Placed(NamedTuple):
    """A sprite at its final size, and the top-left pixel where it goes."""

    label: str
    sprite: Image.Image
    x: int
    y: int

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.x + self.sprite.width, self.y + self.sprite.height)


def scene_seed(split: str, index: int) -> int:
    """The seed of the scene number `index` of a split."""
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    if not 0 <= index < len(SPLITS[split]):
        raise BadInput(f"expected an index in 0..{len(SPLITS[split]) - 1} for split {split!r}, got {index}")
    return SPLITS[split][index]


@cache
def sprites() -> Mapping[str, tuple[Image.Image, ...]]:
    """Sprites by label, RGBA, about 120 px; cut from the Noto Color Emoji font (OFL 1.1, sprites.LICENSE.txt)."""
    atlas = Image.open(FOLDER / "sprites.webp").convert("RGBA")
    places: dict[str, list[list[int]]] = json.loads((FOLDER / "sprites.json").read_text())
    return {label: tuple(atlas.crop((x1, y1, x2, y2)) for x1, y1, x2, y2 in found) for label, found in places.items()}


def categories() -> tuple[str, ...]:
    """All labels that a scene can hold, in the order of the atlas."""
    return tuple(sprites())


def draw_scene(seed: int, *, size: Size | None = None, objects: int | None = None) -> Scene:
    """The scene of a seed; `size` and the number of `objects` asked for are drawn too where not given."""
    if seed < 0:
        raise BadInput(f"expected a seed >= 0, got {seed}")
    random = np.random.default_rng(seed)
    drawn = SHAPES[random.integers(len(SHAPES))]
    size = size or drawn
    canvas = _background(random, size)
    placed = _place(random, size, _wanted(random, objects))
    for each in placed:
        _paste(random, canvas, each)
    found = [SceneObject(each.label, each.box, each.box.area / (size.width * size.height)) for each in placed]
    found.sort(key=lambda each: (each.box.x1, each.box.y1))
    return Scene(seed, _lens(random, canvas), tuple(found))


def _wanted(random: np.random.Generator, objects: int | None) -> list[tuple[str, float]]:
    """Labels and areas asked for, largest first; now and then several instances of one category."""
    count = objects or int(random.integers(2, 9))
    labels: list[str] = []
    for label in random.permutation(categories()):
        labels += [str(label)] * (1 if random.random() < 0.8 else int(random.integers(2, MOST_INSTANCES + 1)))
        if len(labels) >= count:
            break
    areas = np.exp(random.uniform(math.log(SMALLEST), math.log(LARGEST), size=count))
    return sorted(zip(labels[:count], areas.tolist(), strict=True), key=lambda pair: -pair[1])


def _place(random: np.random.Generator, size: Size, wanted: list[tuple[str, float]]) -> list[_Placed]:
    """Sprites at places where no two boxes touch; what finds no room in 30 tries is left out."""
    taken = np.zeros((size.height, size.width), dtype=bool)
    placed: list[_Placed] = []
    for label, area in wanted:
        sprite = _dress(random, label, area * size.width * size.height)
        if sprite.width >= size.width or sprite.height >= size.height:
            continue
        spot = _free_spot(random, taken, sprite)
        if spot is not None:
            x, y = spot
            taken[y : y + sprite.height, x : x + sprite.width] = True
            placed.append(_Placed(label, sprite, x, y))
    return placed


def _free_spot(
    random: np.random.Generator, taken: Bool[np.ndarray, "y x"], sprite: Image.Image
) -> tuple[int, int] | None:
    """Top-left x, y of a place where the sprite covers nothing."""
    for _ in range(30):
        x = int(random.integers(0, taken.shape[1] - sprite.width + 1))
        y = int(random.integers(0, taken.shape[0] - sprite.height + 1))
        if not taken[y : y + sprite.height, x : x + sprite.width].any():
            return x, y
    return None


def _dress(random: np.random.Generator, label: str, area: float) -> Image.Image:
    """A sprite of the label mirrored, turned, stretched, tinted and scaled to a box of `area` px², cropped tight."""
    variants = sprites()[label]
    sprite = variants[random.integers(len(variants))]
    if random.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.5:
        turned = sprite.rotate(float(random.uniform(-18, 18)), Image.Resampling.BICUBIC, expand=True)
        sprite = turned.crop(turned.getbbox())
    aspect = sprite.width / sprite.height * math.exp(random.uniform(-0.2, 0.2))
    high = math.sqrt(area / aspect)
    grows = high > sprite.height
    resampling = Image.Resampling.BICUBIC if grows else Image.Resampling.BOX
    sprite = sprite.resize((max(6, round(high * aspect)), max(6, round(high))), resampling)
    solid = sprite.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox()
    if solid is not None:
        sprite = sprite.crop(solid)
    color = ImageEnhance.Brightness(sprite).enhance(float(random.uniform(0.75, 1.15)))
    return ImageEnhance.Color(color).enhance(float(random.uniform(0.7, 1.2)))


def _paste(random: np.random.Generator, canvas: Image.Image, placed: _Placed) -> None:
    """Draw a sprite, in half of the cases with a soft shadow below it."""
    if random.random() < 0.5:
        alpha = placed.sprite.getchannel("A").point(lambda value: value * 2 // 5)
        reach = max(1, placed.sprite.height // 14)
        shadow = Image.new("L", (alpha.width + 4 * reach, alpha.height + 4 * reach))
        shadow.paste(alpha, (2 * reach, 2 * reach))
        shadow = shadow.filter(ImageFilter.BoxBlur(reach))
        canvas.paste((0, 0, 0), (placed.x - reach, placed.y - reach), shadow)
    canvas.paste(placed.sprite, (placed.x, placed.y), placed.sprite)


def _background(random: np.random.Generator, size: Size) -> Image.Image:
    """Blurred colour fields, some shapes and strokes, grain."""
    knots = random.integers(2, 8, size=2)
    fields = Image.fromarray(random.integers(0, 256, (*knots, 3), dtype=np.uint8))
    canvas = ImageEnhance.Color(fields.resize(size, Image.Resampling.BICUBIC)).enhance(float(random.uniform(0.2, 0.9)))
    canvas = canvas.convert("RGB")
    pen = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(random.integers(0, 8)):
        _clutter(random, pen, size)
    if random.random() < 0.7:
        canvas = canvas.filter(ImageFilter.BoxBlur(float(random.uniform(0.5, 3))))
    grain = random.normal(0, random.uniform(1, 12), (size.height // 2, size.width // 2, 1)).astype(np.float32)
    grain = grain.repeat(2, axis=0).repeat(2, axis=1)
    lit = np.asarray(canvas, dtype=np.float32) * random.uniform(0.5, 1) + random.uniform(0, 80) + grain
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _clutter(random: np.random.Generator, pen: ImageDraw.ImageDraw, size: Size) -> None:
    """One shape without a name: rectangle, ellipse, triangle or stroke."""
    color = (*(int(value) for value in random.integers(0, 256, 3)), int(random.integers(60, 220)))
    x, y = float(random.uniform(-20, size.width)), float(random.uniform(-20, size.height))
    wide, high = (float(value) for value in np.exp(random.uniform(math.log(8), math.log(160), size=2)))
    kind = random.integers(4)
    if kind == 0:
        pen.rectangle((x, y, x + wide, y + high), fill=color)
    elif kind == 1:
        pen.ellipse((x, y, x + wide, y + high), fill=color)
    elif kind == 2:
        pen.polygon([(x, y), (x + wide, y + high / 3), (x + wide / 2, y + high)], fill=color)
    else:
        pen.line((x, y, x + wide, y + high - 40), fill=color, width=int(random.integers(1, 7)))


def _lens(random: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """What a camera adds: a slight blur, compression."""
    if random.random() < 0.3:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(random.uniform(0.2, 0.8))))
    written = io.BytesIO()
    canvas.save(written, "JPEG", quality=int(random.integers(60, 96)))
    return Image.open(written).convert("RGB")
