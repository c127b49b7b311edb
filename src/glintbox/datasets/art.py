"""The art of the scenes: sprites by label in two styles, painted, turned and scaled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from glintbox.errors import BadInput, UnknownName

FOLDER = Path(__file__).parent
STYLES = ("a", "b")
PAINT = 0.7  # share of the paint where a sprite is painted; the rest is its own colours
SOLID = 128  # alpha from which a pixel counts as the object's

COLORS: Mapping[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 134, 25),
    "yellow": (240, 205, 40),
    "green": (56, 160, 66),
    "blue": (45, 105, 215),
    "purple": (130, 65, 190),
    "pink": (240, 125, 185),
    "brown": (128, 82, 45),
}
PAINTABLE = frozenset(
    {
        "airplane",
        "backpack",
        "bed",
        "bicycle",
        "bird",
        "boat",
        "book",
        "bottle",
        "bowl",
        "bus",
        "camera",
        "car",
        "cell phone",
        "chair",
        "clock",
        "couch",
        "cup",
        "guitar",
        "handbag",
        "hat",
        "helicopter",
        "kite",
        "motorcycle",
        "scissors",
        "shoe",
        "skateboard",
        "suitcase",
        "teddy bear",
        "tie",
        "toothbrush",
        "train",
        "truck",
        "umbrella",
        "vase",
    }
)
"""Labels whose sprites are sometimes painted in one of the colours; the others keep their own."""

_UNNAMED = ""  # the family of things that stand about and that nobody asks for


@cache
def sprites(style: str) -> Mapping[str, Mapping[str, tuple[Image.Image, ...]]]:
    """Sprites (RGBA, longer side 112 px) by family and label.

    Style a is cut from Noto Color Emoji (OFL 1.1) and Fluent Emoji 3D (MIT), b from Twemoji (CC BY 4.0);
    sprites.LICENSE.txt has the terms.

    Raises:
        UnknownName: no such style.
        BadInput: the atlas is missing or damaged.
    """
    if style not in STYLES:
        raise UnknownName("style", style, STYLES)
    try:
        atlas = Image.open(FOLDER / f"sprites-{style}.webp").convert("RGBA")
        places = json.loads((FOLDER / f"sprites-{style}.json").read_text())
        return {
            family: {label: tuple(atlas.crop(place) for place in found) for label, found in own.items()}
            for family, own in places.items()
        }
    except (OSError, ValueError) as error:
        raise BadInput(
            f"expected the drawings sprites-{style}.webp and sprites-{style}.json in {FOLDER}, got: {error}; "
            "install glintbox again"
        ) from error


def families() -> Mapping[str, tuple[str, ...]]:
    """Labels that are easily taken for each other, by the name of their family."""
    return {family: tuple(own) for family, own in sprites("a").items() if family != _UNNAMED}


def categories() -> tuple[str, ...]:
    """All labels that a scene can hold, in the order of the atlas."""
    return tuple(label for labels in families().values() for label in labels)


def named_sprites(style: str, label: str) -> tuple[Image.Image, ...]:
    """The drawings of a label."""
    return next(own[label] for own in sprites(style).values() if label in own)


def unnamed_sprites(style: str) -> tuple[Image.Image, ...]:
    """The drawings of things without a label."""
    return tuple(sprite for found in sprites(style)[_UNNAMED].values() for sprite in found)


def dress(random: np.random.Generator, sprite: Image.Image, area: float, color: str | None = None) -> Image.Image:
    """A sprite mirrored, turned, stretched, scaled to a box of `area` px², painted and lit, cropped to its pixels."""
    if random.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.5:
        turned = sprite.rotate(float(random.uniform(-18, 18)), Image.Resampling.BILINEAR, expand=True)
        sprite = turned.crop(turned.getbbox())
    aspect = sprite.width / sprite.height * math.exp(random.uniform(-0.2, 0.2))
    high = math.sqrt(area / aspect)
    resampling = Image.Resampling.BICUBIC if high > sprite.height else Image.Resampling.BOX
    sprite = sprite.resize((max(4, round(high * aspect)), max(4, round(high))), resampling)
    if color is not None:
        sprite = painted(sprite, COLORS[color])
    sprite = ImageEnhance.Brightness(sprite).enhance(float(random.uniform(0.7, 1.15)))
    sprite = ImageEnhance.Color(sprite).enhance(float(random.uniform(0.6, 1.15)))
    if random.random() < 0.25:
        sprite = sprite.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 0.9))))
    solid = sprite.getchannel("A").point(lambda alpha: 255 * (alpha >= SOLID)).getbbox()
    return sprite if solid is None else sprite.crop(solid)


def painted(sprite: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """The sprite mostly in shades of one colour: its mean brightness takes the colour itself."""
    pixels = np.asarray(sprite, dtype=np.float32)
    solid = pixels[..., 3] >= SOLID
    light = pixels[..., :3] @ np.array([0.3, 0.59, 0.11], dtype=np.float32) / 255
    mean = float(light[solid].mean()) if solid.any() else 0.5
    light = light.clip(0.02, 0.98) ** (math.log(0.5) / math.log(min(0.95, max(0.05, mean))))
    light = light[..., None]
    base = np.array(color, dtype=np.float32)
    shades = np.where(light < 0.5, base * (0.3 + 1.4 * light), base + (255 - base) * (1.4 * light - 0.7))
    shades = PAINT * shades + (1 - PAINT) * pixels[..., :3]
    return Image.fromarray(np.dstack([shades, pixels[..., 3]]).clip(0, 255).astype(np.uint8), "RGBA")
