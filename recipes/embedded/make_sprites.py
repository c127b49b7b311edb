"""Make the two sprite atlases of the scenes from open emoji art (run once; the atlases are shipped).

Style a: Noto Color Emoji (a font) and Fluent Emoji 3D (pictures). Style b: Twemoji (SVG, needs `pip install resvg-py`).
src/glintbox/datasets/sprites.LICENSE.txt says where each comes from.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT_SIZE = 109  # px, the only strike of the bitmap font
SIDE = 112  # px, longer side of a sprite in the atlas
COLUMNS = 16

# Names that are easily taken for each other when small stand together; names are COCO's where COCO has the thing.
GLYPHS: dict[str, dict[str, str]] = {
    "people": {"person": "🧍🚶🏃", "teddy bear": "🧸"},
    "four legs": {
        "cat": "🐈",
        "dog": "🐕🐩",
        "horse": "🐎",
        "sheep": "🐑",
        "cow": "🐄",
        "tiger": "🐅🐆",
        "pig": "🐖",
        "rabbit": "🐇",
        "goat": "🐐",
        "bear": "🐻🐼",
        "elephant": "🐘",
        "zebra": "🦓",
        "giraffe": "🦒",
    },
    "birds": {"bird": "🐦🦜", "duck": "🦆", "owl": "🦉", "chicken": "🐓🦃", "penguin": "🐧"},
    "road": {
        "car": "🚗🚙",
        "taxi": "🚕",
        "bus": "🚌🚎",
        "truck": "🚚🚛",
        "train": "🚂🚆",
        "tractor": "🚜",
        "motorcycle": "🏍🛵",
        "bicycle": "🚲",
        "traffic light": "🚦🚥",
        "stop sign": "🛑",
    },
    "air and water": {"airplane": "✈🛩", "helicopter": "🚁", "boat": "⛵🚤", "kite": "🪁"},
    "round food": {
        "apple": "🍎🍏",
        "orange": "🍊",
        "tomato": "🍅",
        "peach": "🍑",
        "pear": "🍐",
        "lemon": "🍋",
        "sports ball": "⚽🏀",
        "donut": "🍩",
    },
    "food": {
        "banana": "🍌",
        "broccoli": "🥦",
        "carrot": "🥕",
        "pizza": "🍕",
        "cake": "🍰🎂",
        "sandwich": "🥪",
        "hamburger": "🍔",
        "hot dog": "🌭",
    },
    "table": {
        "bottle": "🍾🍼",
        "wine glass": "🍷",
        "cup": "☕🥤",
        "bowl": "🥣🍜",
        "knife": "🔪",
        "spoon": "🥄",
        "vase": "🏺",
    },
    "worn": {
        "backpack": "🎒",
        "handbag": "👜👛",
        "suitcase": "🧳💼",
        "umbrella": "☂🌂",
        "tie": "👔",
        "hat": "👒🎩",
        "shoe": "👟👞",
    },
    "room": {"chair": "🪑", "couch": "🛋", "bed": "🛏", "toilet": "🚽", "potted plant": "🪴"},
    "desk": {
        "tv": "📺",
        "laptop": "💻",
        "mouse": "🖱",
        "keyboard": "⌨",
        "cell phone": "📱",
        "camera": "📷",
        "clock": "⏰🕰",
        "book": "📕📗",
        "scissors": "✂",
        "toothbrush": "🪥",
    },
    "play": {"skateboard": "🛹", "skis": "🎿", "frisbee": "🥏", "guitar": "🎸", "violin": "🎻"},
    # What scenes hold beside the named things; nobody asks for it.
    "": {
        "plants": "🌲🌳🌴🌵🍄🌻🌹🍁",
        "things": "🧱🪨🪵🛢🪣🧺🧻🧽🧴🕯💡🔦🏮🧯🪜🧰🔧🔩🧲📦📫🗑🛒🎈🎁🧶🪅",
        "the rest": "🐢🐙🦀🐌🐟🧀🥐🥨🥚🥔🌽🍇🥑🍦🍫🏠⛺🗿🛞⚓",
    },
}


def glyphs(family: dict[str, str]) -> list[tuple[str, str]]:
    """All (label, glyph) of a family."""
    return [(label, glyph) for label, found in family.items() for glyph in found if glyph != "\ufe0f"]


def noto(font: ImageFont.FreeTypeFont, glyph: str) -> Image.Image:
    """A glyph of the bitmap font."""
    canvas = Image.new("RGBA", (300, 300))
    ImageDraw.Draw(canvas).text((60, 60), glyph, font=font, embedded_color=True)
    return canvas


def named(folder: Path, glyph: str, ending: str) -> Path:
    """The file of a glyph; emoji of text default may carry a variation selector in their name."""
    for name in (f"{ord(glyph):x}", f"{ord(glyph):x}-fe0f"):
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise SystemExit(f"expected a drawing of {glyph!r} (U+{ord(glyph):X}, {ending}) in {folder}, found none")


def tidy(glyph: str, drawn: Image.Image) -> Image.Image:
    """Cropped to its pixels, the longer side SIDE pixels."""
    drawn = drawn.convert("RGBA")
    found = drawn.getchannel("A").point(lambda alpha: 255 * (alpha >= 64)).getbbox()
    if found is None:
        raise SystemExit(f"expected a drawing of {glyph!r} (U+{ord(glyph):X}), got an empty tile; is the art complete?")
    drawn = drawn.crop(found)
    scale = SIDE / max(drawn.size)
    return drawn.resize([max(1, round(side * scale)) for side in drawn.size], Image.Resampling.LANCZOS)


def write_atlas(out: Path, sources: list[Callable[[str], Image.Image]]) -> None:
    """One WebP with all sprites, and a JSON: family → label → rectangles x1 y1 x2 y2 in it."""
    wanted = [(family, label, glyph) for family, found in GLYPHS.items() for label, glyph in glyphs(found)]
    drawn = [(family, label, tidy(glyph, source(glyph))) for family, label, glyph in wanted for source in sources]
    atlas = Image.new("RGBA", (COLUMNS * SIDE, -(-len(drawn) // COLUMNS) * SIDE))
    places: dict[str, dict[str, list[list[int]]]] = {}
    for k, (family, label, sprite) in enumerate(drawn):
        x, y = k % COLUMNS * SIDE, k // COLUMNS * SIDE
        atlas.paste(sprite, (x, y))
        places.setdefault(family, {}).setdefault(label, []).append([x, y, x + sprite.width, y + sprite.height])
    atlas.save(out.with_suffix(".webp"), quality=88, alpha_quality=90, method=6)
    families = [
        f"{json.dumps(family)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(label)}: {json.dumps(found, separators=(',', ':'))}" for label, found in own.items()
        )
        + "\n}"
        for family, own in places.items()
    ]
    out.with_suffix(".json").write_text("{\n" + ",\n".join(families) + "\n}\n")


def main() -> None:
    """Write sprites-a and sprites-b (.webp, .json)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--noto", type=Path, required=True, help="NotoColorEmoji.ttf")
    parser.add_argument("--fluent", type=Path, required=True, help="folder of Fluent Emoji 3D, U+….webp")
    parser.add_argument("--twemoji", type=Path, required=True, help="folder of Twemoji, U+….svg")
    parser.add_argument("--out", type=Path, default=Path("src/glintbox/datasets"))
    options = parser.parse_args()
    if not options.noto.is_file():
        raise SystemExit(f"expected the font Noto Color Emoji at {options.noto}, found no file")
    font = ImageFont.truetype(str(options.noto), FONT_SIZE)
    import resvg_py  # only this script needs it

    def twemoji(glyph: str) -> Image.Image:
        drawn = resvg_py.svg_to_bytes(svg_path=str(named(options.twemoji, glyph, ".svg")), width=2 * SIDE)
        return Image.open(io.BytesIO(bytes(drawn)))

    fluent: Callable[[str], Image.Image] = lambda glyph: Image.open(named(options.fluent, glyph, ".webp"))  # noqa: E731
    write_atlas(options.out / "sprites-a", [lambda glyph: noto(font, glyph), fluent])
    write_atlas(options.out / "sprites-b", [twemoji])


if __name__ == "__main__":
    main()
