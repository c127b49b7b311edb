"""Rules: which pairs of picture and category are cases; the known forty; and pictures that are not there."""

import json
from pathlib import Path

import pytest

from glintbox.boxes import Box, Size
from glintbox.datasets.cases import SIZES, SMALL, Crowd, Rule, cases, fitting, require_pictures, taken
from glintbox.datasets.coco import Marked, read_coco
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample
from tests.datasets.test_coco import FACTS

SIZE = Size(200, 100)
CUP, CROWD = Marked(Box(0, 0, 20, 10), 90.0), Marked(Box(30, 0, 50, 10), 90.0, crowd=True)
CROWDS: tuple[Crowd, ...] = ("ignored", "counted", "refused")
ODD = Marked(Box(60, 0, 80, 10), 200.0, odd=True)


def of(rule: Rule, *marked: Marked) -> int:
    return len(taken(marked, rule, size=SIZE, share=SMALL))


def test_the_forty_known_small_single_objects_are_found() -> None:
    known = json.loads((FACTS.parent / "single_small.json").read_bytes())
    found = {sample.id: sample for sample in cases(read_coco(FACTS), Path("none"), Rule(), size="small")}
    assert len(found) == 40 == len(known)
    for id, category, corners in known:
        assert found[id].query == category and len(found[id].truth) == 1
        assert list(found[id].truth[0]) == pytest.approx(corners, abs=0.01)
        assert found[id].size.width >= 400 and found[id].image.parent == Path("none")


def test_the_order_is_by_image_then_category() -> None:
    pairs = [pair for pair, _ in fitting(read_coco(FACTS), Rule("any"))]
    assert pairs == sorted(pairs) and len(pairs) == len(set(pairs)) > 100


@pytest.mark.parametrize("size", SIZES)
def test_exactly_one_and_two_or_more_make_one_or_more_where_no_size_is_asked(size: str) -> None:
    one, many, every = ({p for p, _ in fitting(read_coco(FACTS), Rule(n), size=size)} for n in ("one", "many", "any"))
    assert not one & many and one | many == every


def test_bounds_of_the_area_are_included_and_it_is_the_boxs() -> None:
    for box, inside, between in (((0, 0, 10, 2), 1, 0), ((0, 0, 10, 20), 1, 0), ((0, 0, 9, 2), 0, 0)):
        one = Marked(Box(*box), mask=100.0)
        assert (of(Rule(), one), of(Rule(ends=False), one)) == (inside, between), box
        assert of(Rule(area="mask"), one) == 1, "100 of 20,000 px²"
    assert of(Rule(), Marked(Box(0, 0, 10, 21))) == 0


def test_every_object_of_a_case_must_fit() -> None:
    large = Marked(Box(0, 0, 100, 100))
    assert of(Rule("many"), CUP, CUP) == 2 and of(Rule("many"), CUP, large) == 0 == of(Rule("many"), CUP)
    assert of(Rule("first"), CUP, large) == 1 and of(Rule("first"), large, CUP) == 0
    assert of(Rule("any"), CUP) == 1 and of(Rule("one"), CUP, CUP) == 0


def test_a_crowd_is_no_object_an_object_or_a_reason_to_leave_the_pair_out() -> None:
    counts = {crowd: (of(Rule(crowd=crowd), CUP, CROWD), of(Rule(crowd=crowd), CROWD)) for crowd in CROWDS}
    assert counts == {"ignored": (1, 0), "counted": (0, 1), "refused": (0, 0)}


def test_depicted_objects_count_or_make_the_pair_unfit() -> None:
    assert of(Rule(), ODD) == 1 == of(Rule(), CUP) and of(Rule(), CUP, ODD) == 0
    assert of(Rule(odd="refused"), ODD) == 0 == of(Rule("any", odd="refused"), CUP, ODD)


def test_masks_that_are_not_there_are_not_made_up() -> None:
    with pytest.raises(BadInput, match=r"area of every mask, got annotations without; use Rule\(area='box'\)"):
        of(Rule(area="mask"), Marked(Box(0, 0, 10, 10)))


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"size 'smal'. Did you mean 'small'"):
        list(fitting(read_coco(FACTS), Rule(), size="smal"))


def test_missing_pictures_are_named_and_counted_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    files = {"1": "a.jpg", "2": "b.jpg", "3": "b.jpg"}
    samples = [Sample(id, tmp_path / file, SIZE, "cup", (CUP.box,)) for id, file in files.items()]
    with pytest.raises(BadInput, match=r"pictures of 3 cases, found no file for 2 of them: .*b\.jpg; .*--skip-missing"):
        require_pictures(samples, skip=False)
    assert require_pictures(samples, skip=True) == (samples[:1], 2)
    with pytest.raises(BadInput, match="found no file for 2 of them"):
        require_pictures(samples[1:], skip=True)
    assert require_pictures(samples[:1], skip=False) == (samples[:1], 0)
