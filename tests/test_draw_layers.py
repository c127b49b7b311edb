"""Attention on the picture: each panel is one layer's mean, where the grid says it lies; boxes are where they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from glintbox.boxes import Box
from glintbox.draw_layers import Looked, all_layers_figure, layers_figure
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.records import AttentionMaps, Head
from tests.test_draw_report import png

HEADS = tuple(Head(layer, index) for layer in (1, 4, 5, 7, 9) for index in range(2))
BOX, TRUTH = Box(20, 10, 40, 25), Box(22, 12, 42, 28)
REGION = Box(0, 0, 90, 70)
"""Reaches beyond the picture of 80 x 60, as of a padded one."""


def looked(name: str = "cup", boxes: int = 1) -> Looked:
    values = torch.rand(boxes, 4, len(HEADS), 5, 7, generator=torch.Generator().manual_seed(0)) / 35
    image = Image.new("RGB", (80, 60), (90, 120, 40))
    return Looked(name, image, BOX, (TRUTH,), AttentionMaps(HEADS, TokenGrid(5, 7, REGION), values))


def test_a_panel_shows_the_mean_of_its_layer_on_the_region_of_the_grid() -> None:
    one = looked("$cup$")
    figure = layers_figure([one, looked("hat")], (4, 9), coord="y1")
    assert len(figure.axes) == 6 and figure.axes[0].get_title() == "$cup$", "a name, no formula"
    expected = one.maps.values[0, 1, 2:4].mean(0)
    axes = figure.axes[1]
    shown = axes.images[1]
    assert np.allclose(shown.get_array(), (expected / expected.max()).numpy())
    assert shown.get_extent() == [0, 90, 70, 0]
    assert axes.get_xlim() == (0, 80) and axes.get_ylim() == (60, 0)
    assert axes.get_title() == f"layer 4 · {float(expected.max()):.1%}"
    assert [patch.get_xy() for patch in axes.patches] == [(20, 10)]
    assert [patch.get_xy() for patch in figure.axes[0].patches] == [(22, 12), (20, 10)], "true, then written"
    assert png(figure).startswith(b"\x89PNG")


def test_without_a_coordinate_it_is_the_mean_of_all_four() -> None:
    one = looked()
    [_, axes] = layers_figure([one], (7,)).axes
    expected = one.maps.values[0][:, 6:8].mean((0, 1))
    assert np.allclose(axes.images[1].get_array(), (expected / expected.max()).numpy(), atol=1e-6)


def test_all_layers_stand_in_a_block_per_coordinate() -> None:
    one = looked()
    figure = all_layers_figure(one, ("x2", "y2"))
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title().split(" ")[0] for axes in panels] == ["1", "4", "5", "7", "9"] * 2
    expected = one.maps.values[0, 3, 8:].mean(0)
    assert np.allclose(panels[-1].images[1].get_array(), (expected / expected.max()).numpy(), atol=1e-6)
    assert [figure.subfigs[k].get_suptitle() for k in (0, 1)] == ["(a) x2 of “cup”", "(b) y2 of “cup”"]
    assert png(figure).startswith(b"\x89PNG")


def test_a_map_of_zeros_is_dark() -> None:
    one = looked()
    dark = one._replace(maps=replace(one.maps, values=torch.zeros_like(one.maps.values)))
    [_, axes] = layers_figure([dark], (1,)).axes
    assert (axes.images[1].get_array() == 0).all()


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(BadInput, match="pictures and layers to show, got 0 and 1"):
        layers_figure([], (1,))
    with pytest.raises(BadInput, match="one box with heads of layer 2, got 1 boxes and 0 such heads"):
        layers_figure([looked()], (2,))
    with pytest.raises(BadInput, match="one box with heads of layer 1, got 3 boxes"):
        all_layers_figure(looked(boxes=3))
    with pytest.raises(BadInput, match="coordinates to show, got none"):
        all_layers_figure(looked(), ())
