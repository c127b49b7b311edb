"""Cut the sprite atlas of the scenes out of the Noto Color Emoji font (run once; the atlas is shipped)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 109  # the only strike of the bitmap font
TILE = 136  # px; side of one atlas tile, as wide as the widest glyph
COLUMNS = 10

GLYPHS: dict[str, str] = {
    "person": "🧍🚶",
    "bicycle": "🚲",
    "car": "🚗🚙",
    "motorcycle": "🏍",
    "airplane": "✈🛩",
    "bus": "🚌",
    "train": "🚂",
    "truck": "🚚",
    "boat": "⛵",
    "bird": "🐦🐧",
    "cat": "🐈",
    "dog": "🐕🐩",
    "horse": "🐎",
    "sheep": "🐑",
    "cow": "🐄",
    "elephant": "🐘",
    "bear": "🐻",
    "zebra": "🦓",
    "giraffe": "🦒",
    "backpack": "🎒",
    "umbrella": "☂",
    "suitcase": "🧳",
    "kite": "🪁",
    "skateboard": "🛹",
    "bottle": "🍾",
    "cup": "☕",
    "knife": "🔪",
    "bowl": "🥣",
    "banana": "🍌",
    "apple": "🍎🍏",
    "orange": "🍊",
    "broccoli": "🥦",
    "carrot": "🥕",
    "pizza": "🍕",
    "donut": "🍩",
    "cake": "🍰",
    "chair": "🪑",
    "laptop": "💻",
    "book": "📕📗",
    "clock": "⏰",
    "vase": "🏺",
    "scissors": "✂",
}


def cut(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One glyph as RGBA, cropped to its own pixels."""
    canvas = Image.new("RGBA", (2 * TILE, 2 * TILE))
    ImageDraw.Draw(canvas).text((20, 20), glyph, font=font, embedded_color=True)
    found = canvas.getbbox()
    if found is None:
        raise SystemExit(f"expected a drawing for {glyph!r}, got an empty tile; use Noto Color Emoji")
    return canvas.crop(found)


def main() -> None:
    """Write sprites.webp (lossless) and sprites.json (label → rectangles x1 y1 x2 y2 in the atlas)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("font", type=Path, nargs="?", default="/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    parser.add_argument("--out", type=Path, default=Path("src/glintbox/datasets"))
    options = parser.parse_args()
    font = ImageFont.truetype(str(options.font), FONT_SIZE)
    sprites = [(label, cut(glyph, font)) for label, glyphs in GLYPHS.items() for glyph in glyphs]
    rows = -(-len(sprites) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * TILE, rows * TILE))
    places: dict[str, list[list[int]]] = {}
    for k, (label, sprite) in enumerate(sprites):
        x, y = k % COLUMNS * TILE, k // COLUMNS * TILE
        atlas.paste(sprite, (x, y))
        places.setdefault(label, []).append([x, y, x + sprite.width, y + sprite.height])
    atlas.save(options.out / "sprites.webp", lossless=True, method=6)
    lines = ",\n".join(f"  {json.dumps(label)}: {json.dumps(boxes)}" for label, boxes in places.items())
    (options.out / "sprites.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
