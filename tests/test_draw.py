import io
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.draw import CANDIDATE, CHOSEN, DPI, GREEDY, TRUTH, Style, grounding_figure, save_figure
from glintbox.errors import BadInput, MissingExtra
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records import (
    COORDS,
    AttentionMaps,
    Candidate,
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    Reading,
    Response,
    Sampling,
    ScoredBox,
    Setting,
)

SIZE = Size(600, 400)
GREEDY_BOX, CHOSEN_BOX, OTHER_BOX = Box(60, 60, 260, 180), Box(300, 100, 420, 300), Box(440, 40, 560, 360)
TRUE_BOX = Box(40, 220, 240, 380)
ROWS, COLS = 4, 6


def grounding(
    *, size: Size = SIZE, query: str = "a cup", maps: AttentionMaps | None = None, chosen: Box = CHOSEN_BOX
) -> Grounding:
    """A greedy, a chosen and another box from three answers."""
    boxes = (GREEDY_BOX, chosen, OTHER_BOX)
    responses = tuple(Response("", source, "stop", (), ()) for source in ("greedy", "sampled", "sampled"))
    found = CandidateSet(
        id="a",
        image=size,
        query=query,
        setting=Setting("some/model", "main", "qwen2_vl", "paper", "default", "1024"),
        sampling=Sampling(n=2),
        frame=CoordFrame(size, Box.whole(size)),
        responses=responses,
        readings=("boxes", "boxes", "boxes"),
        candidates=tuple(Candidate(b, (0, 0, 0, 0), None, i, (0, 1), None) for i, b in enumerate(boxes)),
        maps=maps,
    )
    return Grounding("a", "acs-free", "iou", (ScoredBox(chosen, 0.876, 1),), (GREEDY_BOX,), found)


def without_boxes(readings: tuple[Reading, ...]) -> Grounding:
    found = replace(grounding().found, candidates=(), readings=readings)
    return Grounding("a", "consensus", "none", (), (), found)


def attention(hot: tuple[int, int], *, region: Box | None = None, level: float = 0.2) -> AttentionMaps:
    """Two heads, of which one sees a single cell: the mean there is half of `level`."""
    values = torch.zeros(3, 4, 2, ROWS, COLS)
    values[1, :, 0, hot[0], hot[1]] = level
    return AttentionMaps((Head(1, 2), Head(3, 4)), TokenGrid(ROWS, COLS, region or Box.whole(SIZE)), values)


def grey(level: int = 128, size: Size = SIZE) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def drawn(figure: Any) -> np.ndarray:
    stream = io.BytesIO()
    save_figure(figure, stream)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def around(figure: Any, pixels: np.ndarray, x: float, y: float, *, axes: int = 0, reach: int = 4) -> np.ndarray:
    """The drawn pixels within `reach` of a point given in pixels of the picture."""
    across, up = figure.axes[axes].transData.transform((x, y))
    row, col = round(len(pixels) - up), round(across)
    return pixels[row - reach : row + reach + 1, col - reach : col + reach + 1].reshape(-1, 3)


def colour_of(style: Style) -> np.ndarray:
    return np.array([int(style.color[i : i + 2], 16) for i in (1, 3, 5)])


def has(found: np.ndarray, colour: np.ndarray, *, within: int = 40) -> bool:
    return bool((np.abs(found - colour).max(axis=1) <= within).any())


# boxes


