"""ACS-Free: ranks know no scale, ties and greedy do no harm, and an artefact of another setting is refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor

from glintbox.errors import BadInput, SettingMismatch
from glintbox.records import COORDS, CandidateSet, Head, HeadMap, Watch
from glintbox.selectors.acs_free import Ties, acs_free, mean_entropies, rank_score, ranks
from tests.sets import HEADS, SETTING, a_set, boxes_of, permuted, with_entropy

ALL = HeadMap(SETTING, "test", {coord: HEADS for coord in COORDS})
ONE = HeadMap(SETTING, "test", {coord: HEADS[:1] for coord in COORDS})
BOXES = [(k, 0, k + 10, 10) for k in range(0, 50, 10)]


def measured(*entropies: tuple[float, float, float, float]) -> CandidateSet:
    """One response per row; a row holds the entropies of x1 y1 x2 y2 in the one head."""
    found = a_set(*[[box] for box in BOXES[: len(entropies)]])
    return with_entropy(found, torch.tensor(entropies, dtype=torch.float32)[:, :, None])


def random_set(seed: int, count: int = 5) -> CandidateSet:
    values = torch.rand(count, 4, 3, generator=torch.Generator().manual_seed(seed))
    return with_entropy(a_set(*[[box] for box in BOXES[:count]]), values * 5)


def test_the_lowest_rank_sum_wins_by_hand() -> None:
    # ranks 1 2 2 3 = 8, 2 1 1 1 = 5, 3 3 3 2 = 11: the second wins, though the first has the lowest mean entropy
    found = measured((0.1, 2.0, 2.0, 2.9), (2.0, 1.9, 1.9, 1.9), (2.1, 2.2, 2.3, 2.4))
    (best,) = acs_free(ONE).choose(found)
    assert best.candidate == 1
    assert best.score == pytest.approx((3 - 5 / 4 + 0.5) / 3)


@given(st.integers(0, 999), st.lists(st.floats(0.1, 10), min_size=4, max_size=4))
def test_ranks_do_not_know_the_scale_of_a_coordinate(seed: int, scales: list[float]) -> None:
    found = random_set(seed)
    assert found.stats is not None
    scaled = with_entropy(found, found.stats.entropy * torch.tensor(scales)[:, None])
    assert torch.equal(rank_score(ONE)(scaled), rank_score(ONE)(found))


@settings(max_examples=30)
@given(st.integers(0, 999), st.permutations(range(5)), st.sampled_from(["average", "ordinal", "min"]))
def test_the_order_in_which_candidates_are_stored_changes_nothing(seed: int, order: list[int], ties: Ties) -> None:
    values = torch.randint(0, 2, (5, 4, 3), generator=torch.Generator().manual_seed(seed)).float()
    found = with_entropy(random_set(0), values)
    for multiple in (False, True):
        choose = acs_free(ALL, ties=ties, multiple=multiple).choose
        assert boxes_of(choose(permuted(found, order))) == boxes_of(choose(found))


@given(st.integers(0, 999), st.integers(1, 5))
def test_scores_lie_in_0_to_1_and_their_mean_is_a_half(seed: int, count: int) -> None:
    scores = rank_score(ALL)(random_set(seed, count))
    assert ((scores > 0) & (scores < 1)).all()
    assert scores.mean().item() == pytest.approx(0.5)


@pytest.mark.parametrize("ties", ["average", "ordinal", "min"])
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_ranks_are_those_of_statistics(ties: Ties, values: list[int]) -> None:
    expected = rankdata(values, method=ties)
    assert ranks(torch.tensor(values, dtype=torch.float64)[:, None], ties=ties)[:, 0].tolist() == expected.tolist()


def test_what_greedy_looked_at_changes_no_rank() -> None:
    entropy = torch.rand(3, 4, 1, generator=torch.Generator().manual_seed(0))
    boxes = [[box] for box in BOXES[:3]]
    beside = with_entropy(a_set(*boxes, greedy=[BOXES[0]]), torch.cat([torch.zeros(1, 4, 1), entropy]))
    scores = rank_score(ONE)(beside)
    assert scores[0] == -torch.inf
    assert torch.equal(scores[1:], rank_score(ONE)(with_entropy(a_set(*boxes), entropy)))


def test_one_candidate_is_returned_and_beats_nobody() -> None:
    (only,) = acs_free(ONE).choose(measured((5, 5, 5, 5)))
    assert (only.candidate, only.score) == (0, 0.5)


def test_no_candidate_is_no_box_even_without_statistics() -> None:
    assert acs_free(ONE).choose(a_set([], greedy=[BOXES[0]])) == ()


def test_equal_rank_sums_go_to_the_lower_mean_entropy_then_to_the_earlier_response() -> None:
    assert acs_free(ONE).choose(measured((1, 1, 2, 9), (2, 2, 1, 1)))[0].candidate == 1
    assert acs_free(ONE).choose(measured((2, 2, 1, 1), (1, 1, 2, 2)))[0].candidate == 0


def test_the_three_ways_with_ties_may_choose_differently() -> None:
    # x1: a tie of the first two. average 1.5 1.5 3, min 1 1 3, ordinal 1 2 3
    found = measured((1, 2, 3, 3), (1, 1, 2, 4), (2, 3, 1, 1))
    assert ranks(torch.tensor([[1.0], [1.0], [2.0]])).flatten().tolist() == [1.5, 1.5, 3]
    sums = {ties: _rank_sums(found, ties) for ties in ("average", "ordinal", "min")}
    assert sums == {"average": [8.5, 7.5, 8], "ordinal": [8, 8, 8], "min": [8, 7, 8]}


def _rank_sums(found: CandidateSet, ties: Ties) -> list[float]:
    total: Tensor = ranks(mean_entropies(found, ONE)[1], ties=ties).sum(1)
    return total.tolist()


def test_equation_4_is_the_mean_over_each_coordinates_own_heads() -> None:
    headmap = HeadMap(SETTING, "test", {"x1": HEADS[:1], "y1": HEADS[1:], "x2": HEADS, "y2": (HEADS[2], HEADS[0])})
    entropy = torch.arange(12.0).reshape(1, 4, 3)
    assert mean_entropies(with_entropy(a_set([BOXES[0]]), entropy), headmap)[1].tolist() == [[0, 4.5, 7, 10]]


def test_a_candidate_whose_tokens_are_unknown_is_never_ranked() -> None:
    found = random_set(3)
    assert found.stats is not None
    found.stats.entropy[2] = torch.nan
    unknown = replace(found.candidates[2], tokens=None)
    found = replace(found, candidates=(*found.candidates[:2], unknown, *found.candidates[3:]))
    scores = rank_score(ALL)(found)
    assert scores[2] == -torch.inf and scores[[0, 1, 3, 4]].isfinite().all()


def test_an_entropy_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadInput, match=r"got NaN for candidates \[1\]"):
        acs_free(ONE).choose(measured((1, 1, 1, 1), (2, 2, torch.nan, 2)))


def test_it_asks_for_the_heads_of_the_map_and_no_maps() -> None:
    setting = replace(SETTING, view="tiles", moment="predicted")
    headmap = HeadMap(setting, "test", {"x1": HEADS[1:], "y1": HEADS[:1], "x2": HEADS[:2], "y2": HEADS[:1]})
    assert acs_free(headmap).needs == Watch(HEADS, "tiles", "predicted", maps=False)
    assert acs_free(headmap).score_kind == "rank"


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", "other"), ("revision", "x"), ("prompt", "paper"), ("view", "tiles"), ("pixels", "max=1")],
)
def test_a_head_map_of_another_setting_is_refused_and_the_difference_named(field: str, value: str) -> None:
    headmap = replace(ONE, setting=replace(SETTING, **{field: value}))  # type: ignore[arg-type]  # moment is none of them
    with pytest.raises(SettingMismatch, match=rf"head map belongs to another setting \({field}: .*'{value}'"):
        acs_free(headmap).choose(random_set(0))


def test_heads_that_were_not_read_are_named() -> None:
    headmap = HeadMap(SETTING, "test", {coord: (Head(0, 1), Head(7, 7)) for coord in COORDS})
    with pytest.raises(SettingMismatch, match="got none of L7H7"):
        acs_free(headmap).choose(random_set(0))


def test_a_set_without_statistics_is_refused() -> None:
    with pytest.raises(BadInput, match="expected attention statistics for the candidates of 'a', got none"):
        acs_free(ONE).choose(a_set([BOXES[0]]))


def test_a_head_map_without_a_coordinate_is_refused() -> None:
    with pytest.raises(BadInput, match="got none for x2, y2"):
        acs_free(HeadMap(SETTING, "test", {"x1": HEADS, "y1": HEADS, "x2": ()}))
