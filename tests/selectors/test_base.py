"""From scores to boxes: order of storage does not matter, greedy is never chosen, clusters speak once each."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.records import CandidateSet, ScoredBox
from glintbox.selectors.base import Clusters, Score, best_of, best_per_cluster, chooser, in_order, ranking
from tests.sets import a_set, boxes_of, permuted

A, A2, B, B2, C = (0, 0, 10, 10), (1, 0, 10, 10), (50, 0, 70, 20), (50, 1, 70, 20), (30, 30, 40, 50)
FOUND = a_set([A, B], [A2], [C, B2], greedy=[A])


def by_area(found: CandidateSet) -> torch.Tensor:
    return torch.tensor([candidate.box.area for candidate in found.candidates])


def given_scores(*values: float) -> Score:
    return lambda _: torch.tensor(values)


def test_the_highest_score_is_chosen_with_its_score_and_index() -> None:
    assert best_of(by_area)(FOUND) == (ScoredBox(Box(*B), 400.0, 2),)
    assert best_of(by_area, reported=False)(FOUND) == (ScoredBox(Box(*B), None, 2),)


def test_greedy_is_never_chosen_whatever_its_score() -> None:
    assert best_of(given_scores(9, 1, 2, 3, 4, 5))(FOUND)[0].candidate == 5


@settings(max_examples=30)
@given(st.permutations(range(6)))
def test_the_order_in_which_candidates_are_stored_changes_nothing(order: list[int]) -> None:
    stored = permuted(FOUND, order)
    for choose in (best_of(by_area), best_per_cluster(by_area), best_of(lambda f: torch.zeros(len(f.candidates)))):
        assert boxes_of(choose(stored)) == boxes_of(choose(FOUND))


def test_equal_scores_go_to_the_tie_break_then_to_the_earlier_response_then_to_text_order() -> None:
    level = given_scores(0, 1, 1, 1, 1, 1)
    assert boxes_of(ranking(FOUND, level)) == [A, B, A2, C, B2]
    assert boxes_of(ranking(FOUND, level, tie=given_scores(9, 0, 0, 1, 0, 1))) == [A2, B2, A, B, C]
    assert in_order(FOUND) == (1, 2, 3, 4, 5)


def test_minus_infinity_is_never_chosen() -> None:
    never = -torch.inf
    assert best_of(given_scores(0, never, never, 1, never, never))(FOUND)[0].candidate == 3
    assert best_of(given_scores(*[never] * 6))(FOUND) == ()
    assert best_per_cluster(given_scores(*[never] * 6))(FOUND) == ()


def test_nothing_is_chosen_from_nothing() -> None:
    for empty in (a_set(), a_set([], []), a_set([], greedy=[A])):
        assert best_of(by_area)(empty) == () == best_per_cluster(by_area)(empty)


def test_every_cluster_gives_its_best_and_the_best_comes_first() -> None:
    chosen = best_per_cluster(given_scores(99, 0.5, 0.7, 0.4, 1.0, 0.8))(FOUND)
    assert boxes_of(chosen) == [B2, A], "the lone box is discarded though its score is highest"
    assert [box.score for box in chosen] == pytest.approx([0.8, 0.5])


def test_clusters_of_one_count_where_that_is_wanted() -> None:
    chosen = best_per_cluster(given_scores(99, 0.5, 0.7, 0.4, 1.0, 0.8), min_size=1)(FOUND)
    assert boxes_of(chosen) == [C, B2, A]


def test_a_chooser_is_made_by_how_many_objects_are_wanted() -> None:
    scores = given_scores(99, 0.5, 0.7, 0.4, 1.0, 0.8)
    assert boxes_of(chooser(False)(scores)(FOUND)) == [C]
    assert chooser(True)(scores)(FOUND) == chooser(Clusters())(scores)(FOUND) == best_per_cluster(scores)(FOUND)
    assert boxes_of(chooser(Clusters(min_size=1))(scores)(FOUND)) == [C, B2, A]
    assert boxes_of(chooser(Clusters(iou=0.93))(scores)(FOUND)) == [B2], "A and A2 share 0.9 only"


def test_where_all_boxes_stand_alone_the_single_best_is_chosen() -> None:
    assert boxes_of(best_per_cluster(by_area)(a_set([A], [B], [C]))) == [B]


def test_greedy_makes_no_cluster() -> None:
    assert boxes_of(best_per_cluster(by_area)(a_set([A], [B], greedy=[A2]))) == [B]


def test_boxes_of_one_response_may_make_a_cluster() -> None:
    assert boxes_of(best_per_cluster(by_area)(a_set([A, A2], [B]))) == [A]


@pytest.mark.parametrize("threshold, count", [(0.9, 2), (0.91, 1)])
def test_the_threshold_is_inclusive(threshold: float, count: int) -> None:
    found = a_set([A, B], [A2, B])  # IoU of A and A2 is 0.9 exactly; without that cluster B alone is left
    assert len(best_per_cluster(by_area, iou=threshold)(found)) == count


def test_a_score_of_another_length_or_nan_is_refused() -> None:
    with pytest.raises(BadInput, match="one score per candidate, got 2 for 6"):
        best_of(given_scores(1, 2))(FOUND)
    with pytest.raises(BadInput, match=r"got NaN for candidates \[2\]"):
        best_of(given_scores(torch.nan, 1, torch.nan, 1, 1, 1))(FOUND)


@pytest.mark.parametrize(("threshold", "size"), [(0, 2), (1.1, 2), (0.5, 0)])
def test_cluster_options_out_of_range_are_refused(threshold: float, size: int) -> None:
    with pytest.raises(BadInput, match="0 < iou <= 1 and min_size >= 1"):
        best_per_cluster(by_area, iou=threshold, min_size=size)
