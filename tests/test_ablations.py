"""Heads are chosen on some cases and judged on others; every way is what `localize` would do with it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glintbox.ablations import DEFAULT, WHAT, Way, judge, outcomes, ways
from glintbox.assembly import Assembly, assemble
from glintbox.boxes import iou
from glintbox.errors import BadInput, UnknownName
from glintbox.finding import Table, alone, table
from glintbox.records import Head, Search
from glintbox.text_stats import TextCase
from tests.text_cases import GOOD, HEADS, STRAY, WIDE, a_case, kept

SEARCH = Search(samples=8, draws=3, best=2, k=1)
SHARP = Assembly(sigma=0)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return table(kept(tmp_path_factory.mktemp("found") / "kept", range(12)))


CASES = [a_case(number) for number in range(20, 26)]


def judged(tried: list[Way], cases: list[TextCase] = CASES) -> list[list[float | None]]:
    return [list(ious) for ious in judge(tried, cases, HEADS, tick=lambda: None).ious]


def test_a_way_gives_the_boxes_that_assembling_its_maps_gives() -> None:
    blurred = Way("blurred", (GOOD, STRAY), SEARCH)
    for case, value in zip(CASES, judged([blurred])[0], strict=True):
        assert case.maps is not None
        region = assemble(case.maps[[HEADS.index(GOOD), HEADS.index(STRAY)]], case.grid)
        assert region is not None and value == pytest.approx(iou(region.box, case.sample.truth[0]))
    right, wrong, nothing = judged(
        [Way("", (heads,), SEARCH, SHARP) for heads in (GOOD, STRAY)] + [Way("", (), SEARCH)]
    )
    assert right == pytest.approx([1] * 6) and max(value or 0 for value in wrong) < 0.5 and nothing == [None] * 6


def test_greedy_takes_the_heads_of_each_case_alone(found: Table) -> None:
    both = Way("", None, replace(SEARCH, each=True, tau=0.1), SHARP)
    assert judged([both])[0] == pytest.approx([1] * 6)
    sums = replace(both, search=replace(both.search, criteria="sum"))
    assert judged([sums]) == judged([Way("", (WIDE,), SEARCH, SHARP)])
    assert judged([replace(both, search=replace(both.search, tau=1.0))]) == [[None] * 6], "no head looks at the picture"


@pytest.mark.parametrize("what", WHAT)
def test_ways_have_names_of_their_own_and_a_default_among_them(what: str, found: Table) -> None:
    tried = ways(what, found, SEARCH)
    names = [way.name for way in tried]
    assert len(set(names)) == len(names) > 2 and DEFAULT.get(what, names[0]) in names
    outcome = outcomes(what, judge(tried, CASES, HEADS, tick=lambda: None))
    assert {one.size for one in outcome} == {"any", "large"} and {one.n for one in outcome} == {6}
    own = next(one for one in outcome if one.name == DEFAULT.get(what, names[0]))
    assert own.gain == 0 and tuple(own.gain_interval) == (0, 0)


def test_what_is_varied_is_varied_and_nothing_else(found: Table) -> None:
    assert [way.heads for way in ways("k", found, SEARCH)][:2] == [(GOOD,), (GOOD, STRAY)]
    assert [way.heads for way in ways("k", found, SEARCH)][2:] == [()] * 3, "no more than two ever count"
    assert [way.assembly.sigma for way in ways("sigma", found, SEARCH)] == [0, 0.4, 0.8, 1, 1.4, 1.8]
    assert [way.assembly.kernel for way in ways("kernel", found, SEARCH)] == [1, 3, 5, 7, 9, 11]
    assert [way.assembly.largest for way in ways("part", found, SEARCH)] == ["hull", "cells", "all"]
    assert {way.heads for what in ("sigma", "kernel", "part") for way in ways(what, found, SEARCH)} == {(GOOD,)}
    by_tau = {way.name: way.heads for way in ways("tau", found, replace(SEARCH, best=1))}
    assert by_tau["0.4"] == (GOOD,) and by_tau["0.6"] == (WIDE,) and by_tau["chord"] == (GOOD,)
    by_criteria = {way.name: way.heads for way in ways("criteria", found, SEARCH)}
    assert by_criteria["attention sum, greedy"] is None and by_criteria["attention sum, fixed"] == (WIDE,)
    assert by_criteria["spatial entropy, fixed"] == by_criteria["both, fixed"] == (GOOD,)
    assert by_criteria["IoU with the truth, fixed"] == (GOOD,)
    unmasked = found._replace(iou=torch.full_like(found.iou, torch.nan))
    assert "IoU with the truth, fixed" not in {way.name for way in ways("criteria", unmasked, SEARCH)}


def test_accuracy_by_size_by_hand() -> None:
    tried = ways("sigma", table_of_one(), replace(SEARCH, samples=1, draws=1, k=1))
    found = outcomes("sigma", judge(tried, CASES, HEADS, tick=lambda: None))
    sharp = next(one for one in found if (one.name, one.size) == ("0", "any"))
    assert (sharp.what, sharp.heads, sharp.size, sharp.missing) == ("sigma", str(GOOD), "any", 0)
    assert sharp.acc_at_50 == 1 and tuple(sharp.acc_interval) == (1, 1) and sharp.mean_iou == pytest.approx(1)


def table_of_one() -> Table:
    return alone(a_case(0).numbers, HEADS)


def test_what_cannot_be_judged_is_refused(found: Table) -> None:
    with pytest.raises(UnknownName, match=r"unknown ablation 'sigme'\. Did you mean 'sigma'"):
        ways("sigme", found, SEARCH)
    with pytest.raises(BadInput, match="expected maps of L9H9 in the cases"):
        judged([Way("", (Head(9, 9),), SEARCH)])
    with pytest.raises(BadInput, match="expected the maps of case 020-0, got none; collect these cases with --maps"):
        judged([Way("", (GOOD,), SEARCH)], [CASES[0]._replace(maps=None)])
    with pytest.raises(BadInput, match="expected cases to judge on"):
        judged([Way("", (GOOD,), SEARCH)], [])


def test_heads_are_chosen_on_kept_cases_and_judged_on_others_as_they_are_kept(found: Table, tmp_path: Path) -> None:
    others = kept(tmp_path, range(20, 26))
    tried = ways("criteria", found, SEARCH)
    ticks: list[int] = []
    from_disk = judge(tried, others, others.card.heads, tick=lambda: ticks.append(1))
    assert [list(ious) for ious in from_disk.ious] == judged(tried) and len(ticks) == 6
