"""Bounds on mutual information: zero for the mean, growing as errors fall, known where the truth is known."""

import math

import numpy as np
import pytest

from glintbox.analysis.information import Fit, gaussian_bound, information, layers_tell, random_layers
from glintbox.errors import BadInput
from glintbox.metrics import Interval

COUNT = 4000


def drawn(noise: float, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True values and predictions that lack `noise` of them: jointly Gaussian around 0.5."""
    generator = np.random.default_rng(seed)
    predicted = 0.5 + 0.05 * generator.standard_normal(COUNT)
    return predicted, predicted + noise * generator.standard_normal(COUNT)


def own(count: int = COUNT) -> np.ndarray:
    return np.arange(count)


def test_always_saying_the_mean_tells_nothing_and_the_bound_grows_as_the_error_falls() -> None:
    _, true = drawn(0.1)
    assert gaussian_bound(true.var(), float(np.square(true - true.mean()).mean())) == 0
    bounds = [gaussian_bound(0.04, mse) for mse in (0.08, 0.04, 0.03, 0.01, 0.001)]
    assert bounds[:2] == [0, 0] and bounds == sorted(bounds) and bounds[3] == pytest.approx(math.log(2))
    assert gaussian_bound(0.04, 0) == math.inf
    for variance, mse in ((0.0, 0.1), (0.1, -0.1), (math.nan, 0.1)):
        with pytest.raises(BadInput, match="true IoUs that differ and an error of at least 0"):
            gaussian_bound(variance, mse)


def test_of_gaussian_numbers_the_bound_is_the_mutual_information() -> None:
    """I = -1/2 log(1 - r^2); what bins tell of it is less, never more."""
    predicted, true = drawn(0.05)
    found = information(predicted, true, own())
    exact = -math.log(1 - 0.5) / 2
    assert found.gaussian == pytest.approx(exact, abs=0.03)
    assert found.gaussian_interval.low < exact < found.gaussian_interval.high
    assert 0.5 * exact < found.binned < exact + 0.02 and found.binned < found.known


def test_predictions_that_have_nothing_to_do_with_the_truth_tell_nothing() -> None:
    _, true = drawn(0.1)
    other = np.random.default_rng(9).random(COUNT)
    found = information(other, true, own())
    assert found.gaussian == 0 and found.binned < 0.01
    constant = information(np.full(COUNT, 0.5), true, own())
    assert constant.binned == 0 and constant.gaussian < 0.01


def test_what_is_told_of_a_coin_is_what_a_coin_holds() -> None:
    true = np.tile([0.0, 1.0], 500)
    found = information(0.2 + 0.6 * true, true, own(1000))
    assert found.binned == pytest.approx(math.log(2), abs=0.01) and found.known == pytest.approx(math.log(2))


def test_candidates_of_one_picture_count_as_one() -> None:
    predicted, true = drawn(0.05)
    alone = information(predicted, true, own()).gaussian_interval
    many = information(predicted.repeat(4), true.repeat(4), own().repeat(4)).gaussian_interval
    assert many.high - many.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_layers_are_compared_over_the_same_pictures() -> None:
    predicted, true = drawn(0.05)
    generator = np.random.default_rng(1)
    noisier = predicted + 0.02 * generator.standard_normal(COUNT)
    fits = {
        "critical": Fit((3, 4), noisier),
        "random": Fit((0, 7), generator.random(COUNT)),
        "all": Fit(tuple(range(8)), predicted),
    }
    critical, random, whole = layers_tell(fits, true, case=own() // 4, image=own() // 8)
    assert [one.name for one in (critical, random, whole)] == list(fits) and critical.layers == (3, 4)
    assert (whole.share, whole.share_interval) == (1, Interval(1, 1)) and random.share == 0
    assert critical.share is not None and critical.share_interval is not None
    assert critical.share_interval.low < critical.share < critical.share_interval.high < 1
    assert critical.share == critical.information.gaussian / whole.information.gaussian
    assert whole.quality.mse < critical.quality.mse < random.quality.mse
    wide = critical.information.gaussian_interval
    relative = (wide.high - wide.low) / critical.information.gaussian
    assert critical.share_interval.high - critical.share_interval.low < relative, "pairs are tighter"


def test_without_all_layers_there_is_nothing_to_compare_with() -> None:
    predicted, true = drawn(0.05)
    with pytest.raises(BadInput, match=r"4000 candidates, also of the regressor 'all', got \{'critical': 4000\}"):
        layers_tell({"critical": Fit((1,), predicted)}, true, case=own(), image=own())
    with pytest.raises(BadInput, match=r"got \{'all': 9\}"):
        layers_tell({"all": Fit((1,), predicted[:9])}, true, case=own(), image=own())
    useless = layers_tell({"all": Fit((1,), predicted * 0)}, true, case=own(), image=own())
    perfect = layers_tell({"all": Fit((1,), true)}, true, case=own(), image=own())
    for one in (*useless, *perfect):
        assert one.share is None and one.share_interval is None


def test_random_layers_are_other_ones_of_the_same_number() -> None:
    drawn = [random_layers(range(28), 8, seed=seed, avoid=range(14, 22)) for seed in range(9)]
    assert len(set(drawn)) > 5 and drawn[0] == random_layers(range(28), 8, seed=0, avoid=range(14, 22))
    for layers in drawn:
        assert len(set(layers)) == 8 and list(layers) == sorted(layers) and not set(layers) & set(range(14, 22))
    with pytest.raises(BadInput, match="1 <= count <= 20, the number of layers to draw from, got 21"):
        random_layers(range(28), 21, seed=0, avoid=range(14, 22))
