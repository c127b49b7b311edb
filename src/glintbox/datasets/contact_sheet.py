"""Many scenes on one sheet, with their boxes and names, or each with one of its expressions: made to be looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

from glintbox.boxes import Box
from glintbox.datasets.expressions import expressions
from glintbox.datasets.scenes import Scene

CELL, GAP, WORDS = 336, 8, 34
"""Pixels: side of a scene's square, space between squares, height of the line below one."""

TARGET = "#D55E00"
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Okabe and Ito's palette, which colour-blind eyes tell apart."""


def boxes_sheet(scenes: Iterable[Scene], *, columns: int = 6) -> Image.Image:
    """Each scene with all boxes and names, and its seed below."""
    return _sheet(
        [_cell(scene, _named(scene), f"{scene.seed}, {len(scene.objects)} objects") for scene in scenes], columns
    )


def expressions_sheet(scenes: Iterable[Scene], *, columns: int = 6) -> Image.Image:
    """Each scene with its expressions in turn, number k of the scene number k: the words below, the target marked.

    Scenes without any are left out.
    """
    cells = []
    for k, scene in enumerate(scenes):
        told = expressions(scene)
        if told:
            one = told[k % len(told)]
            cells.append(_cell(scene, [(scene.objects[one.target].box, "", TARGET)], f"{one.text} [{one.kind}]"))
    return _sheet(cells, columns)


def _named(scene: Scene) -> list[tuple[Box, str, str]]:
    labels = list(dict.fromkeys(found.label for found in scene.objects))
    return [
        (found.box, f"{found.color or ''} {found.label}".strip(), COLORS[labels.index(found.label) % len(COLORS)])
        for found in scene.objects
    ]


def _cell(scene: Scene, marked: Iterable[tuple[Box, str, str]], words: str) -> Image.Image:
    cell = Image.new("RGB", (CELL, CELL + WORDS), "white")
    scale = CELL / max(scene.image.size)
    cell.paste(scene.image.resize((round(scene.image.width * scale), round(scene.image.height * scale))), (0, 0))
    pen = ImageDraw.Draw(cell)
    for box, name, color in marked:
        x1, y1, x2, y2 = (value * scale for value in box)
        pen.rectangle((x1 - 1, y1 - 1, x2, y2), outline=color, width=2)
        if name:
            _write(pen, (min(x1, CELL - pen.textlength(name, _font(11))), max(0, y1 - 14)), name, color)
    lines = textwrap.wrap(words, 50)[:2]
    pen.text((2, CELL + 2), "\n".join(lines), "black", _font(13), spacing=2)
    return cell


def _write(pen: ImageDraw.ImageDraw, at: tuple[float, float], words: str, color: str) -> None:
    """Words that can be read on any ground."""
    pen.text(at, words, color, _font(11), stroke_width=2, stroke_fill="black")


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(points)


def _sheet(cells: list[Image.Image], columns: int) -> Image.Image:
    rows = -(-len(cells) // columns)
    across = min(columns, max(1, len(cells)))
    sheet = Image.new("RGB", (across * (CELL + GAP) + GAP, max(1, rows) * (CELL + WORDS + GAP) + GAP), "white")
    for k, cell in enumerate(cells):
        row, column = divmod(k, columns)
        sheet.paste(cell, (GAP + column * (CELL + GAP), GAP + row * (CELL + WORDS + GAP)))
    return sheet
