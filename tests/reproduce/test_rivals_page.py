"""Rivals are asked about the very cases of the tables, once, and one that a model does not allow is named."""

import pytest

from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, ORACLE
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import needs
from glintbox.reproduce.rivals import parts_of, rivals_page, usable
from glintbox.reproduce.selection import FREE, LEARNED, judged, numbers_of
from glintbox.rivals import ALONE


def test_a_rival_that_the_model_does_not_allow_is_named_with_the_reason(made: Bench) -> None:
    names, refused = usable(made, "report")
    assert names == ["crop"]
    assert len(refused) == 1 and refused[0].startswith("`upscale` is left out: expected about 4 times")


def test_every_case_is_asked_about_once(made: Bench) -> None:
    said = made.rivals("report", ["crop"])
    assert set(said) == set(made.store(needs("report", made.amounts)[0]).ids)
    assert all(set(one) == {ALONE, "crop"} for one in said.values())
    asked = made.lvlm.asked  # type: ignore[attr-defined]  # canned answers count
    assert made.rivals("report", ["crop"]) == said
    assert made.lvlm.asked == asked  # type: ignore[attr-defined]


def test_two_halves_are_the_whole(made: Bench) -> None:
    halves = [made.rivals("report", ["crop"], shard=shard) for shard in ("1/2", "2/2")]
    assert halves[0] | halves[1] == made.rivals("report", ["crop"]) and all(halves)
    with pytest.raises(BadInput, match="shard"):
        made.rivals("report", ["crop"], shard="3/2")


def test_the_page_tells_accuracy_and_cost_on_the_same_cases(made: Bench) -> None:
    page = rivals_page(made, {})
    [told] = [page.numbers[part] for part in parts_of(made)]
    assert list(told) == [GREEDY, FREE, LEARNED, "crop"]
    of = {name: one["report"] for name, one in told.items()}
    assert len({one["n"] for one in of.values()}) == 1
    assert of["crop"]["greedy"] == of[GREEDY]["acc_at_50"], "on the same cases as greedy"
    for need in needs("report", made.amounts):
        if need.temperature == of[LEARNED]["temperature"]:
            assert of[LEARNED]["acc_at_50"] == numbers_of(judged(made, need)[10][LEARNED]).acc_at_50
    assert told[LEARNED]["cost"].answers == 11 and told[GREEDY]["cost"].answers == 1
    assert told["crop"]["cost"].prompts == 2 == told["crop"]["cost"].answers
    assert told["crop"]["cost"].image_tokens == 2 * told[GREEDY]["cost"].image_tokens
    [rows] = [part for part in page.parts if part.startswith("| ")]
    assert [line.split(" | ")[0] for line in rows.splitlines()[2:]] == [f"| {name}" for name in (*told, ORACLE)]
    assert page.parts[-1].startswith("`upscale` is left out")
