"""The baselines, each by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box, iou
from glintbox.errors import BadInput
from glintbox.records import CandidateSet, ScoredBox
from glintbox.selectors import baselines, selector
from tests.sets import Corners, a_set, boxes_of

A, B, C = (0, 0, 10, 10), (50, 0, 70, 20), (30, 30, 40, 50)

corners = st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(1, 40), st.integers(1, 30)).map(
    lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])
)


def chosen(name: str, found: CandidateSet) -> list[Corners]:
    return boxes_of(selector(name).choose(found))


def test_first_valid_takes_the_first_box_of_the_first_response_that_has_one() -> None:
    assert chosen("first-valid", a_set([], [B, A], [C], greedy=[C])) == [B]
    assert chosen("first-valid", a_set([], [])) == []


def test_pass_at_1_looks_at_the_first_sampled_response_only() -> None:
    assert chosen("pass-at-1", a_set([B, A], [C], greedy=[C])) == [B]
    assert chosen("pass-at-1", a_set([], [C], greedy=[A])) == [], "no box there is no box, though others have some"


def test_token_entropy_ranks_responses_by_the_doubt_of_their_first_box() -> None:
    assert chosen("token-entropy", a_set([A], [B], [C], greedy=[A], doubts=[0.1, 0.9, 0.2, 0.5])) == [B]


def test_token_entropy_sums_the_first_tokens_of_the_four_coordinates() -> None:
    found = a_set([A, C], [B], doubts=[0.25, 0.5])
    assert baselines.token_entropy(found).tolist() == [-1, -1, -2]
    assert baselines.token_entropy_of_responses(found).tolist() == [-1, -torch.inf, -2]


def test_token_entropy_of_given_answers_is_refused() -> None:
    with pytest.raises(BadInput, match="expected vocabulary entropies for response 0 of 'a', got none"):
        chosen("token-entropy", a_set([A]))


def test_majority_vote_takes_the_most_frequent_value_of_each_coordinate() -> None:
    found = a_set([(0, 0, 10, 12)], [(0, 6, 20, 12)], [(5, 6, 10, 30)], greedy=[B, B, B, B])
    assert selector("majority-vote").choose(found) == (ScoredBox(Box(0, 6, 10, 12), None, None),)


def test_a_tie_of_votes_goes_to_the_value_nearest_the_median_then_to_the_lesser() -> None:
    # x2: 20 and 70 tie, the median is 60; x1: 1 and 9 tie, both 4 from the median 5
    found = a_set(*[[(x1, 0, x2, 6)] for x1, x2 in ((1, 20), (1, 70), (9, 70), (9, 20), (5, 60))])
    assert chosen("majority-vote", found) == [pytest.approx((1, 0, 70, 6))]


def test_a_majority_that_makes_no_box_is_no_box() -> None:
    found = a_set([(40, 0, 50, 6)], [(40, 0, 60, 6)], [(0, 0, 30, 6)], [(10, 0, 30, 6)])
    assert chosen("majority-vote", found) == [], "x1 = 40 and x2 = 30"


def test_mean_box_by_hand() -> None:
    found = a_set([A, B], [(10, 1, 40, 21)], greedy=[C])
    assert selector("mean-box").choose(found) == (ScoredBox(Box(20, 1 / 3, 40, 17), None, None),)


@given(st.lists(corners, min_size=1, max_size=5))
def test_invented_boxes_of_equal_votes_are_that_box(votes: list[Corners]) -> None:
    found = a_set(*[[votes[0]] for _ in votes])
    for name in ("majority-vote", "mean-box"):
        assert chosen(name, found) == [pytest.approx(votes[0])]


def test_methods_that_invent_a_box_find_nothing_in_nothing() -> None:
    assert chosen("majority-vote", a_set([], greedy=[A])) == [] == chosen("mean-box", a_set([], greedy=[A]))


def test_smallest_takes_the_least_area() -> None:
    assert chosen("smallest", a_set([B], [C, A], greedy=[(0, 0, 1, 1)])) == [A]


@given(st.lists(corners, min_size=1, max_size=6))
def test_pairwise_iou_is_iou(boxes: list[Corners]) -> None:
    pairs = baselines.pairwise_iou([Box(*c) for c in boxes])
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes):
            assert pairs[i, j].item() == pytest.approx(iou(Box(*a), Box(*b)))


def test_consensus_takes_the_box_that_the_others_agree_with() -> None:
    found = a_set([A], [(0, 0, 10, 8)], [C], [(0, 0, 10, 5)], greedy=[C, C, C, C])
    (box,) = selector("consensus").choose(found)
    assert tuple(box.box) == (0, 0, 10, 8)
    assert box.score == pytest.approx((0.8 + 0 + 5 / 8) / 3)


def test_consensus_of_one_is_that_one_with_no_agreement() -> None:
    assert selector("consensus").choose(a_set([B])) == (ScoredBox(Box(*B), 0.0, 0),)


def test_random_depends_on_seed_and_id_and_on_nothing_else() -> None:
    boxes = [[(k, 0, k + 5, 6)] for k in range(30)]
    first = chosen("random", a_set(*boxes))
    assert chosen("random", a_set(*boxes, greedy=[A])) == first
    torch.rand(1)
    assert chosen("random", a_set(*boxes)) == first
    others = [chosen("random", a_set(*boxes, seed=s, id=i)) for s in range(3) for i in ("a", "b", "c")]
    assert len({box[0] for box in others}) > 4


def test_random_takes_each_box_about_as_often() -> None:
    taken = [chosen("random", a_set([A], [B], id=str(k)))[0] for k in range(200)]
    assert 70 <= taken.count(A) <= 130
