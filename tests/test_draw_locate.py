"""The figure of a localization: what was found lies where it was found, and nothing is drawn where nothing was."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from PIL import Image

from glintbox.assembly import Assembly
from glintbox.boxes import Box, Size
from glintbox.draw import CHOSEN, TRUTH, save_figure
from glintbox.draw_locate import SPANS, locate_figure
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.localize import localized
from glintbox.localize_spans import spans_localized
from glintbox.records import Grounding, SpanMaps, TextMaps
from tests.sets import SETTING, a_set

SIZE = Size(160, 60)
PICTURE = Image.new("RGB", SIZE, "teal")
SHARP = Assembly(sigma=0)
GRID = TokenGrid(6, 8, Box(0, -30, 160, 90))  # cells of 20 x 20 px, beyond the picture above and below


def found(level: float = 0.3, *, size: Size = SIZE) -> Grounding:
    values = torch.full((2, 6, 8), 0.01)
    values[:, 2, 3:5] = level
    looked = replace(a_set(), image=size, text_map=TextMaps(SETTING, (), GRID, values))
    return localized(looked, SHARP)


def patches(axes: object) -> list[tuple[float, ...]]:
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in axes.patches  # type: ignore[attr-defined]  # matplotlib has no types
        if isinstance(patch, Rectangle)
    ]


def test_box_mask_and_map_lie_where_they_were_found() -> None:
    figure = locate_figure(PICTURE, found(), assembly=SHARP, truth=(Box(50, 5, 90, 20),))
    left, right = figure.axes
    assert patches(left) == [(60, 10, 40, 20), (50, 5, 40, 15)]
    assert [patch.get_edgecolor()[:3] for patch in left.patches] != []
    assert {CHOSEN.width, TRUTH.width} == {patch.get_linewidth() for patch in left.patches}
    tint = left.images[1].get_array()
    ys, xs = np.nonzero(tint[..., 3])
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (60, 10, 100, 30)
    heat = right.images[1]
    assert tuple(heat.get_extent()) == (0, 160, 90, -30) and heat.get_array().shape == (6, 8)
    assert right.get_xlim() == (0, 160) and right.get_ylim() == (60, 0)
    assert "60, 10, 100, 30 · 57% of the attention" in left.get_title() and "max 28.3%" in right.get_title()
    [outline] = right.collections
    corners = np.concatenate([path.vertices for path in outline.get_paths()])
    assert np.allclose((*corners.min(0), *corners.max(0)), (60, 10, 100, 30), atol=1)


def test_what_was_not_found_is_said_and_no_box_is_drawn() -> None:
    figure = locate_figure(PICTURE, found(0.01), assembly=SHARP)
    left, right = figure.axes
    assert "not found" in figure.get_suptitle() and patches(left) == [] and len(left.images) == 1
    assert len(right.images) == 2 and not right.collections, "where the heads look is shown all the same"


@pytest.mark.parametrize(("size", "stacked"), [(SIZE, True), (Size(60, 160), False), (Size(90, 90), False)])
def test_wide_pictures_lie_above_each_other_and_the_picture_stays_as_it_was(size: Size, stacked: bool) -> None:
    picture = Image.new("RGB", size, "teal")
    figure = locate_figure(picture, found(size=size), assembly=SHARP)
    written = BytesIO()
    save_figure(figure, written)
    one, other = (axes.get_position() for axes in figure.axes)
    assert (one.y0 >= other.y1) == stacked and (one.x1 <= other.x0) == (not stacked)
    assert written.getvalue().startswith(b"\x89PNG") and picture.tobytes() == Image.new("RGB", size, "teal").tobytes()


@pytest.mark.parametrize(
    ("spans", "size", "panels"), [(2, SIZE, (3, 1)), (3, Size(160, 150), (1, 4)), (5, Size(60, 90), (2, 4))]
)
def test_each_span_has_a_map_of_its_own_and_its_words_at_its_box(
    spans: int, size: Size, panels: tuple[int, int]
) -> None:
    bare, maps = replace(a_set(), image=size), []
    for k in range(spans):
        values = torch.full((1, 6, 8), 0.01)
        values[:, 2, k] = 0.3
        looked = TextMaps(SETTING, (), TokenGrid(6, 8, Box.whole(size)), values)
        maps.append(SpanMaps(f"thing {k}", (k, k + 1), k, looked))
    maps[1] = replace(maps[1], maps=replace(maps[1].maps, values=torch.full((1, 6, 8), 0.01)))
    grounding = spans_localized(replace(bare, span_maps=tuple(maps)), SHARP)
    figure = locate_figure(Image.new("RGB", size, "teal"), grounding, assembly=SHARP)
    first, *others = figure.axes
    assert first.get_subplotspec().get_gridspec().get_geometry() == panels
    assert first.get_title() == f"{spans - 1} of {spans} spans found"
    wide, high = size.width / 8, size.height / 6
    named = [k for k in range(spans) if k != 1]
    assert [text.get_text() for text in first.texts] == [f"thing {k}" for k in named]
    assert np.allclose(patches(first), [(wide * k, 2 * high, wide, high) for k in named])
    colors = [text.get_bbox_patch().get_facecolor() for text in first.texts]
    assert colors == [to_rgba(SPANS[k]) for k in named] and len(first.images) == spans
    assert [axes.get_title().partition(" · ")[0] for axes in others if axes.axison] == [
        f"“thing {k}”" for k in range(spans)
    ]
    save_figure(figure, BytesIO())


def test_another_picture_or_a_result_without_maps_is_refused() -> None:
    with pytest.raises(BadInput, match=r"expected the picture that was asked about, .* got one of .*80.* and maps"):
        locate_figure(Image.new("RGB", (80, 60)), found())
    bare = found()
    with pytest.raises(BadInput, match=r"and no maps; draw what glintbox\.localize gives"):
        locate_figure(PICTURE, replace(bare, found=replace(bare.found, text_map=None)))
