"""The first answers are those that fewer draws would have given; kept predictions choose as the regressor does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glintbox.batches import predict
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY
from glintbox.images import open_image
from glintbox.records import CandidateSet, Sampling, Watch, to_json
from glintbox.regressor import RegressorCard, new_regressor
from glintbox.reproduce.answers import GREEDY_FIRST, FirstAnswers, acs_learned, by_case, first, judge
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import Need
from glintbox.selectors import selector
from glintbox.selectors.acs_learned import acs_learned as by_regressor
from tests.reproduce.made import Canned, truths
from tests.sets import a_set, permuted

BOX = (10.0, 10.0, 20.0, 20.0)


def drawn(folder: Path, n: int) -> CandidateSet:
    """What n draws give for the first picture."""
    lvlm = Canned(folder)
    image = open_image(min((folder / "val2017").iterdir()))
    query = next(query for size, query in truths(folder) if size == image.size)
    sampling, watch = Sampling(n, 1.0), Watch(maps=True)
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    [found] = [
        candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)
        for answered in lvlm.answer([lvlm.prompt(image, query, id="a")], sampling, watch)
    ]
    return replace(found, timing={})


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_first_answers_are_what_fewer_draws_give(folder: Path, k: int) -> None:
    cut, fewer = first(drawn(folder, 10), k), drawn(folder, k)
    assert to_json(cut) == to_json(fewer)
    assert cut.maps is not None and fewer.maps is not None
    assert torch.equal(cut.maps.values, fewer.maps.values)
    assert to_json(first(first(drawn(folder, 10), 7), k)) == to_json(cut)


def test_greedy_stays_and_is_not_counted() -> None:
    found = a_set([BOX], [BOX, BOX], [], greedy=[BOX])
    cut = first(found, 2)
    assert [response.source for response in cut.responses] == ["greedy", "sampled", "sampled"]
    assert (len(cut.candidates), cut.readings, cut.sampling.n) == (4, ("boxes",) * 3, 2)
    assert first(found, 3) == found


def test_what_is_not_there_is_refused() -> None:
    found = a_set([BOX], [BOX])
    for k in (0, 3):
        with pytest.raises(BadInput, match=f"expected {k} or more sampled answers of 'a' in order, got 2"):
            first(found, k)
    with pytest.raises(BadInput, match="in order"):
        first(permuted(found, [1, 0]), 1)


def test_a_store_of_the_first_answers_is_one_where_fewer_were_drawn(made: Bench) -> None:
    need = Need("report", 1.0, 15)
    fewer, whole = made.store(need._replace(n=4)), made.store(need)
    cut = FirstAnswers(made.folder(need), 4)
    assert len(whole.rows.iou) > len(cut.rows.iou) == int(cut.within.sum())
    for column, other in zip(cut.rows, fewer.rows, strict=True):
        assert np.array_equal(column, other)
    assert [cut[k].found.candidates for k in range(len(cut))] == [fewer[k].found.candidates for k in range(len(fewer))]
    for one, two in zip(cut.labelled(), fewer.labelled(), strict=True):
        assert torch.equal(one.iou, two.iou) and one.found.stats is not None and two.found.stats is not None
        assert torch.equal(one.found.stats.entropy, two.found.stats.entropy)


def test_kept_predictions_choose_as_the_regressor_does(made: Bench) -> None:
    need = Need("report", 1.0, 15)
    store = made.store(need)
    torch.manual_seed(0)
    bundle = new_regressor(RegressorCard(store.card.setting, store.card.heads, 6, 8))
    predictions = predict(bundle, store)
    kept = acs_learned(by_case(store, predictions))
    live = by_regressor(bundle)
    for case in range(len(store)):
        whole = store.with_maps(case)
        for k in (1, 4, 15):
            [one], [other] = kept.choose(first(whole, k)), live.choose(first(whole, k))
            assert one.candidate == other.candidate and one.score == pytest.approx(other.score, abs=1e-6)
    assert kept.score_kind == live.score_kind and kept.name == live.name
    several = acs_learned(by_case(store, predictions), multiple=True)
    assert len(several.choose(store[0].found)) > 1


def test_every_count_is_judged_in_one_pass(made: Bench) -> None:
    need, ticks = Need("report", 1.0, 15), list[int]()
    store = made.store(need)
    by = {"greedy": GREEDY_FIRST, "smallest": selector("smallest")}
    found = judge(store, by, [2, 9], tick=ticks.append)
    assert ticks == [1] * len(store) and set(found) == {2, 9}
    assert [(one.method, one.temperature) for one in found[2]] == [(GREEDY, 1.0), ("smallest", 1.0)]
    greedy, smallest = found[2]
    assert [case.id for case in greedy.cases] == list(store.ids)
    assert [case.chosen for case in greedy.cases] == [case.greedy for case in smallest.cases]
    assert all(case.chosen < 0.5 for case in greedy.cases), "greedy's answers begin with a poor box"
    assert all(case.oracle > 0.8 for case in smallest.cases), "the first answer is right"