@pytest.mark.parametrize("level", [0, 128, 255])
def test_every_kind_of_box_is_drawn_at_its_place_in_its_colour(level: int) -> None:
    figure = grounding_figure(grey(level), grounding(), truth=[TRUE_BOX])
    pixels = drawn(figure)
    kinds = {GREEDY: GREEDY_BOX, CHOSEN: CHOSEN_BOX, CANDIDATE: OTHER_BOX, TRUTH: TRUE_BOX}
    for style, box in kinds.items():
        for x, y in [(box.x1, box.y2 - 40), (box.x2, box.y2 - 40), (box.x2 - 20, box.y1), (box.x2 - 20, box.y2)]:
            near = around(figure, pixels, x, y, reach=10)
            assert has(near, colour_of(style)), (style.name, x, y)
            assert has(near, np.array([255, 255, 255]))
        inside = around(figure, pixels, (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
        assert (np.abs(inside - level) <= 2).all()


def test_only_greedy_and_true_boxes_are_broken_lines() -> None:
    figure = grounding_figure(grey(0), grounding(), truth=[TRUE_BOX])
    pixels = drawn(figure)

    def gaps(box: Box, style: Style) -> int:
        points = np.linspace(box.y1 + 20, box.y2 - 20, 150)
        return sum(not has(around(figure, pixels, box.x2, y, reach=1), colour_of(style), within=60) for y in points)

    assert gaps(CHOSEN_BOX, CHOSEN) == 0 == gaps(OTHER_BOX, CANDIDATE)
    assert gaps(GREEDY_BOX, GREEDY) > 10 and gaps(TRUE_BOX, TRUTH) > 10


def test_the_picture_itself_is_shown_where_nothing_is_drawn_on_it() -> None:
    image = grey()
    image.paste((200, 30, 90), (0, 200, 40, 400))
    figure = grounding_figure(image, grounding())
    assert np.abs(around(figure, drawn(figure), 20, 300) - [200, 30, 90]).max() <= 2


def words(figure: Any) -> list[str]:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]] + legends


def test_heading_score_and_legend_say_what_is_seen() -> None:
    figure = grounding_figure(grey(), grounding(maps=attention((1, 2))), truth=[TRUE_BOX])
    assert words(figure) == [
        "“a cup”",
        "acs-free · 3 boxes in 3 answers · attention: mean of 2 heads · some/model",
        "0.88",
        "candidate (2)",
        "greedy (1)",
        "chosen (1)",
        "true (1)",
    ]


def test_a_rank_score_has_three_digits_and_no_score_no_words() -> None:
    ranked = replace(grounding(), score_kind="rank", boxes=(ScoredBox(CHOSEN_BOX, 12.345, 1),))
    assert "12.3" in words(grounding_figure(grey(), ranked))
    silent = replace(grounding(), score_kind="none", boxes=(ScoredBox(CHOSEN_BOX, None, 1),))
    assert [text.get_text() for text in grounding_figure(grey(), silent).axes[0].texts] == []


def test_nothing_found_and_nothing_readable_are_said_apart() -> None:
    none = words(grounding_figure(grey(), without_boxes(("none", "none", "unreadable"))))
    assert none == ["“a cup”", "not found", "consensus · 0 boxes in 3 answers · 1 unreadable · some/model"]
    odd = words(grounding_figure(grey(), without_boxes(("unreadable",) * 3)))
    assert odd[1] == "unreadable: no box could be read from any of 3 answers"


# attention


def seen(figure: Any, pixels: np.ndarray, cell: Box, *, panel: int) -> np.ndarray:
    near = around(figure, pixels, (cell.x1 + cell.x2) / 2, (cell.y1 + cell.y2) / 2, axes=panel)
    return np.asarray(near.mean(axis=0))


@pytest.mark.parametrize(
    "region",
    [None, Box(100, 0, 500, 400), Box(0, -100, 600, 500)],
    ids=["whole picture", "centre crop", "padded square"],
)
def test_the_brightest_cell_lies_where_the_grid_says(region: Box | None) -> None:
    hot = (2, 4)
    maps = attention(hot, region=region)
    figure = grounding_figure(grey(), grounding(maps=maps))
    pixels = drawn(figure)
    assert len(figure.axes) == 5
    for panel in range(1, 5):
        assert (figure.axes[panel].get_xlim(), figure.axes[panel].get_ylim()) == ((0, 600), (400, 0))
        for row, col in itertools.product(range(1, 3), range(COLS)):
            cell = maps.grid.cell(row, col)
            red = seen(figure, pixels, cell, panel=panel)[0]
            assert red > 180 if (row, col) == hot else red < 100 or CHOSEN_BOX.x1 - 60 < cell.x1 < CHOSEN_BOX.x2


