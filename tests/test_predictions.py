"""Errors and correlations of predicted IoUs: laws first, then hand-computed answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.errors import BadInput
from glintbox.predictions import Bin, bins, expected_error, pearson, quality, rank_within

CASE = np.array([0, 0, 0, 1, 1, 1])
TRUE = np.array([0.0, 0.5, 1.0, 0.2, 0.2, 0.8])


def draw(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.random(count), random.random(count) * (random.random(count) > 0.3), random.integers(0, 8, count)


@given(seed=st.integers(0, 999))
def test_the_order_of_candidates_changes_nothing(seed: int) -> None:
    predicted, true, case = draw(seed)
    order = np.random.default_rng(seed + 1).permutation(len(true))
    one, other = quality(predicted, true, case), quality(predicted[order], true[order], case[order])
    assert np.allclose(np.array(one, dtype=float), np.array(other, dtype=float), equal_nan=True)


@given(seed=st.integers(0, 999))
def test_correlations_do_not_depend_on_scale_and_ranks_only_on_order(seed: int) -> None:
    predicted, true, case = draw(seed)
    before, scaled, bent = (quality(p, true, case) for p in (predicted, 0.5 * predicted + 0.1, predicted**3))
    assert scaled.r == pytest.approx(before.r) and scaled.r_positive == pytest.approx(before.r_positive)
    assert scaled.rank == pytest.approx(before.rank) and bent.rank == pytest.approx(before.rank)


@given(seed=st.integers(0, 999), count=st.integers(1, 20))
def test_every_prediction_is_in_one_bin_and_the_error_is_at_most_the_mean_one(seed: int, count: int) -> None:
    predicted, true, _ = draw(seed)
    found = bins(predicted, true, count=count)
    assert sum(one.n for one in found) == len(true) and len(found) == count
    for one in found:
        assert one.predicted is None or one.low <= one.predicted < one.high
    assert expected_error(found) <= np.abs(predicted - true).mean() + 1e-12


def test_truth_itself_is_perfect() -> None:
    found = quality(TRUE, TRUE, CASE)
    assert found == pytest.approx((0, 0, 1, 1, 1))
    assert expected_error(bins(TRUE, TRUE)) == 0


def test_numbers_by_hand() -> None:
    predicted = np.array([0.5, 0.5, 0.5, 0.1, 0.3, 0.5])
    found = quality(predicted, TRUE, CASE)
    assert found.mse == pytest.approx((0.25 + 0 + 0.25 + 0.01 + 0.01 + 0.09) / 6)
    assert found.mae == pytest.approx((0.5 + 0 + 0.5 + 0.1 + 0.1 + 0.3) / 6)
    # within case 0 all predictions are equal: 0; within case 1 ranks 1 2 3 against 1.5 1.5 3: 1.5 / sqrt(2 x 1.5)
    assert found.rank == pytest.approx((0 + 1.5 / np.sqrt(3)) / 2)
    assert found.r == pytest.approx(np.corrcoef(predicted, TRUE)[0, 1])
    assert found.r_positive == pytest.approx(np.corrcoef(predicted[1:], TRUE[1:])[0, 1])


def test_bins_by_hand() -> None:
    found = bins(np.array([0.1, 0.2, 0.5, 1.0]), np.array([0.0, 0.2, 0.9, 0.6]), count=2)
    assert found == (
        Bin(0, 0.5, 2, pytest.approx(0.15), pytest.approx(0.1)),  # type: ignore[arg-type]
        Bin(0.5, 1, 2, pytest.approx(0.75), pytest.approx(0.75)),  # type: ignore[arg-type]
    )
    assert expected_error(found) == pytest.approx(0.025)
    assert bins(np.array([0.9]), np.array([0.5]), count=2)[0] == Bin(0, 0.5, 0, None, None)


def test_what_has_no_correlation_has_none() -> None:
    flat = np.full(6, 0.5)
    assert quality(flat, TRUE, CASE)[2:] == (None, None, 0.0)
    assert quality(TRUE, flat, CASE)[2:] == (None, None, None)
    assert pearson(np.array([1.0]), np.array([0.5])) is None
    assert rank_within(TRUE, TRUE, np.arange(6)) is None, "nothing to order in cases of one"


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(BadInput, match="got 6, 1 of them not finite"):
        quality(np.array([0, 1, np.nan, 0, 0, 0]), TRUE, CASE)
    with pytest.raises(BadInput, match="got 0, 0 of them"):
        quality(TRUE[:0], TRUE[:0], CASE[:0])
    with pytest.raises(BadInput, match=r"predictions in \[0, 1\], got 10 and 0 to 1.5"):
        bins(np.array([0.0, 1.5]), np.array([0.0, 1.0]))
    with pytest.raises(BadInput, match="got 0 and"):
        bins(TRUE, TRUE, count=0)
