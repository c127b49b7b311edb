"""What predictions are worth: truth itself is perfect, numbers by hand, rivals measured on the same boxes."""

from pathlib import Path

import numpy as np
import pytest

from glintbox.analysis.reliability import Reliability, reliability
from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.metrics import average_precision
from glintbox.records import Sample, from_json, to_json
from glintbox.store import Store, StoreCard, StoreWriter
from tests.learnable import EACH, a_store
from tests.sets import IMAGE, SETTING, a_set

TRUTH = Box(0, 0, 10, 10)
RIGHT, HALF, WRONG = (0, 0, 10, 10), (0, 0, 10, 5), (50, 0, 60, 10)
"""IoU 1, 0.5 and 0."""


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("reliability") / "store", cases=12)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two pairs: three boxes that agree on the wrong one, and two of which one is half right."""
    folder = tmp_path_factory.mktemp("small") / "store"
    sets = [
        a_set([WRONG], [WRONG], [RIGHT], id="a", doubts=[3, 2, 1]),
        a_set([HALF], [WRONG], [], id="b", doubts=[1, 2, 1]),
    ]
    with StoreWriter(folder, StoreCard(SETTING, sets[0].sampling, "by hand", ())) as writer:
        for found in sets:
            writer.add(Sample(found.id, Path(f"{found.id}.png"), IMAGE, "cup", (TRUTH,)), found)
    return Store(folder)


def rows(store: Store) -> np.ndarray:
    return np.arange(len(store.rows.iou))


def test_truth_itself_is_perfect(learnable: Store) -> None:
    found = reliability(learnable, learnable.rows.iou, rows=rows(learnable), mean=0.5)
    assert found.ece == 0 and found.quality.mse == 0 and found.quality.r == pytest.approx(1)
    assert found.acs_learned == found.oracle >= found.consensus
    assert found.ap == found.acs_learned, "right boxes come before wrong ones: precision 1 up to the last found"
    assert (found.pairs, found.candidates, found.data) == (12, 12 * EACH, "made up")


def test_the_order_of_rows_changes_nothing(learnable: Store) -> None:
    said = np.random.default_rng(0).random(12 * EACH, dtype=np.float32)
    order = np.random.default_rng(1).permutation(rows(learnable))
    straight = reliability(learnable, said, rows=rows(learnable), mean=0.5)
    assert reliability(learnable, said[order], rows=order, mean=0.5) == straight


def test_some_pairs_alone(learnable: Store) -> None:
    some = rows(learnable)[4 * EACH : 9 * EACH]
    assert reliability(learnable, learnable.rows.iou[some], rows=some, mean=0.5).pairs == 5


def test_numbers_by_hand(small: Store) -> None:
    assert small.rows.iou.tolist() == [0, 0, 1, 0.5, 0]
    found = reliability(small, np.array([0.3, 0.2, 0.9, 0.4, 0.6], np.float32), rows=rows(small), mean=0.4)
    assert (found.acs_learned, found.consensus, found.oracle) == (0.5, 0.5, 1.0)
    assert found.mean_mae == pytest.approx((0.4 + 0.4 + 0.6 + 0.1 + 0.4) / 5)
    assert found.quality.mae == pytest.approx((0.3 + 0.2 + 0.1 + 0.1 + 0.6) / 5)
    assert found.ece == pytest.approx(found.quality.mae), "one prediction per bin"
    assert found.ap == pytest.approx(average_precision([True, False], [0.9, 0.6])) == pytest.approx(0.5)
    assert found.ap_unranked == pytest.approx(0.25), "precision 1/2 x recall 1/2"
    low, high = found.ap_interval
    assert low <= found.ap <= high


def test_rivals_by_hand(small: Store) -> None:
    found = reliability(small, small.rows.iou, rows=rows(small), mean=0.4).predictors
    assert set(found) == {"box area", "consensus", "token entropy"}
    true = small.rows.iou
    areas, agreed, certain = [100, 100, 100, 50, 100], [0.5, 0.5, 0, 0, 0], [-12, -8, -4, -4, -8]
    for name, values in (("box area", areas), ("consensus", agreed), ("token entropy", certain)):
        assert found[name].r == pytest.approx(np.corrcoef(values, true)[0, 1]), name
    assert found["token entropy"].rank == pytest.approx((np.sqrt(3) / 2 + 1) / 2)


def test_a_rival_that_is_not_known_everywhere_is_left_out(tmp_path: Path) -> None:
    found = a_set([RIGHT], [WRONG], id="a")
    with StoreWriter(tmp_path, StoreCard(SETTING, found.sampling, "by hand", ())) as writer:
        writer.add(Sample("a", Path("a.png"), IMAGE, "cup", (TRUTH,)), found)
    store = Store(tmp_path)
    assert set(reliability(store, store.rows.iou, rows=rows(store), mean=0.5).predictors) == {"box area", "consensus"}


def test_it_survives_json(small: Store) -> None:
    found = reliability(small, small.rows.iou, rows=rows(small), mean=0.4)
    assert from_json(Reliability, to_json(found)) == found


def test_predictions_that_do_not_fit_are_refused(small: Store) -> None:
    with pytest.raises(BadInput, match="a prediction for each, got 4 for 5"):
        reliability(small, small.rows.iou[:4], rows=rows(small), mean=0.4)
    with pytest.raises(BadInput, match="got 0 for 0"):
        reliability(small, small.rows.iou[:0], rows=rows(small)[:0], mean=0.4)
    with pytest.raises(BadInput, match=r"predictions in \[0, 1\]"):
        reliability(small, small.rows.iou + 1, rows=rows(small), mean=0.4)