def test_each_coordinate_has_its_own_panel_in_order() -> None:
    maps = attention((0, 0), level=0)
    for coord in range(4):
        maps.values[1, coord, :, 3, coord] = 0.1 * (coord + 1)
    figure = grounding_figure(grey(), grounding(maps=maps))
    titles = [axes.get_title(loc="left") for axes in figure.axes[1:]]
    assert titles == ["x1   max 10.00%", "y1   max 20.00%", "x2   max 30.00%", "y2   max 40.00%"]
    pixels = drawn(figure)
    for coord in range(4):
        bright = [seen(figure, pixels, maps.grid.cell(3, col), panel=coord + 1)[0] > 180 for col in range(4)]
        assert bright == [col == coord for col in range(4)]


def test_a_head_map_gives_each_coordinate_its_own_heads_and_a_missing_one_is_named() -> None:
    maps = attention((1, 1), level=0.2)  # the first head sees the cell, the second nothing
    first, second = maps.heads
    heads = HeadMap(grounding().found.setting, "by hand", {c: (first if c == "x1" else second,) for c in COORDS})
    figure = grounding_figure(grey(), grounding(maps=maps), heads=heads)
    titles = [axes.get_title(loc="left") for axes in figure.axes[1:]]
    assert titles == ["x1   max 20.00%", "y1   max 0.00%", "x2   max 0.00%", "y2   max 0.00%"]
    other = replace(heads, heads=dict(heads.heads) | {"y2": (Head(7, 7),)})
    with pytest.raises(BadInput, match="expected the maps of L7H7 for y2"):
        grounding_figure(grey(), grounding(maps=maps), heads=other)


def test_heads_are_averaged_and_padding_outside_the_picture_sets_no_scale() -> None:
    maps = attention((1, 1), region=Box(0, -400, 600, 400), level=0.2)  # rows 0 and 1 lie above the picture
    maps.values[1, :, 0, 2, 1] = 0.04
    maps.values[1, :, 0, 3, 5] = 0.01
    figure = grounding_figure(grey(), grounding(maps=maps))
    assert figure.axes[1].get_title(loc="left") == "x1   max 2.00%"
    assert seen(figure, drawn(figure), maps.grid.cell(2, 1), panel=1)[0] > 180


def test_an_even_zero_map_is_drawn_dark() -> None:
    figure = grounding_figure(grey(), grounding(maps=attention((0, 0), level=0)))
    assert figure.axes[1].get_title(loc="left") == "x1   max 0.00%"
    assert drawn(figure).shape[2] == 3


def test_only_the_picture_is_drawn_where_the_best_box_has_no_attention_of_its_own() -> None:
    maps = attention((1, 1))
    invented = replace(grounding(maps=maps), boxes=(ScoredBox(CHOSEN_BOX, None, None),))
    unknown = AttentionMaps(maps.heads, maps.grid, torch.full_like(maps.values, torch.nan))
    for without in (grounding(), invented, grounding(maps=unknown)):
        figure = grounding_figure(grey(), without)
        assert len(figure.axes) == 1
        assert "attention" not in words(figure)[1]


# small objects


def test_a_small_box_is_shown_again_enlarged_and_stays_visible() -> None:
    small = Box(400, 300, 424, 330)
    figure = grounding_figure(grey(), grounding(chosen=small))
    (inset,) = figure.axes[0].child_axes
    left, right = inset.get_xlim()
    low, high = inset.get_ylim()
    assert left <= small.x1 - 10 and right >= small.x2 + 10 and high <= small.y1 - 10 and low >= small.y2 + 10
    pixels = drawn(figure)
    assert has(around(figure, pixels, small.x1, 315), colour_of(CHOSEN))
    across, up = inset.transData.transform((small.x1, 315))
    edge = pixels[round(len(pixels) - up), round(across) - 4 : round(across) + 5]
    assert has(edge, colour_of(CHOSEN))
    scale = inset.get_window_extent().width / (right - left)
    assert scale > 2 * figure.axes[0].get_window_extent().width / SIZE.width


