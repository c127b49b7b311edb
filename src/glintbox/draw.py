"""A Grounding as a figure: the picture, its boxes and the attention behind the best. The only room for matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from glintbox.boxes import Box, Size, overlap
from glintbox.errors import BadInput, MissingExtra
from glintbox.layout import EDGE, GAP, LINE, Layout, free_corner, layout, square_around
from glintbox.records import COORDS, AttentionMaps, Coord, Grounding, HeadMap, sampled

Figure = Any
Axes = Any
"""matplotlib.figure.Figure and matplotlib.axes.Axes; matplotlib is an extra, so its types cannot be named here."""

DPI = 150
SMALL = 0.02
"""A best box below this share of the picture is shown again, enlarged."""
FONT = "DejaVu Sans"
"""Comes with matplotlib; characters that it lacks are drawn as small squares."""


class Style(NamedTuple):
    """How one kind of box is drawn; colours of Okabe and Ito's palette, which colour-blind eyes tell apart."""

    name: str
    color: str
    width: float
    dashes: Any = "solid"
    weight: float = 5
    """How much an enlargement must not hide it."""


TRUTH = Style("true", "#009E73", 2.0, (0, (1, 1)))
CANDIDATE = Style("candidate", "#56B4E9", 1.0, weight=1)
CHOSEN = Style("chosen", "#D55E00", 2.4, weight=10)
GREEDY = Style("greedy", "#0072B2", 1.7, (0, (4, 2.5)))


class Marked(NamedTuple):
    """A box with its style, and words beside it."""

    box: Box
    style: Style
    words: str = ""


class Words(NamedTuple):
    """A paragraph of the heading."""

    text: str
    points: float
    color: str = "black"


