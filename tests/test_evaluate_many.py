"""Several objects: hand-counted boxes, the baselines of Table 6, and every method beside greedy after suppression."""

from dataclasses import replace
from pathlib import Path

import pytest

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, ORACLE
from glintbox.evaluate_many import (
    BASE,
    SUPPRESSION,
    JudgedMany,
    ManyCase,
    ManyEvaluation,
    evaluate_many,
    greedy_boxes,
    judge_many,
    judged_many,
    shown_sizes,
)
from glintbox.metrics import Matched
from glintbox.records import CandidateSet, Sample, from_json, to_json
from glintbox.selectors import selector
from tests.sets import IMAGE, Corners, a_set

LEFT, LEFT2, RIGHT, LOW = (0, 0, 10, 10), (1, 0, 10, 10), (50, 0, 60, 12), (20, 30, 32, 40)  # px of 100 x 60
STRAY = (70, 40, 90, 50)
CONSENSUS = {"consensus": selector("consensus", multiple=True)}


def case(id: str = "a", *truth: Corners) -> Sample:
    return Sample(id, Path("a.png"), IMAGE, "cup", tuple(Box(*corners) for corners in truth or (LEFT, RIGHT, LOW)))


def answers(id: str = "a") -> CandidateSet:
    """Greedy sees the left cup twice; the samples agree on the left and the right one and stray once."""
    return a_set([LEFT, RIGHT], [LEFT2, RIGHT, STRAY], [RIGHT], greedy=[LEFT, LEFT2], id=id)


def counts(judged: list[JudgedMany]) -> dict[str, Matched]:
    return {method.method: method.cases[0].matched for method in judged}


def test_hand_counted_boxes() -> None:
    found = counts(judge_many([(case(), answers())], CONSENSUS))
    assert found[GREEDY] == (2, 3, 1), "the second box has no true one left"
    assert found[BASE] == (1, 3, 1) and found["greedy + NMS 0.8"] == (1, 3, 1), "they overlap by 0.9"
    assert found["consensus"] == (2, 3, 2), "one box per cluster; the stray one makes none"
    assert found[ORACLE] == (2, 3, 2)


def test_suppression_keeps_the_earlier_box_and_is_as_strict_as_it_says() -> None:
    third = (2, 0, 12, 10)  # 2/3 with LEFT
    found = a_set(greedy=[LEFT, third, LEFT2, RIGHT])
    kept = {name: [tuple(box) for box in greedy_boxes(found, threshold)] for name, threshold in SUPPRESSION.items()}
    assert kept == {
        GREEDY: [LEFT, third, LEFT2, RIGHT],
        "greedy + NMS 0.5": [LEFT, RIGHT],
        "greedy + NMS 0.8": [LEFT, third, RIGHT],
    }


def test_the_oracle_is_never_below_a_selector() -> None:
    names = ("consensus", "smallest", "random", "first-valid")
    found = counts(judge_many([(case(), answers())], {name: selector(name, multiple=True) for name in names}))
    assert all(found[name].pairs <= found[ORACLE].pairs == found[ORACLE].found for name in names)


def test_a_perfect_answer_is_perfect_in_everything() -> None:
    whole = a_set(*[[LEFT, RIGHT, LOW]] * 2, greedy=[LOW, LEFT, RIGHT])
    for report in evaluate_many(judge_many([(case(), whole)], CONSENSUS), about={}).reports:
        assert (report.precision, report.recall, report.f1, report.f1_interval) == (1, 1, 1, (1, 1))
        assert (report.gain, report.gain_interval, report.relative) == (0, (0, 0), 0)


def test_counts_are_added_up_over_cases_before_they_are_divided() -> None:
    empty = a_set([], [], id="b", greedy=[])
    judged = judge_many([(case("a"), answers("a")), (case("b", LEFT), empty)], CONSENSUS)
    of = {report.method: report for report in evaluate_many(judged, about={}).reports if report.size == "all"}
    assert (of["consensus"].precision, of["consensus"].recall) == (1, 2 / 4) and of["consensus"].f1 == pytest.approx(
        2 / 3
    )
    assert (of[GREEDY].precision, of[GREEDY].recall) == (1 / 2, 1 / 4) and of[GREEDY].f1 == pytest.approx(1 / 3)
    assert (of["consensus"].n, of["consensus"].boxes, of["consensus"].truth, of["consensus"].missing) == (2, 2, 4, 1)
    assert of["consensus"].gain == pytest.approx(2 / 3 - 2 / 5) and of["consensus"].relative == pytest.approx(2 / 3)
    assert of["consensus"].relative_interval is None, "some draw holds the empty case alone"


def test_sizes_are_told_apart_by_the_largest_object() -> None:
    large = case("b", LEFT, (0, 20, 60, 60))
    judged = judge_many([(case("a"), answers("a")), (large, answers("b"))], CONSENSUS)
    found = evaluate_many(judged, about={})
    assert {report.size: report.n for report in found.reports} == {"all": 2, "1-5 %": 1, "> 5 %": 1}
    assert shown_sizes(found) == ["all", "1-5 %", "> 5 %"]
    assert shown_sizes(evaluate_many(judge_many([(large, answers("b"))], {}), about={})) == ["> 5 %"]


def test_temperatures_are_compared_with_their_own_base_and_all_goes_to_json_and_back() -> None:
    cool = judge_many([(case(), answers())], CONSENSUS)
    hot = [replace(method, temperature=1.0) for method in cool]
    found = evaluate_many([*cool, *hot], about={"model": "m"})
    assert {(r.temperature, r.gain) for r in found.reports if r.method == BASE} == {(0.7, 0), (1.0, 0)}
    assert from_json(ManyEvaluation, to_json(found)) == found


def test_unreadable_answers_are_a_share() -> None:
    found = replace(answers(), readings=("boxes", "unreadable", "boxes", "none"))
    assert judged_many(case(), found, ()).unreadable == 1 / 4


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(BadInput, match="expected answers and a true box of case a, got answers to b"):
        judged_many(case("a"), answers("b"), ())
    with pytest.raises(BadInput, match="answered at one temperature, got no case"):
        judge_many([], CONSENSUS)
    hot = replace(answers("b"), sampling=replace(answers().sampling, temperature=1.0))
    with pytest.raises(BadInput, match=r"answered at one temperature, got \[0\.7, 1\.0\]"):
        judge_many([(case("a"), answers("a")), (case("b"), hot)], {})
    one = JudgedMany("x", 0.7, (ManyCase("a", 0.01, Matched(1, 1, 1), 0.0),))
    with pytest.raises(BadInput, match=r"expected 'greedy \+ NMS 0\.5' at every temperature .* none at \[0\.7\]"):
        evaluate_many([one], about={})
    for methods in ([], [replace(one, cases=())], [one, replace(one, cases=(*one.cases, *one.cases))]):
        with pytest.raises(BadInput, match=f"all judged on the same cases, got {len(methods)} methods"):
            evaluate_many(methods, about={})
