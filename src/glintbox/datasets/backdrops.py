"""What stands behind the objects of a scene, and what a camera does to the picture."""

from __future__ import annotations

import io
import math

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from glintbox.boxes import Size

Pixels = Float[np.ndarray, "y x rgb=3"]


def backdrop(random: np.random.Generator, size: Size, style: str) -> Image.Image:
    """Style a: a place with a horizon, a rough wall, a board, colour fields. Style b: paper, dots, checks, stripes."""
    kinds = (_horizon, _wall, _boards, _fields) if style == "a" else (_paper, _dots, _checks, _stripes)
    pixels = kinds[random.integers(len(kinds))](random, size)
    pixels = (pixels - 128) * random.uniform(0.5, 1) + random.uniform(90, 160)
    canvas = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(random.integers(0, 9)):
        _shape(random, pen, size)
    return canvas.filter(ImageFilter.BoxBlur(float(random.uniform(0, 2.5))))


def lens(random: np.random.Generator, canvas: Image.Image) -> Image.Image:
    """What a camera adds: light from one side, now and then a slight blur, noise, compression."""
    if random.random() < 0.35:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(random.uniform(0.2, 0.9))))
    pixels = np.asarray(canvas, dtype=np.float32)
    high, wide = pixels.shape[:2]
    slope = random.uniform(-0.25, 0.25, size=2)
    light = 1 + slope[0] * np.linspace(-1, 1, high)[:, None] + slope[1] * np.linspace(-1, 1, wide)
    cast = random.uniform(0.9, 1.1, size=3)
    noise = random.standard_normal((high, wide, 1), dtype=np.float32) * random.uniform(0, 10)
    pixels = pixels * (light[..., None] * cast * random.uniform(0.8, 1.1)).astype(np.float32) + noise
    written = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(written, "JPEG", quality=int(random.integers(45, 96)))
    return Image.open(written).convert("RGB")


def _color(random: np.random.Generator, vivid: float = 0.5) -> Float[np.ndarray, "rgb=3"]:
    """A colour, paler the less `vivid`."""
    color = random.uniform(0, 255, size=3)
    paled: Float[np.ndarray, "rgb=3"] = color.mean() + vivid * (color - color.mean())
    return paled


def _rough(random: np.random.Generator, size: Size, coarse: int) -> Float[np.ndarray, "y x one=1"]:
    """Noise of several scales between about -1 and 1, the coarsest with `coarse` knots a side."""
    total = np.zeros((size.height, size.width), dtype=np.float32)
    for octave in range(4):
        knots = coarse * 2**octave
        drawn = Image.fromarray(random.standard_normal((knots, knots), dtype=np.float32))
        total += np.asarray(drawn.resize(size, Image.Resampling.BILINEAR)) * 0.6**octave
    return (total / 2)[..., None]


def _horizon(random: np.random.Generator, size: Size) -> Pixels:
    """Sky or wall above, ground or floor below."""
    down = np.linspace(0, 1, size.height)[:, None, None]
    edge = random.uniform(0.2, 0.7)
    above = _color(random) + (_color(random) - 128) * down
    below = _color(random) + 50 * down + random.uniform(5, 40) * _rough(random, size, int(random.integers(4, 24)))
    soft = 1 / (1 + np.exp(-(down - edge) * random.uniform(15, 200)))
    return above * (1 - soft) + below * soft


def _wall(random: np.random.Generator, size: Size) -> Pixels:
    """A rough surface, two colours running into each other."""
    mixed = (_rough(random, size, int(random.integers(2, 7))) + 1) / 2
    grain = _rough(random, size, int(random.integers(16, 40))) * random.uniform(5, 35)
    return _color(random) * mixed + _color(random) * (1 - mixed) + grain


def _boards(random: np.random.Generator, size: Size) -> Pixels:
    """Planks or tiles with dark joints."""
    count = random.integers(3, 10)
    across, down = np.meshgrid(np.linspace(0, count, size.width), np.linspace(0, count, size.height))
    shade = np.floor(across) * random.uniform(-8, 8) + np.floor(down) * random.choice([0.0, 7.0])
    joint = (across % 1 < 0.05) | ((down % 1 < 0.05) & (random.random() < 0.5))
    flat = (shade - 40 * joint)[..., None] + random.uniform(5, 30) * _rough(random, size, int(random.integers(3, 12)))
    pixels: Pixels = _color(random) + flat
    return pixels


def _fields(random: np.random.Generator, size: Size) -> Pixels:
    """Blurred fields of colour."""
    knots = random.integers(2, 8, size=2)
    fields = Image.fromarray(random.integers(0, 256, (*knots, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    drawn = np.asarray(fields, dtype=np.float32)
    grey = drawn.mean(axis=-1, keepdims=True)
    pixels: Pixels = grey + (drawn - grey) * random.uniform(0.2, 0.9)
    return pixels


def _paper(random: np.random.Generator, size: Size) -> Pixels:
    """Creased paper, lit from one corner."""
    across, down = np.meshgrid(np.linspace(-1, 1, size.width), np.linspace(-1, 1, size.height))
    creases = np.abs(_rough(random, size, 3)) * random.uniform(20, 60)
    pixels: Pixels = _color(random, 0.3) + 30 * (across + down)[..., None] - creases
    return pixels


def _dots(random: np.random.Generator, size: Size) -> Pixels:
    """Soft round spots on a plain ground."""
    pitch = random.uniform(14, 50)
    across, down = np.meshgrid(np.arange(size.width), np.arange(size.height))
    far = np.hypot((across + (down // pitch % 2) * pitch / 2) % pitch - pitch / 2, down % pitch - pitch / 2)
    inside = (1 / (1 + np.exp(far - pitch * random.uniform(0.15, 0.4))))[..., None]
    pixels: Pixels = _color(random) * inside + _color(random) * (1 - inside)
    return pixels


def _checks(random: np.random.Generator, size: Size) -> Pixels:
    """A tablecloth."""
    pitch = random.uniform(12, 60)
    across, down = np.meshgrid(np.arange(size.width), np.arange(size.height))
    woven = ((across // pitch % 2 + down // pitch % 2) / 2)[..., None]
    return _color(random) * woven + _color(random) * (1 - woven)


def _stripes(random: np.random.Generator, size: Size) -> Pixels:
    """Slanted stripes with soft edges."""
    across, down = np.meshgrid(np.arange(size.width), np.arange(size.height))
    angle = random.uniform(0, math.pi)
    along = (across * math.cos(angle) + down * math.sin(angle)) / random.uniform(6, 40)
    mixed = (np.sin(along) / 2 + 0.5)[..., None]
    return _color(random) * mixed + _color(random) * (1 - mixed)


def _shape(random: np.random.Generator, pen: ImageDraw.ImageDraw, size: Size) -> None:
    """One thing without a name: rectangle, ellipse, triangle or stroke."""
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