def grounding_figure(
    image: Image.Image, grounding: Grounding, *, truth: Sequence[Box] = (), heads: HeadMap | None = None
) -> Figure:
    """The picture with all candidates (thin), greedy (dashed), chosen (bold, with score) and true boxes (dotted).

    With it, where `grounding.found.maps` is there and the best box was written, not computed: the attention at its x1,
    y1, x2 and y2, each the mean over the heads of that coordinate in `heads`, or over all whose maps were kept where
    that is None. A best box below 2 % of the picture is shown again, enlarged. `image` is the upright picture that was
    asked about and is not changed; 150 dots per inch.

    Raises:
        BadInput: `image` has another size than the picture that was asked about; the maps of a head were not kept.
        MissingExtra: matplotlib is not installed.
    """
    size = Size(*image.size)
    if size != grounding.found.image:
        raise BadInput(
            f"expected the picture that was asked about, of {grounding.found.image}, got one of {size}; "
            "open it with glintbox.images.open_image"
        )
    attended = _attended(grounding)
    with matplotlib_parts().style.context("default"):
        places = layout(size.width / size.height, panels=attended is not None)
        shown = [_shown(attended, coord, heads) for coord in COORDS] if attended else []
        figure, foot = _framed(places, _heading(grounding, shown), marked := _marked(grounding, truth))
        rgb = image.convert("RGB")
        axes = _picture(figure, places.picture, foot, rgb)
        for one in marked:
            _outline(axes, one, size)
        if grounding.boxes:
            _enlarge(axes, rgb, marked, grounding.boxes[0].box)
        dim = rgb.convert("L").point([value * 6 // 10 for value in range(256)])
        for coord, maps in enumerate(shown):
            _attention(_picture(figure, places.panels[coord], foot, dim), maps, coord, grounding.boxes[0].box)
    return figure


def own_heads(grounding: Grounding, heads: HeadMap | None) -> HeadMap | None:
    """The head map that a figure should show: that of the result's method, where the maps of its heads were kept."""
    maps = grounding.found.maps
    told = heads is not None and maps is not None and all(set(of) <= set(maps.heads) for of in heads.heads.values())
    return heads if told and grounding.method in {"acs-free", "acs-learned"} else None


def save_figure(figure: Figure, path: str | Path | io.BufferedIOBase) -> None:
    """Write a figure as PNG of its own resolution to a path or stream; raises OSError where that cannot be written."""
    with matplotlib_parts().style.context("default"):
        figure.savefig(path, format="png", dpi="figure")


def require_matplotlib() -> None:
    """Raise MissingExtra now where drawing would raise it later, after minutes of work."""
    matplotlib_parts()


def matplotlib_parts() -> Any:
    """What figures are made of, by short names; raises MissingExtra where matplotlib is not installed."""
    try:
        from matplotlib import figure, font_manager, lines, patches, patheffects, style
        from matplotlib.backends.backend_agg import RendererAgg
    except ModuleNotFoundError as error:
        raise MissingExtra("matplotlib", "draw") from error
    return SimpleNamespace(
        Figure=figure.Figure, fonts=font_manager, Line=lines.Line2D, Rectangle=patches.Rectangle,
        stroke=patheffects.withStroke, style=style, Renderer=RendererAgg,
    )  # fmt: skip


def _attended(grounding: Grounding) -> AttentionMaps | None:
    """The maps of the best box alone; None where nothing was found, none were kept, or the box is no answer's."""
    maps, best = grounding.found.maps, grounding.boxes[0].candidate if grounding.boxes else None
    if maps is None or best is None or maps.values[best].isnan().any():
        return None
    return replace(maps, values=maps.values[best : best + 1])


def _shown(attended: AttentionMaps, coord: Coord, heads: HeadMap | None) -> AttentionMaps:
    """The maps that one panel shows: those of the coordinate's own heads, or all."""
    if heads is None:
        return attended
    wanted = heads.heads[coord]
    if missing := [head for head in wanted if head not in attended.heads]:
        raise BadInput(f"expected the maps of {', '.join(map(str, missing))} for {coord}, but they were not kept")
    places = [attended.heads.index(head) for head in wanted]
    return replace(attended, heads=tuple(wanted), values=attended.values[:, :, places])


def _framed(places: Layout, heading: Sequence[Words], marked: Sequence[Marked]) -> tuple[Figure, float]:
    """An empty figure with heading and legend, and the inches from its bottom to the layout's."""
    mpl = matplotlib_parts()
    lines = [one._replace(text=line) for one in heading for line in _wrapped(one, places.extent[0])]
    styles = (CANDIDATE, GREEDY, CHOSEN, TRUTH)
    counts = {style: count for style in styles if (count := sum(one.style is style for one in marked))}
    foot = EDGE + (LINE + GAP / 2 if counts else 0)
    width, high = places.extent[0] + 2 * EDGE, foot + places.extent[1] + GAP / 2 + LINE * len(lines) + EDGE
    figure = mpl.Figure(figsize=(width, high), dpi=DPI, facecolor="white")
    for row, one in enumerate(lines):
        x, y = EDGE / width, 1 - (EDGE + row * LINE) / high
        figure.text(x, y, one.text, fontsize=one.points, color=one.color, va="top", parse_math=False)
    keys = [
        mpl.Line([], [], color=style.color, lw=style.width, ls=style.dashes, label=f"{style.name} ({count})")
        for style, count in counts.items()
    ]
    if keys:
        at = (EDGE / width, 0.4 * EDGE / high)
        look = dict(frameon=False, fontsize=8.5, handlelength=2.6, borderpad=0, borderaxespad=0, columnspacing=1.6)
        figure.legend(handles=keys, loc="lower left", bbox_to_anchor=at, ncols=len(keys), **look)
    return figure, foot


def _heading(grounding: Grounding, shown: Sequence[AttentionMaps]) -> list[Words]:
    """The query, what was not found, and how it was answered."""
    found = grounding.found
    odd, answers = sum(reading == "unreadable" for reading in found.readings), len(found.responses)
    heading = [Words(f"“{found.query}”", 11)]
    if not grounding.boxes:
        nothing = f"unreadable: no box could be read from any of {answers} answers"
        heading.append(Words(nothing if odd == answers > 0 else "not found", 11, CHOSEN.color))
    said = [grounding.method, f"{len(found.candidates)} boxes in {answers} answers"]
    if 0 < odd < answers:
        said.append(f"{odd} unreadable")
    if shown:
        said.append(f"attention: mean of {len(shown[0].heads)} heads")
    return [*heading, Words(" · ".join([*said, found.setting.model]), 8.5, "#444444")]


def printable(text: str) -> str:
    """The text on one line, with □ for every character that the font lacks."""
    mpl = matplotlib_parts()
    known = mpl.fonts.get_font(mpl.fonts.findfont(FONT)).get_charmap()
    return "".join(c if ord(c) in known and c.isprintable() else "□" for c in " ".join(text.split()))


def _wrapped(words: Words, width: float) -> list[str]:
    """At most three lines that fit into `width` inches, by the font's own glyphs; what it lacks becomes □."""
    mpl, text = matplotlib_parts(), printable(words.text)
    renderer, font = mpl.Renderer(8, 8, DPI), mpl.fonts.FontProperties(family=FONT, size=words.points)

    def inches(line: str) -> float:
        return float(renderer.get_text_width_height_descent(line, font, ismath=False)[0]) / DPI

    for letters in range(int(width * 72 / (0.4 * words.points)), 0, -2):
        lines = textwrap.wrap(text, letters, max_lines=3, placeholder=" …")
        if all(inches(line) <= width for line in lines):
            break
    return lines


def _marked(grounding: Grounding, truth: Sequence[Box]) -> list[Marked]:
    """All boxes in drawing order; greedy's dashes come last, so that a chosen box under them stays visible."""
    found = grounding.found
    digits = ".2f" if grounding.score_kind == "iou" else ".3g"
    return [
        *(Marked(found.candidates[i].box, CANDIDATE) for i in sampled(found)),
        *(Marked(box, TRUTH) for box in truth),
        *(Marked(b.box, CHOSEN, "" if b.score is None else format(b.score, digits)) for b in reversed(grounding.boxes)),
        *(Marked(box, GREEDY) for box in grounding.greedy),
    ]


def _picture(figure: Figure, place: Box, foot: float, image: Image.Image) -> Axes:
    """Axes in image pixels at `place` inches that show no more pixels than are printed."""
    width, height = figure.get_size_inches()
    left, bottom = (place.x1 + EDGE) / width, (place.y1 + foot) / height
    axes = figure.add_axes((left, bottom, place.width / width, place.height / height))
    scale = min(1.0, 2 * DPI * max(place.width, place.height) / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), reducing_gap=2.0)
    axes.imshow(np.asarray(small), extent=(0, image.width, image.height, 0), cmap="gray", vmin=0, vmax=255)
    axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_anchor("W")
    return axes


def _outline(axes: Axes, one: Marked, size: Size) -> None:
    mpl = matplotlib_parts()
    box, style = one.box, one.style
    white = mpl.stroke(linewidth=style.width + 1.2, foreground="white")
    look = dict(fill=False, edgecolor=style.color, linewidth=style.width, linestyle=style.dashes, path_effects=[white])
    axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, joinstyle="miter", **look))
    if one.words:
        inch = size.height / axes.get_position().height / axes.figure.get_figheight()  # px of the picture
        above, below = box.y1 > 0.22 * inch, box.y2 < size.height - 0.22 * inch
        right = (box.x1 + box.x2) / 2 > 0.8 * size.width
        frame = dict(boxstyle="square,pad=0.2", facecolor=style.color, edgecolor="white", linewidth=0.6)
        axes.annotate(
            one.words, (box.x2 if right else box.x1, box.y2 if below and not above else box.y1),
            xytext=(0, 3 if above else -3), textcoords="offset points", fontsize=8.5, color="white", bbox=frame,
            ha="right" if right else "left", va="bottom" if above else "top",
        )  # fmt: skip


