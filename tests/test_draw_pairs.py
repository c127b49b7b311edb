"""Greedy above ours: the same window for both, boxes where they are, the IoU in the corner; bars of their height."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

from glintbox.boxes import Box
from glintbox.draw_pairs import Bar, Told, gap_figure, pairs_figure
from glintbox.draw_paper import PREDICTED, TRUE
from glintbox.errors import BadInput
from glintbox.metrics import Interval
from tests.test_draw_report import png

SMALL, LARGE = Box(200, 100, 216, 112), Box(20, 10, 220, 170)


def told(truth: Box, greedy: Box | None, ours: Box | None, *, size: tuple[int, int] = (320, 180)) -> Told:
    chosen = {"Greedy": (greedy, 0.0 if greedy is None else 0.31), "Ours": (ours, 0.82)}
    return Told("$cup$", Image.new("RGB", size, (90, 120, 40)), (truth,), chosen)


def boxes(axes: object) -> list[tuple[str, tuple[float, float]]]:
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle)]  # type: ignore[attr-defined]
    return [(to_hex(patch.get_edgecolor()).upper(), patch.get_xy()) for patch in patches]


def test_both_methods_show_the_same_window_with_their_own_box_and_iou() -> None:
    case = told(SMALL, Box(206, 104, 230, 118), Box(201, 100, 216, 113))
    figure = pairs_figure([case, told(LARGE, None, LARGE)], methods=("Greedy", "Ours"))
    above, right_above, below, right_below = figure.axes[:4]
    assert above.get_ylabel() == "Greedy" and below.get_ylabel() == "Ours" and above.get_title() == "$cup$"
    assert boxes(above) == [(TRUE, (200, 100)), (PREDICTED, (206, 104))]
    assert boxes(below) == [(TRUE, (200, 100)), (PREDICTED, (201, 100))]
    assert above.get_xlim() == below.get_xlim() and above.get_ylim() == below.get_ylim()
    (left, right), (bottom, top) = above.get_xlim(), above.get_ylim()
    assert right - left == bottom - top == pytest.approx(60), "twice what both boxes cover"
    assert left < 200 and right > 230 and top < 100 and bottom > 118
    assert above.texts[0].get_text() == "IoU 0.31" and below.texts[0].get_text() == "IoU 0.82"
    assert right_above.texts[0].get_text() == "no box" and len(boxes(right_above)) == 1
    assert right_below.get_xlim()[1] - right_below.get_xlim()[0] == 180, "a large target is shown whole"
    assert png(figure).startswith(b"\x89PNG")


def test_a_box_far_off_is_seen_on_the_whole_picture() -> None:
    figure = pairs_figure([told(SMALL, Box(5, 5, 30, 20), SMALL)], methods=("Greedy", "Ours"))
    greedy, ours = ([boxes(inset) for inset in axes.child_axes] for axes in figure.axes[:2])
    assert [color for color, _ in greedy[0]] == ["#FFFFFF", PREDICTED] and greedy[0][1][1] == (5, 5)
    assert [color for color, _ in ours[0]] == ["#FFFFFF"]


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (90, 90)])
def test_a_window_lies_inside_the_picture(size: tuple[int, int]) -> None:
    corner = Box(size[0] - 8, size[1] - 6, size[0], size[1])
    axes = pairs_figure([told(corner, None, corner, size=size)], methods=("Ours",)).axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    assert right - left == pytest.approx(0.3 * min(size)), "a tiny target with some context"


def test_many_cases_are_set_in_blocks() -> None:
    figure = pairs_figure([told(LARGE, LARGE, LARGE)] * 5, methods=("Greedy", "Ours"), cols=3)
    assert len(figure.subfigs) == 2 and [len(part.axes) for part in figure.subfigs] == [6, 6]
    assert sum(bool(axes.images) for axes in figure.axes) == 10, "the last block has two cases"


def bar(value: float) -> Bar:
    return Bar(value, Interval(value - 0.05, value + 0.05))


def test_large_and_small_stand_side_by_side_for_each_measure() -> None:
    sizes = {"large": {"Greedy": bar(0.87), "Ours": bar(0.88)}, "small": {"Greedy": bar(0.61), "Ours": bar(0.65)}}
    case = told(SMALL, SMALL, SMALL)
    figure = gap_figure([(case, "Greedy", "small: greedy"), (case, "Ours", "small: ours")], {"Acc@0.5, %": sizes})
    first, second, bars = (axes for axes in figure.axes if axes.get_title())
    assert (first.get_xlabel(), second.get_xlabel()) == ("small: greedy", "small: ours")
    assert bars.get_title() == "Acc@0.5, %"
    heights = [patch.get_height() for patch in sorted(bars.patches, key=lambda patch: patch.get_x())]
    assert heights == pytest.approx([87, 88, 61, 65])
    assert [label.get_text() for label in bars.get_xticklabels()] == ["large", "small"]
    ends = sorted(tuple(line.get_ydata()) for line in bars.lines)
    assert ends[0] == pytest.approx((56, 66))
    assert png(figure).startswith(b"\x89PNG")


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(BadInput, match=r"cases with Greedy and Theirs, got 1 and none in \['\$cup\$'\]"):
        pairs_figure([told(SMALL, None, None)], methods=("Greedy", "Theirs"))
    with pytest.raises(BadInput, match="got 0"):
        pairs_figure([], methods=("Ours",))
    with pytest.raises(BadInput, match="pictures and bars, got 0 and 0"):
        gap_figure([], {})
