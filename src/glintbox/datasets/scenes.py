"""Generated scenes with known boxes and masks: many small things among others like them; a seed is a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image, ImageDraw, ImageFilter

from glintbox.boxes import Box, Size
from glintbox.datasets.art import COLORS, PAINTABLE, SOLID, categories, dress, families, named_sprites, unnamed_sprites
from glintbox.datasets.backdrops import backdrop, lens
from glintbox.errors import BadInput, UnknownName

__all__ = ["COLORS", "SHAPES", "SPLITS", "Scene", "SceneObject", "categories", "draw_scene", "scene_seed", "split_of"]

SHAPES: tuple[Size, ...] = (Size(288, 288), Size(240, 336), Size(336, 240))  # px; 144 or 140 cells of 24 px
SMALLEST, LARGEST = 0.0005, 0.40  # share of the image, log-uniform between them
MOST_INSTANCES = 6
VISIBLE = 0.7  # of its pixels that every object shows at least
TRIES = 30  # places looked at for one object

# Disjoint ranges of seeds. `test` is drawn last and touched once per table; style b is other art and other grounds.
SPLITS: Mapping[str, range] = {
    "train": range(0, 10_000_000),
    "calibration": range(10_000_000, 11_000_000),
    "validation": range(11_000_000, 12_000_000),
    "test": range(12_000_000, 13_000_000),
    "test-style-b": range(13_000_000, 14_000_000),
}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One drawn sprite; box (px) is tight around mask, the pixels of the image that show it.

    area: share of the image that the box covers. color: what it was painted in, None = its natural colours.
    """

    label: str
    box: Box
    area: float
    color: str | None
    mask: Bool[np.ndarray, "y x"]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (RGB) and all that has a name in it, left to right (the order in which the model lists instances)."""

    seed: int
    image: Image.Image
    objects: tuple[SceneObject, ...]
    style: str

    def boxes(self, label: str) -> tuple[Box, ...]:
        """True boxes of one category; empty where it is absent."""
        return tuple(found.box for found in self.objects if found.label == label)


class _Wanted(NamedTuple):
    """What shall be drawn; label None stands for clutter without a name."""

    label: str | None
    area: float  # share of the image
    color: str | None = None


def scene_seed(split: str, index: int) -> int:
    """The seed of the scene number `index` of a split."""
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    if not 0 <= index < len(SPLITS[split]):
        raise BadInput(f"expected an index in 0..{len(SPLITS[split]) - 1} for split {split!r}, got {index}")
    return SPLITS[split][index]


def split_of(seed: int) -> str:
    """The split that a seed belongs to."""
    for split, seeds in SPLITS.items():
        if seed in seeds:
            return split
    known = ", ".join(f"{split}: {seeds.start}-{seeds.stop - 1}" for split, seeds in SPLITS.items())
    raise BadInput(f"expected a seed of a split ({known}), got {seed}")


def draw_scene(seed: int, *, size: Size | None = None, objects: int | None = None) -> Scene:
    """The scene of a seed; `size` and the number of `objects` asked for are drawn too where not given.

    Seeds of the split test-style-b give scenes of style b, all others of style a.

    Raises:
        BadInput: a seed of no split, or no room for as many `objects` as were asked for.
    """
    style = "b" if split_of(seed) == "test-style-b" else "a"
    random = np.random.default_rng(seed)
    drawn = SHAPES[random.integers(len(SHAPES))]
    size = size or drawn
    canvas = backdrop(random, size, style)
    found = _fill(random, canvas, _wishes(random, objects), style)
    if objects is not None and len(found) < objects:
        raise BadInput(
            f"expected room for {objects} objects in {size.width}x{size.height}, got {len(found)} placed; ask for fewer"
        )
    found.sort(key=lambda each: (each.box.x1, each.box.y1))
    return Scene(seed, lens(random, canvas), tuple(found), style)


def _wishes(random: np.random.Generator, objects: int | None) -> list[_Wanted]:
    """Named things, mostly of one to three families, and clutter; largest first."""
    count = objects or int(random.integers(3, 13))
    chosen = random.permutation(list(families()))[: random.integers(1, 4)]
    near = [label for family in chosen for label in families()[family]]
    order = [str(label) for label in random.permutation(near)]
    order += [str(label) for label in random.permutation([label for label in categories() if label not in near])]
    if random.random() < 0.3:
        order = order[len(near) :] + order[: len(near)]  # now and then a mixed company
    wanted: list[_Wanted] = []
    for label in order:
        instances = 1 if random.random() < 0.75 else int(random.integers(2, MOST_INSTANCES + 1))
        paint = label in PAINTABLE and random.random() < (0.1 if instances == 1 else 0.4)
        wanted += [
            _Wanted(label, _area(random), str(random.choice(list(COLORS))) if paint else None) for _ in range(instances)
        ]
        if len(wanted) >= count:
            break
    clutter = [_Wanted(None, _area(random, most=0.06)) for _ in range(random.integers(0, 9))]
    return sorted(wanted[:count] + clutter, key=lambda wish: -wish.area)


def _area(random: np.random.Generator, most: float = LARGEST) -> float:
    return math.exp(random.uniform(math.log(SMALLEST), math.log(most)))


def _fill(random: np.random.Generator, canvas: Image.Image, wanted: list[_Wanted], style: str) -> list[SceneObject]:
    """Draw what is wanted, later things before earlier ones; what finds no place is left out."""
    owner = np.full((canvas.height, canvas.width), -1, dtype=np.int16)
    labels: list[_Wanted] = []
    full: list[int] = []
    last: Image.Image | None = None
    for wish in wanted:
        sprite = _sprite(random, wish, wish.area * canvas.width * canvas.height, last, style)
        if sprite.width >= canvas.width or sprite.height >= canvas.height:
            continue
        solid = np.asarray(sprite.getchannel("A")) >= SOLID
        spot = _spot(random, owner, solid, full)
        if spot is not None:
            x, y = spot
            owner[y : y + sprite.height, x : x + sprite.width][solid] = len(full)
            labels.append(wish)
            full.append(int(solid.sum()))
            _paste(random, canvas, sprite, spot)
            last = sprite
    return [_object(wish.label, wish.color, owner == k) for k, wish in enumerate(labels) if wish.label is not None]


def _object(label: str, color: str | None, mask: Bool[np.ndarray, "y x"]) -> SceneObject:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = Box(int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1)
    return SceneObject(label, box, box.area / mask.size, color, mask)


def _sprite(
    random: np.random.Generator, wish: _Wanted, area: float, last: Image.Image | None, style: str
) -> Image.Image:
    """A drawing of `area` px²; clutter is a thing that nobody names, or a patch in the colour of the last thing."""
    if wish.label is None and last is not None and random.random() < 0.4:
        return dress(random, _patch(random, last), area)
    drawings = unnamed_sprites(style) if wish.label is None else named_sprites(style, wish.label)
    return dress(random, drawings[random.integers(len(drawings))], area, wish.color)


def _patch(random: np.random.Generator, like: Image.Image) -> Image.Image:
    """A rectangle, an ellipse or a leaf in the mean colour of another drawing."""
    pixels = np.asarray(like)
    solid = pixels[..., 3] >= SOLID
    color = tuple(int(value) for value in pixels[solid][:, :3].mean(axis=0)) if solid.any() else (128, 128, 128)
    patch = Image.new("RGBA", (64, int(random.integers(32, 97))))
    pen = ImageDraw.Draw(patch)
    edge = (0, 0, patch.width - 1, patch.height - 1)
    kind = random.integers(3)
    if kind == 0:
        pen.rounded_rectangle(edge, radius=8, fill=(*color, 255))
    elif kind == 1:
        pen.ellipse(edge, fill=(*color, 255))
    else:
        pen.chord(edge, 20, 220, fill=(*color, 255))
    return patch.crop(patch.getbbox())


def _spot(
    random: np.random.Generator, owner: Int[np.ndarray, "y x"], solid: Bool[np.ndarray, "v u"], full: list[int]
) -> tuple[int, int] | None:
    """Top-left x, y where the new drawing leaves every earlier one visible enough."""
    shown = np.bincount(owner[owner >= 0], minlength=len(full))
    for _ in range(TRIES):
        x = int(random.integers(0, owner.shape[1] - solid.shape[1] + 1))
        y = int(random.integers(0, owner.shape[0] - solid.shape[0] + 1))
        under = owner[y : y + solid.shape[0], x : x + solid.shape[1]][solid]
        hidden = np.bincount(under[under >= 0], minlength=len(full))
        if (shown - hidden >= VISIBLE * np.array(full)).all():
            return x, y
    return None


def _paste(random: np.random.Generator, canvas: Image.Image, sprite: Image.Image, spot: tuple[int, int]) -> None:
    """Draw a sprite, in half of the cases with a soft shadow below it."""
    x, y = spot
    if random.random() < 0.5:
        alpha = sprite.getchannel("A").point(lambda value: value * 2 // 5)
        reach = max(1, sprite.height // 14)
        shadow = Image.new("L", (alpha.width + 4 * reach, alpha.height + 4 * reach))
        shadow.paste(alpha, (2 * reach, 2 * reach))
        canvas.paste((0, 0, 0), (x - reach, y - reach), shadow.filter(ImageFilter.BoxBlur(reach)))
    canvas.paste(sprite, spot, sprite)