def _enlarge(axes: Axes, image: Image.Image, marked: Sequence[Marked], best: Box) -> None:
    """A small best box again, enlarged, in the corner that hides least."""
    size = Size(*image.size)
    if best.area >= SMALL * size.width * size.height:
        return
    near = [best, *(m.box for m in marked if m.style is GREEDY and overlap(m.box, best) > 0)]
    region = square_around(near, size)
    side = 0.42 * min(size)
    if side < 1.5 * region.width:
        return
    corner = free_corner(side, region, [(m.box, m.style.weight) for m in marked], size)
    inset = axes.inset_axes((corner.x1, corner.y1, side, side), transform=axes.transData)
    cut = (int(region.x1), int(region.y1), math.ceil(region.x2), math.ceil(region.y2))
    inset.imshow(np.asarray(image.crop(cut)), extent=(cut[0], cut[2], cut[3], cut[1]), interpolation="bicubic")
    for one in marked:
        _outline(inset, one._replace(words=""), size)
    inset.set(xlim=(region.x1, region.x2), ylim=(region.y2, region.y1), xticks=[], yticks=[])
    inset.spines[:].set(edgecolor="white", linewidth=1.5)
    axes.indicate_inset((region.x1, region.y1, region.width, region.height), inset, edgecolor="white", linewidth=0.8)


def _attention(axes: Axes, attended: AttentionMaps, coord: int, box: Box) -> None:
    """Attention shares over a dimmed picture, scaled to the brightest cell on it; the coordinate's edge is drawn."""
    shares = attended.values[0, coord].mean(0).numpy()
    grid, region = attended.grid, attended.grid.region
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    xs = np.linspace(region.x1, region.x2, grid.cols + 1)
    ys = np.linspace(region.y1, region.y2, grid.rows + 1)
    seen = ((ys[1:] > 0) & (ys[:-1] < bottom))[:, None] & ((xs[1:] > 0) & (xs[:-1] < right))[None]
    peak = float(shares[seen].max(initial=0.0))
    shown = np.clip(shares / (peak or 1.0), 0, 1)
    extent = (region.x1, region.x2, region.y2, region.y1)
    axes.imshow(shown, extent=extent, cmap="inferno", vmin=0, vmax=1, alpha=0.1 + 0.75 * shown, interpolation="nearest")
    axes.set(xlim=(0, right), ylim=(bottom, 0))
    mpl = matplotlib_parts()
    axes.add_patch(mpl.Rectangle((box.x1, box.y1), box.width, box.height, fill=False, edgecolor="white", linewidth=0.7))
    x1, y1, x2, y2 = box
    ends = [((x1, x1), (y1, y2)), ((x1, x2), (y1, y1)), ((x2, x2), (y1, y2)), ((x1, x2), (y2, y2))][coord]
    black = mpl.stroke(linewidth=3.0, foreground="black")
    axes.plot(*ends, color="white", linewidth=1.6, solid_capstyle="butt", path_effects=[black])
    axes.set_title(f"{COORDS[coord]}   max {peak:.2%}", fontsize=8.5, pad=3, loc="left")
