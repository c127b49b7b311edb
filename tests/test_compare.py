"""Comparing: every method on the same answers, drawn once, by one process or by several."""

from dataclasses import replace
from pathlib import Path

import pytest

from glintbox.compare import TIMED, Plan, collect, compare, compare_many, costs, share_of
from glintbox.errors import BadInput
from glintbox.evaluate import ORACLE, report
from glintbox.evaluate_many import SUPPRESSION
from glintbox.lvlm.scripted import SHARP
from glintbox.records import Sample, Sampling
from glintbox.regressor import RegressorCard, new_regressor
from glintbox.rivals import rivals
from glintbox.selectors import selector
from glintbox.selectors.acs_learned import acs_learned
from glintbox.store import Store
from tests.refer_cases import Told, expressions, headmap
from tests.test_calibrate import SCRIPT, Counting, cases

SAMPLINGS = (Sampling(n=4, temperature=0.5), Sampling(n=4, temperature=1.0))


def plan(
    lvlm: Counting, folder: Path, *, names: tuple[str, ...] = ("consensus",), others: tuple[str, ...] = ()
) -> Plan:
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    chosen = {"greedy": None} | {name: selector(name) for name in names}
    return Plan(setting, SAMPLINGS, chosen, rivals(lvlm, others), "made-up", folder)


def model() -> Counting:
    return Counting({"cup": replace(SCRIPT, greedy="[700, 700, 900, 900]")})


def none() -> None:
    pass


def test_every_method_is_judged_on_the_same_answers_at_each_temperature(tmp_path: Path) -> None:
    lvlm, samples, ticks = model(), cases(tmp_path, 3), []
    asked = plan(lvlm, tmp_path / "work", others=("crop",))
    found = compare(lvlm, samples, asked, tick=lambda: ticks.append(1))
    assert [(m.method, m.temperature) for m in found] == [
        (name, t) for t in (0.5, 1.0) for name in ("greedy", "consensus", "crop")
    ]
    assert len(ticks) == asked.steps(3) == 6
    for method in found:
        assert [case.id for case in method.cases] == ["case-0", "case-1", "case-2"]
        assert all((case.greedy, case.oracle) == (0, 1) for case in method.cases)
    greedy, consensus, crop = (report(method) for method in found[:3])
    assert (greedy.gap_closed, consensus.gap_closed) == (0, 1)
    assert crop.missing == 0 and crop.acc_at_50 == 0


def test_another_selector_costs_no_answer(tmp_path: Path) -> None:
    lvlm, samples = model(), cases(tmp_path, 3)
    compare(lvlm, samples, plan(lvlm, tmp_path / "work"), tick=none)
    asked = lvlm.asked
    assert asked == 6
    found = compare(lvlm, samples, plan(lvlm, tmp_path / "work", names=("smallest", "random")), tick=none)
    assert len(found) == 6 and lvlm.asked == asked


def test_parts_drawn_apart_make_the_whole(tmp_path: Path) -> None:
    lvlm, samples = model(), cases(tmp_path, 5)
    alone = compare(lvlm, samples, plan(lvlm, tmp_path / "alone", others=("crop",)), tick=none)
    asked = lvlm.asked
    together = plan(lvlm, tmp_path / "together", others=("crop",))
    for shard in ("2/2", "1/2"):
        collect(lvlm, share_of(samples, shard), together, tick=none)
    assert lvlm.asked == 2 * asked
    assert compare(lvlm, samples, together, tick=none) == alone
    assert lvlm.asked == 2 * asked, "what the parts have drawn is not drawn again"


