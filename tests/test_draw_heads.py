"""Figures show the numbers that they are given: every head, the threshold, the kept ones, each map on its picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glintbox.ablations import Judged, Way, outcomes
from glintbox.draw_heads import (
    EARLY,
    KEPT,
    OTHER,
    Looked,
    ablation_figure,
    by_criterion,
    frequency_figure,
    maps_figure,
    of_heads,
    sums_figure,
)
from glintbox.errors import BadInput
from glintbox.finding import counted, table
from glintbox.records import Head, Search, Selection
from tests.test_draw_report import png
from tests.text_cases import GOOD, GRID, HEADS, IMAGE, STRAY, WIDE, a_case, kept

SEARCH = Search(samples=6, draws=2, best=2, k=1)
PICTURE = Image.new("RGB", IMAGE, (90, 120, 40))


def colors_of(points: object) -> list[str]:
    return ["#%02X%02X%02X" % tuple(round(255 * part) for part in color[:3]) for color in points]  # type: ignore[attr-defined]  # noqa: UP031


def test_sums_ascend_and_those_above_tau_are_marked(tmp_path: Path) -> None:
    found = table(kept(tmp_path, range(6)))
    figure = sums_figure(found, SEARCH)
    [axes] = figure.axes
    heights = axes.collections[0].get_offsets()[:, 1]
    assert np.allclose(heights, found.share.mean(0).sort().values)
    tau = counted(found, SEARCH).tau
    assert axes.lines[0].get_ydata()[0] == pytest.approx(tau) and f"{tau:.3f} (chord)" in axes.texts[0].get_text()
    colors = colors_of(axes.collections[0].get_facecolors())
    order = found.share.mean(0).argsort().tolist()
    expected = {GOOD: KEPT, WIDE: KEPT, HEADS[3]: OTHER, HEADS[0]: EARLY, HEADS[1]: EARLY}
    assert all(colors[order.index(HEADS.index(head))] == color for head, color in expected.items())
    assert png(figure).startswith(b"\x89PNG")


def test_frequencies_are_bars_of_at_most_twenty_heads() -> None:
    heads = tuple(Head(2 + k // 8, k % 8) for k in range(30))
    frequency = tuple(0.9 - 0.02 * k for k in range(30))
    figure = frequency_figure(Selection("$data$", 9, SEARCH, (0.2, 0.2), heads, frequency, (0.01,) * 30))
    [axes] = figure.axes
    bars = axes.patches
    assert np.allclose([bar.get_height() for bar in bars], np.array(frequency[:20]) * 100)
    assert colors_of([bar.get_facecolor() for bar in bars[:2]]) == [KEPT, OTHER], "k = 1"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(head) for head in heads[:20]]
    assert axes.get_xlabel() == "$data$, 2 × 6 cases" and png(figure).startswith(b"\x89PNG")


def test_each_criterion_shows_its_head() -> None:
    case = a_case(2)
    (first, mean), *rest = by_criterion(case, HEADS, replace(SEARCH, tau=0.1))
    assert case.maps is not None and first == "mean of 8 heads"
    torch.testing.assert_close(mean, case.maps.mean(0))
    words = [word for word, _ in rest]
    assert words[0] == f"largest S: {WIDE}" and words[1] == f"low S, low SE: {STRAY}"
    assert words[2] == f"high S, low SE: {GOOD}" and words[3] == f"high S, high SE: {WIDE}"
    assert all(torch.equal(shown, case.maps[HEADS.index(head)]) for (_, shown), head in zip(
        rest, (WIDE, STRAY, GOOD, WIDE), strict=True
    ))  # fmt: skip
    empty = by_criterion(case, HEADS, replace(SEARCH, tau=1.0))
    assert [word for word, _ in empty][3:] == ["high S, low SE: none", "high S, high SE: none"]
    assert empty[3][1].max() == 0


def test_maps_stand_beside_their_picture_on_its_grid() -> None:
    case = a_case(2)
    looked = Looked(PICTURE, case, of_heads(case, HEADS, (GOOD, WIDE)))
    figure = maps_figure([looked, looked])
    assert len(figure.axes) == 6 and figure.axes[0].get_title() == case.sample.query
    axes = figure.axes[1]
    assert case.maps is not None and axes.get_title() == f"{GOOD} S {float(case.numbers.share[HEADS.index(GOOD)]):.2f}"
    expected = case.maps[HEADS.index(GOOD)]
    assert np.allclose(axes.images[1].get_array(), (expected / expected.max()).numpy())
    assert axes.images[1].get_extent() == [0, GRID.region.x2, GRID.region.y2, 0]
    assert [patch.get_xy() for patch in axes.patches] == [(case.sample.truth[0].x1, case.sample.truth[0].y1)]
    assert png(figure).startswith(b"\x89PNG")


def test_an_ablation_is_a_line_per_size() -> None:
    tried = [Way(name, (GOOD,), SEARCH) for name in ("0", "1", "curvature")]
    found = outcomes("sigma", Judged(tried, [[0.6, 0.2], [0.6, 0.7], [0.1, 0.1]], [0.005, 0.1]))
    figure = ablation_figure(found)
    [axes] = figure.axes
    lines = {line.get_label(): line.lines[0].get_ydata().tolist() for line in axes.containers}
    assert lines == {"small (1)": [100, 100, 0], "large (1)": [0, 100, 0], "any (2)": [50, 100, 0]}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "curvature"]
    assert png(figure).startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused() -> None:
    case = a_case(0)
    with pytest.raises(BadInput, match=r"expected cases with equally many maps, got \[1, 2\]"):
        maps_figure([Looked(PICTURE, case, of_heads(case, HEADS, HEADS[:k])) for k in (1, 2)])
    with pytest.raises(BadInput, match=r"equally many maps, got \[\]"):
        maps_figure([])
    with pytest.raises(BadInput, match="expected the maps of case 000-0"):
        by_criterion(case._replace(maps=None), HEADS, SEARCH)
