"""Metrics by hand; intervals hold the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.metrics import (
    Matched,
    Overlap,
    acc_at,
    ap_bootstrap,
    average_precision,
    best_iou,
    bootstrap,
    ciou,
    ciou_bootstrap,
    detection_bootstrap,
    gain_bootstrap,
    gap_bootstrap,
    gap_closed,
    giou,
    giou_bootstrap,
    match,
    mean_iou,
    oracle,
    paired_bootstrap,
    precision_recall_f1,
)

A, A2, B, C = Box(0, 0, 10, 10), Box(0, 0, 10, 8), Box(20, 0, 30, 12), Box(40, 5, 50, 9)


def test_a_threshold_is_reached_at_the_threshold() -> None:
    assert acc_at([0.5, 0.49999, 0.9, 0.0]) == 0.5
    assert acc_at([0.5, 0.7, 0.9], threshold=0.7) == pytest.approx(2 / 3)


def test_mean_iou_counts_what_was_not_found() -> None:
    assert mean_iou([0.5, 0.0, 1.0]) == pytest.approx(0.5)


def test_best_iou_is_over_all_pairs_and_zero_where_there_is_none() -> None:
    assert best_iou([C, A2], [B, A]) == pytest.approx(0.8)
    assert best_iou([], [A]) == 0 == best_iou([A], [])


def test_the_oracle_takes_the_best_candidate_of_each_case() -> None:
    assert oracle([[0.1, 0.7, 0.3], [], [0.2]]) == (0.7, 0.0, 0.2)


def test_the_gap_is_none_at_greedy_whole_at_the_oracle_and_undefined_where_there_is_no_way() -> None:
    assert gap_closed(0.5, 0.5, 0.7) == 0
    assert gap_closed(0.5, 0.7, 0.7) == 1
    assert gap_closed(0.5, 0.4, 0.7) == pytest.approx(-0.5)
    assert gap_closed(0.7, 0.7, 0.7) is None


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for k in range(200):
        low, high = bootstrap(generator.random(60).tolist(), seed=k, resamples=300, level=0.8)
        held += low <= 0.5 <= high
    assert 0.7 <= held / 200 <= 0.9


def test_equal_cases_leave_no_doubt_and_equal_seeds_draw_equal_intervals() -> None:
    assert bootstrap([0.25] * 9, seed=0) == (0.25, 0.25)
    values = np.random.default_rng(0).random(50).tolist()
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_pairing_sees_a_small_difference_that_two_intervals_hide() -> None:
    b = np.random.default_rng(0).random(100)
    a = b + 0.02
    low, high = paired_bootstrap(a.tolist(), b.tolist(), seed=0)
    assert low == pytest.approx(0.02) == high
    assert bootstrap(a.tolist(), seed=0).low < bootstrap(b.tolist(), seed=0).high


def test_a_score_that_ranks_right_before_wrong_gives_the_recall_and_no_score_gives_precision_times_recall() -> None:
    hits = [True, False, True, False, False]
    assert average_precision(hits, [0.9, 0.1, 0.8, 0.2, None]) == pytest.approx(2 / 5)
    assert average_precision(hits, [1.0, 1.0, 1.0, 1.0, None]) == pytest.approx(2 / 4 * 2 / 5)
    assert average_precision([False, True], [None, None]) == 0


def test_average_precision_by_hand() -> None:
    # ranked: right, wrong, right, wrong; precision 1, 1/2, 2/3, 1/2; five objects
    assert average_precision([True, False, True, False, False], [0.9, 0.8, 0.7, 0.6, None]) == pytest.approx(
        (1 + 2 / 3) / 5
    )
    # a wrong box first: the later, higher precision counts for the first step too
    assert average_precision([False, True, True], [3.0, 2.0, 1.0]) == pytest.approx(2 / 3 * 2 / 3)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, 0.1, 0.5, 0.5, 0.9])), min_size=1, max_size=12))
def test_average_precision_needs_no_order_and_only_ranks(cases: list[tuple[bool, float | None]]) -> None:
    hits = [hit and score is not None for hit, score in cases]
    scores = [score for _, score in cases]
    value = average_precision(hits, scores)
    assert value == pytest.approx(average_precision(hits[::-1], scores[::-1]))
    assert value == pytest.approx(average_precision(hits, [None if s is None else s**3 - 7 for s in scores]))
    assert 0 <= value <= acc_at([float(hit) for hit in hits]) + 1e-12


def test_drawn_cases_weigh_as_if_they_were_there_so_often() -> None:
    hits, scores = [True, False, True, False], [0.9, 0.8, 0.7, None]
    generator = np.random.default_rng(5)
    drawn = [generator.integers(4, size=4) for _ in range(300)]
    values = [average_precision([hits[k] for k in each], [scores[k] for k in each]) for each in drawn]
    assert ap_bootstrap(hits, scores, seed=5, resamples=300) == pytest.approx(np.quantile(values, [0.025, 0.975]))


def test_the_gap_s_interval_holds_it_and_there_is_none_where_a_draw_has_no_gap() -> None:
    generator = np.random.default_rng(0)
    greedy = (generator.random(300) < 0.4).astype(float).tolist()
    best = [max(g, float(generator.random() < 0.5)) for g in greedy]
    chosen = [g if generator.random() < 0.5 else b for g, b in zip(greedy, best, strict=True)]
    interval = gap_bootstrap(greedy, chosen, best, seed=0)
    closed = gap_closed(*(mean_iou(values) for values in (greedy, chosen, best)))
    assert interval is not None and closed is not None
    assert 0 < interval.low < closed < interval.high < 1
    assert gap_bootstrap(greedy, best, best, seed=0) == (1, 1) and gap_bootstrap(greedy, greedy, best, seed=0) == (0, 0)
    assert gap_bootstrap([0.0, 1.0], [1.0, 1.0], [1.0, 1.0], seed=0) is None


def test_one_true_box_matches_one_box_only() -> None:
    assert match([A, A2, C], [A, B]) == Matched(found=3, truth=2, pairs=1)
    assert match([], [A]) == (0, 1, 0) and match([A], []) == (1, 0, 0)


def test_matching_finds_the_most_pairs_not_the_greediest() -> None:
    left, middle, right = Box(0, 0, 10, 4), Box(2, 0, 12, 4), Box(4, 0, 14, 4)
    # middle overlaps both true boxes with 2/3, left only the first: give the first to middle, and left has none
    assert match([middle, left], [left, right]).pairs == 2


@given(st.permutations(range(4)), st.permutations(range(3)))
def test_matching_does_not_depend_on_order(boxes: list[int], truth: list[int]) -> None:
    assert match([[A, A2, B, C][k] for k in boxes], [[A, B, C][k] for k in truth]) == (4, 3, 3)


def test_precision_recall_and_f1_are_over_all_pictures_at_once() -> None:
    # Table 6's first row: 47.21 and 40.19 make 43.42
    pictures = [Matched(4721, 4721, 2000), Matched(5279, 7026, 2721)]
    precision, recall, f1 = precision_recall_f1(pictures)
    assert (precision, recall) == pytest.approx((0.4721, 4721 / 11747))
    assert f1 == pytest.approx(0.4342, abs=1e-4)
    assert precision_recall_f1([Matched(0, 3, 0)]) == (0, 0, 0) == precision_recall_f1([])


@pytest.mark.parametrize(
    ("precision", "recall", "f1"),
    [(47.21, 40.19, 43.42), (57.13, 40.01, 47.06), (56.29, 40.10, 46.83), (49.10, 50.18, 49.63), (50.93, 50.13, 50.53),
     (50.22, 47.09, 48.60)],
)  # fmt: skip
def test_f1_is_the_harmonic_mean_in_every_row_of_table_6(precision: float, recall: float, f1: float) -> None:
    # p % of 10,000 boxes match, and they are r % of the true ones
    pairs, truth = round(100 * precision), round(10_000 * precision / recall)
    assert 100 * precision_recall_f1([Matched(10_000, truth, pairs)]).f1 == pytest.approx(f1, abs=0.011)


COUNTS = [Matched(4, 3, 2), Matched(1, 5, 1), Matched(0, 2, 0), Matched(6, 2, 2), Matched(2, 2, 0)]
OTHERS = [Matched(3, 3, 1), Matched(1, 5, 0), Matched(2, 2, 1), Matched(2, 2, 1), Matched(2, 2, 1)]


def test_intervals_of_detections_are_those_of_pictures_drawn_again() -> None:
    generator = np.random.default_rng(5)
    drawn = [generator.integers(5, size=5) for _ in range(300)]
    values = [precision_recall_f1([COUNTS[k] for k in each]) for each in drawn]
    for found, column in zip(
        detection_bootstrap(COUNTS, seed=5, resamples=300), zip(*values, strict=True), strict=True
    ):
        assert found == pytest.approx(np.quantile(column, [0.025, 0.975]))


def test_a_gain_is_of_pictures_drawn_together_and_relative_to_the_other() -> None:
    found, back = gain_bootstrap(COUNTS, OTHERS, seed=0), gain_bootstrap(OTHERS, COUNTS, seed=0)
    ours, theirs = precision_recall_f1(COUNTS).f1, precision_recall_f1(OTHERS).f1
    assert found.points == pytest.approx(ours - theirs) == -back.points and found.relative == ours / theirs - 1
    assert back.interval == (-found.interval.high, -found.interval.low)
    same = gain_bootstrap(COUNTS, COUNTS, seed=0)
    assert (same.points, same.interval, same.relative, same.relative_interval) == (0, (0, 0), 0, None), (
        "a draw of no F1"
    )
    twice = gain_bootstrap([Matched(2, 2, 2)] * 9, [Matched(2, 2, 1)] * 9, seed=0)
    assert (twice.relative, twice.relative_interval) == (1, (1, 1))
    none = gain_bootstrap(COUNTS, [Matched(1, 2, 0)] * 5, seed=0)
    assert none.relative is None and none.relative_interval is None and none.points == ours


def test_no_case_nan_and_uneven_pairs_are_refused() -> None:
    for number in (acc_at, mean_iou):
        with pytest.raises(BadInput, match="at least one case, got"):
            number([])
        with pytest.raises(BadInput, match="finite number per case"):
            number([0.5, float("nan")])
    with pytest.raises(BadInput, match="same cases on both sides, got 1 and 2"):
        paired_bootstrap([1.0], [1.0, 2.0], seed=0)
    with pytest.raises(BadInput, match="same cases on both sides, got 2 and 1"):
        average_precision([True], [0.5, 0.5])
    with pytest.raises(BadInput, match=r"resamples >= 1 and 0 < level < 1, got 0 and 0\.95"):
        bootstrap([1.0], seed=0, resamples=0)
    with pytest.raises(BadInput, match="same cases on both sides, got 0 and 0"):
        detection_bootstrap([], seed=0)
    with pytest.raises(BadInput, match="same cases on both sides, got 4 and 5"):
        gain_bootstrap(COUNTS, OTHERS[:4], seed=0)


SMALL, LARGE, NOTHING = Overlap(1, 4), Overlap(900, 1000), Overlap(0, 0)


def test_cumulative_iou_counts_pixels_and_mean_iou_counts_cases() -> None:
    assert ciou([SMALL, LARGE]) == pytest.approx(901 / 1004)
    assert giou([SMALL, LARGE]) == pytest.approx((0.25 + 0.9) / 2)


def test_nothing_found_where_nothing_is_agrees() -> None:
    assert giou([NOTHING, SMALL]) == pytest.approx(0.625)
    assert ciou([NOTHING, SMALL]) == 0.25
    assert ciou([NOTHING]) == giou([NOTHING]) == 1
    assert giou([Overlap(0, 50)]) == 0


def test_intervals_of_masks_hold_their_number_and_close_where_all_cases_are_equal() -> None:
    generator = np.random.default_rng(0)
    unions = generator.integers(0, 1000, 80).tolist()
    cases = [Overlap(int(generator.integers(union + 1)), union) for union in unions]
    for found, (low, high) in (
        (ciou(cases), ciou_bootstrap(cases, seed=0, resamples=300)),
        (giou(cases), giou_bootstrap(cases, seed=0, resamples=300)),
    ):
        assert low < found < high
    assert ciou_bootstrap([SMALL] * 5, seed=0, resamples=20) == (0.25, 0.25)
    assert ciou_bootstrap([NOTHING, NOTHING], seed=0, resamples=20) == (1, 1)


def test_no_mask_is_no_case() -> None:
    for measure in (ciou, giou):
        with pytest.raises(BadInput, match=r"at least one case|the same cases on both sides"):
            measure([])