def test_a_selector_that_needs_maps_gets_those_of_its_heads(tmp_path: Path) -> None:
    lvlm, samples = model(), cases(tmp_path, 1)
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    learned = acs_learned(new_regressor(RegressorCard(setting, SHARP[:2], rows=6, cols=8)))
    plain = plan(lvlm, tmp_path / "work")
    asked = replace(plain, selectors={"acs-learned": learned} | dict(plain.selectors))
    assert (plain.heads, asked.heads) == ((), SHARP[:2])
    folders = {one.folder(sampling) for one in (plain, asked) for sampling in SAMPLINGS}
    assert len(folders) == 4, "answers with maps lie apart"
    ticks: list[str] = []
    found = compare(lvlm, samples, asked, tick=lambda: ticks.append("drawn"), chosen=lambda: ticks.append("chosen"))
    assert sorted(ticks) == ["chosen"] * 2 + ["drawn"] and lvlm.asked == 2
    assert {method.method for method in found} == {"acs-learned", "greedy", "consensus"}
    scores = [case.score for method in found if method.method == "acs-learned" for case in method.cases]
    assert len(scores) == 2 and all(score is not None and 0 < score < 1 for score in scores)
    assert compare(lvlm, samples, asked, tick=none) == found and lvlm.asked == 2
    store = Store(asked.folder(SAMPLINGS[0]))
    kept = replace(store.with_maps(0), setting=setting)
    assert learned.choose(kept)[0].score == scores[0], "from the store and at once the same"
    assert [cost.method for cost in costs(lvlm, samples, asked)][1] == "4 samples, acs-learned"


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7])
def test_shards_are_the_cases_each_once_and_in_order(tmp_path: Path, parts: int) -> None:
    samples = cases(tmp_path, 5)
    shared: list[Sample] = [one for i in range(1, parts + 1) for one in share_of(samples, f"{i}/{parts}")]
    assert shared == samples


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", ""])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(BadInput, match="expected a shard like 1/2 or 2/2, got"):
        share_of([], shard)


def test_costs_are_those_of_one_case(tmp_path: Path) -> None:
    lvlm, samples = model(), cases(tmp_path, 3)
    asked = plan(lvlm, tmp_path / "work", others=("crop",))
    found = {cost.method: cost for cost in costs(lvlm, samples, asked)}
    assert list(found) == ["greedy", "4 samples, consensus", "crop"]
    sizes = [(cost.prompts, cost.image_tokens, cost.answers) for cost in found.values()]
    assert sizes == [(1, 48, 1), (1, 48, 5), (2, 96, 2)]
    assert all(cost.seconds > 0 for cost in found.values()) and found["crop"].seconds > found["greedy"].seconds
    assert not (tmp_path / "work").exists() and TIMED > 3


def test_answers_lie_in_the_cache_by_data_and_sampling_where_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path))
    lvlm = model()
    asked = replace(plan(lvlm, tmp_path), work=None)
    folders = {*(asked.folder(sampling) for sampling in SAMPLINGS), asked.rivals()}
    assert len(folders) == 3 and all(folder.is_relative_to(tmp_path) for folder in folders)
    assert folders.isdisjoint(replace(asked, data="other").folder(sampling) for sampling in SAMPLINGS)


def test_several_objects_are_judged_on_the_answers_that_are_kept(tmp_path: Path) -> None:
    lvlm, samples = model(), cases(tmp_path, 3)
    compare(lvlm, samples, plan(lvlm, tmp_path / "work"), tick=none)
    asked, chosen = lvlm.asked, list[int]()
    several = replace(
        plan(lvlm, tmp_path / "work"), selectors={"greedy": None, "two": selector("consensus", multiple=True)}
    )
    found = compare_many(lvlm, samples, several, tick=none, chosen=lambda: chosen.append(1))
    assert lvlm.asked == asked, "what one box was chosen from serves for several"
    assert len(chosen) == 2 * 3
    assert [(m.method, m.temperature) for m in found] == [
        (name, t) for t in (0.5, 1.0) for name in (*SUPPRESSION, "two", ORACLE)
    ]
    by = {method.method: method for method in found}
    assert [case.id for case in by["two"].cases] == ["case-0", "case-1", "case-2"]
    assert all(case.matched == (1, 1, 0) for case in by["greedy"].cases)
    assert all(case.matched.pairs == 1 for case in by["two"].cases)


def test_a_selector_that_looks_through_localization_heads_gets_their_maps(tmp_path: Path) -> None:
    lvlm, ticks = Told(), list[int]()
    samples = [one.sample for one in expressions(tmp_path)]
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    by = {"greedy": None, "heads-overlap": selector("heads-overlap", localization=headmap(lvlm))}
    asked = Plan(setting, SAMPLINGS, by, {}, "made-up", tmp_path / "work")
    found = compare(lvlm, samples, asked, tick=lambda: ticks.append(1))
    assert [method.method for method in found] == ["greedy", "heads-overlap"] * 2
    assert all(case.chosen > 0.9 for case in found[1].cases), "the true box is among the samples"
    assert len(ticks) == asked.steps(3) == 3 * (1 + 1) and asked.looks == headmap(lvlm) and asked.writes
    assert (lvlm.asked, lvlm.looked) == (6, 3)
    assert compare(lvlm, samples, asked, tick=none) == found and (lvlm.asked, lvlm.looked) == (6, 3)