def test_a_box_of_two_percent_or_more_is_not_enlarged() -> None:
    assert grounding_figure(grey(), grounding()).axes[0].child_axes == []


# text and shape


QUERIES = ["杯子 ☕ 🙂", "$x_1$ $\\nothing{$", "كوب", "a\nb\tc\x07", "_cup", "W" * 400, "cup " * 2500, "🙂" * 300]


@pytest.mark.parametrize("query", QUERIES)
def test_any_query_is_drawn_without_warning_inside_the_figure(query: str) -> None:
    figure = grounding_figure(grey(), grounding(query=query))
    width = figure.get_window_extent().width
    figure.draw_without_rendering()
    assert 2 <= len(figure.texts) <= 4
    assert all(t.get_window_extent().x0 >= 0 and t.get_window_extent().x1 <= width for t in figure.texts)


def test_letters_that_the_font_lacks_become_squares() -> None:
    figure = grounding_figure(grey(), grounding(query="杯子 cup"))
    assert figure.texts[0].get_text() == "“□□ cup”"


@pytest.mark.parametrize("size", [(600, 400), (400, 400), (300, 900), (60, 900), (1500, 500), (1800, 60), (8, 8)])
def test_no_text_covers_another_or_leaves_the_figure(size: tuple[int, int]) -> None:
    wide, high = size
    best = Box(0.4 * wide, 0.4 * high, 0.6 * wide, 0.6 * high)
    maps = attention((1, 2), region=Box.whole(Size(*size)))
    asked = "the small white cup that stands behind the blue plate " * 3
    figure = grounding_figure(grey(size=Size(*size)), grounding(size=Size(*size), query=asked, maps=maps, chosen=best))
    figure.draw_without_rendering()
    titles = [axes._left_title for axes in figure.axes[1:]]
    blocks = [one.get_window_extent() for one in [*figure.texts, *titles, *figure.legends, *figure.axes]]
    whole = figure.get_window_extent()
    for block in blocks:
        assert whole.x0 - 1 <= block.x0 and block.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= block.y0 and block.y1 <= whole.y1 + 1
    for a, b in itertools.combinations(blocks, 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) <= 1 or min(a.y1, b.y1) - max(a.y0, b.y0) <= 1
    assert all(3 < side < 16 for side in figure.get_size_inches()[:1])


# manners


def test_nothing_that_came_in_is_changed_and_no_global_state_is_left() -> None:
    image, maps = grey(), attention((1, 1))
    before, values, settings = image.tobytes(), maps.values.clone(), dict(matplotlib.rcParams)
    drawn(grounding_figure(image, grounding(maps=maps)))
    assert image.tobytes() == before and image.mode == "RGB"
    assert torch.equal(maps.values, values)
    assert dict(matplotlib.rcParams) == settings and not Gcf.figs


def test_settings_of_the_user_do_not_reach_the_figure() -> None:
    plain = drawn(grounding_figure(grey(), grounding()))
    with matplotlib.rc_context({"text.usetex": True, "savefig.bbox": "tight", "axes.facecolor": "red"}):
        styled = drawn(grounding_figure(grey(), grounding()))
    assert np.array_equal(plain, styled)


def test_a_figure_is_saved_as_png_with_its_resolution(tmp_path: Path) -> None:
    figure = grounding_figure(grey(), grounding())
    save_figure(figure, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        assert image.size == pytest.approx(figure.get_size_inches() * DPI, abs=1)
    with pytest.raises(FileNotFoundError):
        save_figure(figure, tmp_path / "none" / "a.png")


def test_another_picture_than_the_one_asked_about_is_refused() -> None:
    with pytest.raises(BadInput, match=r"of Size\(width=600, height=400\), got one of Size\(width=400, height=600\)"):
        grounding_figure(grey(size=Size(400, 600)), grounding())


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r'matplotlib is not installed; run: pip install "glintbox\[draw\]"'):
        grounding_figure(grey(), grounding())
