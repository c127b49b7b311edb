"""Expressions judged: boxes, masks, groups and words, by laws and by hand-counted cases."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.boxes import Box, Size
from glintbox.datasets.referred import Referred
from glintbox.errors import BadInput
from glintbox.evaluate_refer import (
    EVERY,
    Group,
    ReferCase,
    ReferEvaluation,
    ReferMethod,
    evaluate_refer,
    filled,
    groups,
    judge_refer,
    report,
)
from glintbox.masks import area, decode, encode
from glintbox.metrics import Overlap
from glintbox.records import Grounding, Rle, Sample, ScoredBox, from_json, to_json
from tests.sets import IMAGE, Corners, a_set

TRUTH = Box(10, 10, 20, 20)  # 1.7 % of the picture
NEAR, FAR = (10, 10, 20, 22), (70, 30, 90, 50)


def rectangle(*corners: int, size: Size = IMAGE) -> Rle:
    return filled(Box(*corners), size)


def expression(
    id: str = "0", *, mask: Rle | None = None, ignore: Rle | None = None, truth: Box = TRUTH, kind: str = ""
) -> Referred:
    return Referred(Sample(id, Path("a.png"), IMAGE, "the cup", (truth,), mask), "cup", kind, True, ignore)


def result(id: str, box: Corners | None, mask: Rle | None = None) -> Grounding:
    boxes = (ScoredBox(Box(*box), None, None, mask),) if box else ()
    return Grounding(id, "x", "none", boxes, (), a_set(id=id))


def case(
    k: int, iou: float, *, area: float = 0.02, kind: str = "", needs: bool | None = None, **other: object
) -> ReferCase:
    told = {"missing": False, "mask": None, "category": None} | other
    return ReferCase(str(k), area, kind, needs, iou, **told)  # type: ignore[arg-type]


def method(name: str, ious: Sequence[float]) -> ReferMethod:
    return ReferMethod(name, tuple(case(k, iou) for k, iou in enumerate(ious)))


def test_a_box_is_judged_by_the_box_and_a_mask_by_the_mask() -> None:
    one = expression(mask=rectangle(10, 10, 20, 20))
    found = judge_refer(one, result("0", NEAR, rectangle(10, 10, 15, 20)))
    assert found.iou == pytest.approx(100 / 120) and found.mask == Overlap(50, 100) and not found.missing
    assert judge_refer(one, result("0", NEAR)).mask == Overlap(100, 120), "a box is its own mask, filled"
    nothing = judge_refer(one, result("0", None))
    assert (nothing.iou, nothing.missing, nothing.mask) == (0, True, Overlap(0, 100))
    assert judge_refer(expression(), result("0", NEAR)).mask is None
    assert found.area == pytest.approx(100 / 6000) and found.category is None


def test_the_category_alone_is_judged_against_the_same_box() -> None:
    boxes = [ScoredBox(Box(*corners), None, None) for corners in (NEAR, FAR)]
    assert judge_refer(expression(), result("0", FAR), boxes).category == pytest.approx(100 / 120)
    assert judge_refer(expression(), result("0", FAR), boxes[1:]).category == 0
    assert judge_refer(expression(), result("0", FAR), []).category == 0


def test_ignored_pixels_count_neither_way() -> None:
    true, ignore = rectangle(10, 10, 20, 20), rectangle(15, 0, 30, 60)
    found = judge_refer(expression(mask=true, ignore=ignore), result("0", (12, 10, 30, 30), rectangle(12, 10, 30, 30)))
    assert found.mask == Overlap(3 * 10, 50 + 3 * 10)


def test_a_result_or_mask_of_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a result of case 0, got one of 1"):
        judge_refer(expression(), result("1", NEAR))
    with pytest.raises(BadInput, match=r"two masks of one picture, got \(60, 100\) and \(100, 60\) px"):
        judge_refer(
            expression(mask=rectangle(1, 1, 9, 9)), result("0", NEAR, rectangle(1, 1, 9, 9, size=Size(60, 100)))
        )


@given(x=st.floats(0, 90), y=st.floats(0, 50), width=st.floats(0.1, 60), height=st.floats(0.1, 60))
@settings(max_examples=30, deadline=None)
def test_a_filled_box_is_the_pixels_whose_middles_lie_in_it(x: float, y: float, width: float, height: float) -> None:
    box = Box(x, y, x + width, y + height)
    mask = decode(filled(box, IMAGE))
    for row, col in ((0, 0), (30, 50), (59, 99), (min(59, int(y)), min(99, int(x)))):
        inside = box.x1 <= col + 0.5 < box.x2 and box.y1 <= row + 0.5 < box.y2
        assert mask[row, col] == inside
    whole = Box(3, 4, 60, 33)
    assert area(filled(whole, IMAGE)) == whole.area


def test_hand_counted_numbers_with_at_least_one_half_being_right() -> None:
    cases = (
        case(0, 0.5, mask=Overlap(10, 20), category=0.9),
        case(1, 0.499, mask=Overlap(0, 5), category=0.5),
        case(2, 0.9, mask=Overlap(300, 300), category=0.2),
        case(3, 0.0, mask=Overlap(0, 75), category=0.0, missing=True),
    )
    found = report(ReferMethod("x", cases))
    assert (found.n, found.missing, found.acc_at_50) == (4, 1, 0.5)
    assert found.mean_iou == pytest.approx((0.5 + 0.499 + 0.9) / 4)
    assert found.ciou == pytest.approx(310 / 400) and found.giou == pytest.approx((0.5 + 1) / 4)
    assert (found.category, found.words) == (0.5, 0.0)
    assert found.words_interval is not None and found.words_interval.low < 0 < found.words_interval.high
    assert found.acc_interval.low <= 0.5 <= found.acc_interval.high


def test_what_some_case_lacks_is_not_averaged_over_the_others() -> None:
    cases = (case(0, 1, mask=Overlap(1, 1), category=1.0), case(1, 1))
    found = report(ReferMethod("x", cases))
    assert (found.ciou, found.giou, found.category, found.words, found.words_interval) == (None,) * 5


def test_groups_are_neither_empty_nor_all() -> None:
    cases = [
        case(0, 1, area=0.0005, kind="category", needs=False),
        case(1, 1, area=0.005, kind="ordinal", needs=True),
        case(2, 1, area=0.05, kind="ordinal", needs=True),
        case(3, 1, area=0.5, kind="category", needs=None),
    ]
    found = groups(cases)
    assert found == {
        EVERY: [0, 1, 2, 3],
        Group("size", "< 0.1 %"): [0],
        Group("size", "0.1-1 %"): [1],
        Group("size", "> 5 %"): [2, 3],
        Group("kind", "category"): [0, 3],
        Group("kind", "ordinal"): [1, 2],
        Group("words", "needs more than the category"): [1, 2],
        Group("words", "the category alone does"): [0],
    }
    assert groups(cases[2:3]) == {EVERY: [0]}, "a group that is all says nothing"


def test_differences_are_paired_and_groups_add_up() -> None:
    ious = np.random.default_rng(0).random((2, 40))
    cases = [tuple(case(k, iou, area=0.5 if k % 2 else 0.005) for k, iou in enumerate(row)) for row in ious]
    found = evaluate_refer([ReferMethod("a", cases[0]), ReferMethod("b", cases[1])], about={"model": "x"})
    by = {(one.method, one.group): one for one in found.reports}
    for name in "ab":
        parts = [by[name, "0.1-1 %"], by[name, "> 5 %"]]
        assert sum(part.n for part in parts) == by[name, "all"].n == 40
        assert sum(part.n * part.acc_at_50 for part in parts) == pytest.approx(40 * by[name, "all"].acc_at_50)
    for pair in found.pairs:
        gain = by[pair.method, pair.group].acc_at_50 - by[pair.other, pair.group].acc_at_50
        assert pair.gain == pytest.approx(gain) and pair.interval.low <= gain <= pair.interval.high
    assert from_json(ReferEvaluation, to_json(found)) == found


def test_the_same_method_twice_does_not_differ() -> None:
    found = evaluate_refer([method("a", [0.2, 0.7, 0.9]), method("b", [0.2, 0.7, 0.9])], about={})
    [pair] = found.pairs
    assert (pair.gain, tuple(pair.interval)) == (0, (0, 0))


def test_methods_of_other_cases_and_no_cases_are_refused() -> None:
    with pytest.raises(BadInput, match="judged on the same cases, got 2 methods"):
        evaluate_refer([method("a", [1]), method("b", [1, 1])], about={})
    with pytest.raises(BadInput, match="at least one method"):
        evaluate_refer([], about={})
    with pytest.raises(BadInput, match="at least one case to report on for a"):
        report(method("a", []))


def test_masks_come_back_as_they_are() -> None:
    mask = np.zeros((60, 100), dtype=bool)
    mask[5:9, 7:30] = True
    one = expression(mask=encode(mask))
    assert judge_refer(one, result("0", NEAR, encode(mask))).mask == Overlap(92, 92)
