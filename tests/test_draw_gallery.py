"""The gallery shows each case with its three boxes, and a tiny target again."""

from pathlib import Path

import pytest
from matplotlib.patches import Rectangle

from glintbox.boxes import Box, Size
from glintbox.draw_gallery import CHOSEN, GREEDY, TRUE, Shown, gallery_figure
from glintbox.evaluate import judged
from glintbox.records import Sample
from tests.lvlm.tiny import picture
from tests.sets import Corners
from tests.test_draw_report import png
from tests.test_evaluate import FAR, case, result

LARGE = Box(10, 10, 60, 50)


def shown(truth: Box, chosen: Corners | None, greedy: Corners = FAR, query: str = "cup") -> Shown:
    sample = case("a", truth)
    return Shown(picture(100, 60), query, sample.truth, judged(sample, result("a", chosen, greedy=greedy)))


def frames(axes: object) -> list[tuple[str, tuple[float, ...]]]:
    from matplotlib.colors import to_hex

    boxes = [p for p in axes.patches if isinstance(p, Rectangle)]  # type: ignore[attr-defined]
    return [
        (to_hex(p.get_edgecolor()).upper(), (*p.get_xy(), p.get_x() + p.get_width(), p.get_y() + p.get_height()))
        for p in boxes
        if to_hex(p.get_edgecolor()).upper() in (TRUE, GREEDY, CHOSEN)
    ]


def test_a_case_shows_the_true_the_chosen_and_greedy_s_box_and_their_iou() -> None:
    figure = gallery_figure({"won": [shown(LARGE, (10, 10, 60, 60))]}, title="a, T=0.7", counts={"won": 9})
    [part] = figure.subfigs
    [axes] = part.axes
    assert frames(axes) == [(TRUE, tuple(LARGE)), (CHOSEN, (10, 10, 60, 60)), (GREEDY, FAR)]
    assert [text.get_text() for text in axes.texts] == ["greedy 0.00 · chosen 0.80"]
    assert (axes.get_title(), part.get_suptitle(), figure.get_suptitle()) == ("cup", "won: 9 cases", "a, T=0.7")
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 100), (60, 0))
    assert png(figure).startswith(b"\x89PNG")


def test_a_tiny_target_is_shown_again_enlarged_and_a_large_one_is_not() -> None:
    sample = Sample("a", Path("a.png"), Size(400, 240), "cup", (Box(10, 10, 14, 14),))
    tiny = Shown(picture(400, 240), "cup", sample.truth, judged(sample, result("a", (10, 10, 14, 15))))
    figure = gallery_figure({"won": [tiny, shown(LARGE, None)]}, title="", counts={"won": 2})
    small, large = figure.subfigs[0].axes
    [inset] = small.child_axes
    assert not large.child_axes
    (left, right), (below, above) = inset.get_xlim(), inset.get_ylim()
    assert left <= 10 and right >= 14 and above <= 10 and below >= 15
    assert frames(inset)[0] == (TRUE, (10, 10, 14, 14))
    assert frames(large) == [(TRUE, tuple(LARGE)), (GREEDY, FAR)], "nothing was chosen"


def test_outcomes_without_a_case_have_no_row_and_rows_may_be_short() -> None:
    one = shown(LARGE, FAR)
    figure = gallery_figure(
        {"won": [one, one, one], "lost": [], "both": [one]}, title="", counts={"won": 3, "lost": 0, "both": 1}
    )
    assert [part.get_suptitle() for part in figure.subfigs] == ["won: 3 cases", "both: 1 cases"]
    assert [[axes.axison for axes in part.axes] for part in figure.subfigs] == [[True] * 3, [True, False, False]]


@pytest.mark.parametrize("query", ["a $b$ _c_", "the small red car that stands left of the tall tree", "红色的杯子"])
def test_any_query_is_a_title(query: str) -> None:
    figure = gallery_figure({"won": [shown(LARGE, FAR, query=query)]}, title="", counts={"won": 1})
    assert len(figure.subfigs[0].axes[0].get_title()) <= 34
    png(figure)
