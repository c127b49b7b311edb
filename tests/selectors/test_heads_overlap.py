"""heads-overlap: the candidate that covers best what the localization heads look at."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.assembly import Assembly
from glintbox.boxes import Box
from glintbox.errors import BadInput, NoArtifact, SettingMismatch
from glintbox.geometry import TokenGrid
from glintbox.records import CandidateSet, Head, HeadMap, TextMaps
from glintbox.selectors import selector
from glintbox.selectors.heads_overlap import heads_overlap, overlap_score
from tests.sets import IMAGE, SETTING, Corners, a_set, boxes_of, permuted

TEXT = replace(SETTING, prompt="expression")
HEADS = HeadMap(TEXT, "by hand", {"text": (Head(2, 0), Head(2, 3))})
GRID = TokenGrid(3, 5, Box.whole(IMAGE))  # cells of 20 x 20 px
SHARP = Assembly(sigma=0)


def looking(found: CandidateSet, *cells: tuple[int, int]) -> CandidateSet:
    values = torch.zeros(2, 3, 5)
    for cell in cells:
        values[:, *cell] = 0.1
    return replace(found, text_map=TextMaps(TEXT, HEADS.heads["text"], GRID, values))


RIGHT: Corners = (21, 19, 61, 41)
WIDE: Corners = (0, 0, 100, 60)
TINY: Corners = (25, 25, 35, 35)
AWAY: Corners = (70, 0, 90, 20)


def test_the_box_with_the_most_of_the_region_and_the_least_beside_it_is_chosen() -> None:
    found = looking(a_set([WIDE], [AWAY, TINY], [RIGHT], greedy=[RIGHT]), (1, 1), (1, 2))
    [best] = heads_overlap(HEADS, assembly=SHARP).choose(found)
    assert boxes_of([best]) == [RIGHT] and best.candidate == 4
    expected = 39 * 20 / (40 * 22 + 800 - 39 * 20)
    assert best.score == pytest.approx(expected)
    scores = overlap_score(HEADS, assembly=SHARP)(found)
    assert scores.tolist() == pytest.approx([-torch.inf, 800 / 6000, 0.0, 100 / 800, expected])


@settings(max_examples=25)
@given(st.permutations(range(4)), st.floats(0.1, 9))
def test_neither_the_order_of_candidates_nor_the_scale_of_the_maps_matters(order: list[int], scale: float) -> None:
    found = looking(a_set([WIDE], [AWAY, TINY], [RIGHT]), (1, 1), (1, 2))
    assert found.text_map is not None
    scaled = replace(found, text_map=replace(found.text_map, values=scale * found.text_map.values))
    choose = heads_overlap(HEADS, assembly=SHARP).choose
    assert boxes_of(choose(permuted(scaled, order))) == boxes_of(choose(found))


def test_where_no_box_overlaps_the_one_that_the_others_agree_with_is_chosen() -> None:
    found = a_set([(0, 40, 20, 60)], [AWAY], [(70, 0, 91, 20)], [(69, 0, 90, 20)])
    for cells in (((1, 1),), ()):
        [best] = heads_overlap(HEADS, assembly=SHARP).choose(looking(found, *cells))
        assert boxes_of([best]) == [AWAY] and best.score == 0


def test_a_box_beyond_the_grid_counts_in_full() -> None:
    found = looking(a_set([(0, 0, 40, 20)]), (0, 0), (0, 1))
    assert found.text_map is not None
    crop = replace(found, text_map=replace(found.text_map, grid=TokenGrid(3, 5, Box(20, 0, 70, 60))))
    # cells of 10 x 20 px from x = 20 on: the region is (20, 0, 40, 20), half of the box
    assert overlap_score(HEADS, assembly=SHARP)(crop).tolist() == pytest.approx([0.5])


def test_a_set_without_the_map_or_with_one_of_other_heads_is_refused() -> None:
    with pytest.raises(
        BadInput, match="maps of localization heads beside the candidates of 'a', got none; ground with"
    ):
        heads_overlap(HEADS).choose(a_set([TINY]))
    found = looking(a_set([TINY]), (1, 1))
    assert found.text_map is not None
    fewer = replace(HEADS, heads={"text": (Head(2, 3),)})
    with pytest.raises(BadInput, match="expected maps of L2H3 beside the candidates of 'a', got those of L2H0, L2H3;"):
        heads_overlap(fewer).choose(found)
    other = replace(found, text_map=replace(found.text_map, setting=replace(TEXT, model="other")))
    with pytest.raises(SettingMismatch, match="this map of localization heads belongs to another setting"):
        heads_overlap(HEADS).choose(other)


def test_the_selector_by_name_needs_localization_heads() -> None:
    made = selector("heads-overlap", localization=HEADS)
    assert made.looks == HEADS and made.needs is None and made.score_kind == "agreement"
    with pytest.raises(NoArtifact, match="heads-overlap needs the localization heads of this model, got none; find"):
        selector("heads-overlap", headmap=HEADS)
    coordinates = replace(HEADS, heads={"x1": (Head(0, 0),)})
    with pytest.raises(BadInput, match="expected heads for text in the head map, got none for text: it has x1"):
        selector("heads-overlap", localization=coordinates)


def test_acs_free_refuses_a_map_of_localization_heads() -> None:
    with pytest.raises(BadInput, match=r"heads for x1, y1, x2, y2 in the head map.*it has text; .*heads calibrate"):
        selector("acs-free", headmap=HEADS)
