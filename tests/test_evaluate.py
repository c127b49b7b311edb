"""Reports: a perfect chooser closes the gap, hand-counted numbers, nothing of other cases."""

from dataclasses import replace
from pathlib import Path

import pytest

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.evaluate import (
    Evaluation,
    Judged,
    Report,
    by_size,
    evaluate,
    judge,
    judged,
    outcomes,
    paired,
    report,
)
from glintbox.records import Grounding, Sample, ScoredBox, from_json, to_json
from tests.sets import IMAGE, Corners, a_set

TRUTH = Box(10, 10, 20, 20)
NEAR, FAR = (10, 10, 20, 22), (70, 30, 90, 50)


def case(id: str, truth: Box = TRUTH) -> Sample:
    return Sample(id, Path("a.png"), IMAGE, "cup", (truth,))


def result(
    id: str, chosen: Corners | None, *, greedy: Corners = FAR, method: str = "x", score: float | None = 0.5
) -> Grounding:
    found = a_set([NEAR], [FAR], greedy=[greedy], id=id)
    boxes = (ScoredBox(Box(*chosen), score, 1),) if chosen else ()
    return Grounding(id, method, "rank", boxes, (Box(*greedy),), found)


def method(*chosen: Corners | None, name: str = "x", greedy: Corners = FAR, score: float | None = 0.5) -> Judged:
    """Cases "0", "1" … of one method."""
    return judge(
        (case(str(k)), result(str(k), box, method=name, greedy=greedy, score=score)) for k, box in enumerate(chosen)
    )


def test_choosing_what_the_oracle_would_closes_the_gap_and_greedy_closes_nothing() -> None:
    best = report(method(*[NEAR] * 4))
    assert (best.acc_at_50, best.greedy, best.oracle, best.gap_closed, best.gap_interval) == (1, 0, 1, 1, (1, 1))
    assert best.gain == 1 and best.gain_interval == (1, 1) and best.oracle_interval == (1, 1)
    same = report(method(*[FAR] * 4))
    assert same.gap_closed == 0 and same.gain == 0


def test_hand_counted_cases() -> None:
    found = report(method(NEAR, FAR, None))
    assert (found.n, found.missing, found.temperature) == (3, 1, 0.7)
    assert found.acc_at_50 == pytest.approx(1 / 3)
    assert found.mean_iou == pytest.approx((100 / 120) / 3)
    low, high = found.acc_interval
    assert 0 <= low <= found.acc_at_50 <= high <= 1
    assert found.gap_closed == pytest.approx(1 / 3)
    assert found.ap_at_50 == found.ap_unranked == pytest.approx(1 / 2 * 1 / 3), "equal scores rank nothing"


def test_boxes_and_score_of_a_case_are_kept() -> None:
    one = judged(case("a"), result("a", NEAR))
    assert (one.chosen_box, one.greedy_box, one.score) == (Box(*NEAR), Box(*FAR), 0.5)
    none = judged(case("a"), result("a", None))
    assert (none.chosen_box, none.score, none.missing) == (None, None, True)


def test_average_precision_is_only_there_where_the_method_gives_a_score() -> None:
    assert report(method(NEAR, FAR, score=None)).ap_at_50 is None
    scored = [result("0", NEAR, score=0.9), result("1", FAR, score=0.2)]
    found = report(judge((case(g.id), g) for g in scored))
    assert found.ap_at_50 == pytest.approx(1 / 2) and found.ap_unranked == pytest.approx(1 / 4)
    assert found.ap_interval is not None and found.ap_interval.low <= 1 / 2 <= found.ap_interval.high


def test_sizes_split_the_cases_and_add_up() -> None:
    tiny, small, large = (case(k, Box(0, 0, *ends)) for k, ends in (("a", (2, 2)), ("b", (7, 7)), ("c", (60, 40))))
    assert small.size == Size(100, 60)
    sized = by_size(judge([(each, result(each.id, NEAR)) for each in (tiny, small, large)]))
    assert {name: len(found.cases) for name, found in sized.items()} == {
        "all": 3,
        "< 0.1 %": 1,
        "0.1-1 %": 1,
        "> 5 %": 1,
    }


def test_greedy_that_finds_all_leaves_no_gap() -> None:
    found = report(method(NEAR, greedy=NEAR))
    assert found.gap_closed is None and found.gap_interval is None


def test_two_methods_are_compared_case_by_case_whichever_comes_first() -> None:
    a, b = method(NEAR, NEAR, FAR, FAR, name="a"), method(NEAR, FAR, FAR, None, name="b")
    one, other = paired(a, b), paired(b, a)
    assert (one.method, one.other, one.gain) == ("a", "b", 0.25)
    assert other.gain == -one.gain and other.interval == (-one.interval.high, -one.interval.low)


def test_an_evaluation_holds_every_method_and_pair_of_a_temperature_and_goes_to_json_and_back() -> None:
    hot = [replace(method(NEAR, FAR, name=name), temperature=1.0) for name in "ab"]
    found = evaluate([method(NEAR, FAR, name="a"), method(FAR, FAR, name="b"), *hot], about={"model": "m"})
    assert [(r.method, r.temperature) for r in found.reports if r.size == "all"] == [
        ("a", 0.7), ("b", 0.7), ("a", 1.0), ("b", 1.0),
    ]  # fmt: skip
    assert [(p.temperature, p.gain) for p in found.pairs if p.size == "all"] == [(0.7, 0.5), (1.0, 0.0)]
    assert {r.size for r in found.reports} == {"all", "1-5 %"}
    assert from_json(Evaluation, to_json(found)) == found
    assert isinstance(found.reports[0], Report)


def test_outcomes_are_the_cases_where_the_choice_mattered_in_order() -> None:
    cases = [("0", NEAR, FAR), ("1", FAR, NEAR), ("2", FAR, FAR), ("3", NEAR, NEAR), ("4", NEAR, FAR)]
    found = outcomes(judge((case(id), result(id, chosen, greedy=greedy)) for id, chosen, greedy in cases))
    assert [[one.id for one in group] for group in found.values()] == [["0", "4"], ["1"], ["2"]]


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a result and a true box of case a, got a result of b"):
        judged(case("a"), result("b", NEAR))
    with pytest.raises(BadInput, match="one method at one temperature, got none"):
        judge([])
    with pytest.raises(BadInput, match=r"got x at T=0\.7, y at T=0\.7"):
        judge([(case("a"), result("a", NEAR)), (case("b"), result("b", NEAR, method="y"))])
    with pytest.raises(BadInput, match="all judged on the same cases, got 2 methods"):
        evaluate([method(NEAR), method(NEAR, NEAR)], about={})
    with pytest.raises(BadInput, match="at least one method"):
        evaluate([], about={})
    with pytest.raises(BadInput, match="at least one case to report on for x"):
        report(Judged("x", 0.7, ()))
