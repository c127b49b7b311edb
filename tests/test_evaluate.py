"""Reports: a perfect chooser closes the gap, hand-counted numbers, nothing of other cases."""

from pathlib import Path

import pytest

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.evaluate import by_size, evaluate, judged
from glintbox.records import Grounding, Sample, ScoredBox
from tests.sets import IMAGE, Corners, a_set

TRUTH = Box(10, 10, 20, 20)
NEAR, FAR = (10, 10, 20, 22), (70, 30, 90, 50)


def case(id: str, truth: Box = TRUTH) -> Sample:
    return Sample(id, Path("a.png"), IMAGE, "cup", (truth,))


def result(id: str, chosen: Corners | None, *, greedy: Corners = FAR, method: str = "x") -> Grounding:
    found = a_set([NEAR], [FAR], greedy=[greedy], id=id)
    boxes = (ScoredBox(Box(*chosen), 0.5, 1),) if chosen else ()
    return Grounding(id, method, "rank", boxes, (Box(*greedy),), found)


def test_choosing_what_the_oracle_would_closes_the_gap_and_greedy_closes_nothing() -> None:
    cases = [case(str(k)) for k in range(4)]
    best = evaluate((c, result(c.id, NEAR)) for c in cases)
    assert (best.acc_at_50, best.greedy, best.oracle, best.gap_closed) == (1, 0, 1, 1)
    assert best.gain == 1 and best.gain_interval == (1, 1)
    same = evaluate((c, result(c.id, FAR)) for c in cases)
    assert same.gap_closed == 0 and same.gain == 0


def test_hand_counted_cases() -> None:
    pairs = [(case("a"), result("a", NEAR)), (case("b"), result("b", FAR)), (case("c"), result("c", None))]
    report = evaluate(pairs)
    assert (report.n, report.missing) == (3, 1)
    assert report.acc_at_50 == pytest.approx(1 / 3)
    assert report.mean_iou == pytest.approx((100 / 120) / 3)
    low, high = report.acc_interval
    assert 0 <= low <= report.acc_at_50 <= high <= 1
    assert report.gap_closed == pytest.approx(1 / 3)


def test_sizes_split_the_cases_and_add_up() -> None:
    small, large = case("a", Box(0, 0, 7, 7)), case("b", Box(0, 0, 60, 40))
    assert small.size == Size(100, 60)
    sized = by_size(evaluate([(small, result("a", NEAR)), (large, result("b", NEAR))]))
    assert {name: report.n for name, report in sized.items()} == {"0.1-1 %": 1, "> 5 %": 1}


def test_greedy_that_finds_all_leaves_no_gap() -> None:
    report = evaluate([(case("a"), result("a", NEAR, greedy=NEAR))])
    assert report.gap_closed is None


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a result and a true box of case a, got a result of b"):
        judged(case("a"), result("b", NEAR))
    with pytest.raises(BadInput, match="one method, got none"):
        evaluate([])
    with pytest.raises(BadInput, match="one method, got x, y"):
        evaluate([(case("a"), result("a", NEAR)), (case("b"), result("b", NEAR, method="y"))])
