"""The table of selectors: every name keeps the laws, what is missing is asked for by name."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.boxes import Box
from glintbox.errors import BadInput, NoArtifact, UnknownName
from glintbox.geometry import TokenGrid
from glintbox.records import COORDS, Calibration, CandidateSet, HeadMap, Selector, TextMaps
from glintbox.regressor import RegressorBundle, RegressorCard, new_regressor
from glintbox.selectors import SELECTORS, best_selector, selector
from tests.learnable import TRAINING
from tests.sets import HEADS, IMAGE, SETTING, a_set, boxes_of, permuted, with_entropy, with_maps

HEADMAP = HeadMap(SETTING, "test", {coord: HEADS for coord in COORDS})
TEXT = replace(SETTING, prompt="expression")
LOOKS = HeadMap(TEXT, "test", {"text": HEADS[:2]})
INVENTED = ("majority-vote", "mean-box")
BOXES = [(0, 0, 10, 10), (1, 0, 11, 10), (50, 0, 70, 20), (50, 1, 70, 20), (30, 30, 40, 50)]


@pytest.fixture(scope="module")
def regressor() -> RegressorBundle:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_regressor(RegressorCard(SETTING, HEADS, 4, 5))


def random_set(seed: int) -> CandidateSet:
    """Greedy with one box, then three responses of one or two."""
    generator = torch.Generator().manual_seed(seed)
    found = a_set(
        BOXES[:2], BOXES[2:4], BOXES[4:], greedy=BOXES[:1], doubts=[0.1, *torch.rand(3, generator=generator).tolist()]
    )
    found = with_entropy(found, torch.rand(6, 4, 3, generator=generator))
    found = with_maps(found, torch.rand(6, 4, 3, 6, 8, generator=generator) / 48)
    looked = TextMaps(TEXT, HEADS[:2], TokenGrid(6, 8, Box.whole(IMAGE)), torch.rand(2, 6, 8, generator=generator) / 48)
    return replace(found, text_map=looked)


def made(name: str, regressor: RegressorBundle, *, multiple: bool = False) -> Selector:
    return selector(name, headmap=HEADMAP, regressor=regressor, localization=LOOKS, multiple=multiple)


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("multiple", [False, True])
@settings(max_examples=12)  # each of twenty selectors
@given(seed=st.integers(0, 99), order=st.permutations(range(6)))
def test_storage_order_changes_nothing_and_greedy_is_never_chosen(
    name: str, multiple: bool, regressor: RegressorBundle, seed: int, order: list[int]
) -> None:
    if multiple and name in INVENTED:
        return
    found, stored = random_set(seed), permuted(random_set(seed), order)
    choose = made(name, regressor, multiple=multiple).choose
    chosen = choose(found)
    assert boxes_of(choose(stored)) == boxes_of(chosen)
    assert 0 not in [box.candidate for box in chosen]
    assert len(chosen) == 1 or (multiple and 1 <= len(chosen) <= 2)


@pytest.mark.parametrize("name", SELECTORS)
def test_every_selector_carries_its_name_and_finds_nothing_in_nothing(name: str, regressor: RegressorBundle) -> None:
    chosen = made(name, regressor)
    assert chosen.name == name
    assert chosen.choose(a_set([], greedy=BOXES[:1])) == ()


@pytest.mark.parametrize("name", SELECTORS)
def test_a_score_is_shown_exactly_where_its_kind_is_named(name: str, regressor: RegressorBundle) -> None:
    chosen = made(name, regressor)
    (box,) = chosen.choose(random_set(0))
    assert (box.score is None) == (chosen.score_kind == "none")
    assert box.score is None or 0 <= box.score <= 1


def test_kinds_of_score(regressor: RegressorBundle) -> None:
    kinds = {name: made(name, regressor).score_kind for name in SELECTORS}
    assert {name: kind for name, kind in kinds.items() if kind != "none"} == {
        "consensus": "agreement",
        "acs-free": "rank",
        "acs-learned": "iou",
        "heads-overlap": "agreement",
    }


def test_with_several_objects_each_cluster_gives_one_box(regressor: RegressorBundle) -> None:
    found = random_set(1)
    chosen = made("smallest", regressor, multiple=True).choose(found)
    assert boxes_of(chosen) == [BOXES[0], BOXES[3]]
    assert len(made("token-entropy", regressor, multiple=True).choose(found)) == 2


def test_an_unknown_selector_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown selector 'acs-fre'. Did you mean 'acs-free'\? Known: .*consensus"):
        selector("acs-fre")


def test_a_missing_artefact_is_asked_for() -> None:
    with pytest.raises(NoArtifact, match="glintbox heads calibrate MODEL --dataset"):
        selector("acs-free")
    with pytest.raises(
        NoArtifact, match="acs-learned needs a regressor trained for this model, got none; use acs-free"
    ):
        selector("acs-learned", headmap=HEADMAP)


@pytest.mark.parametrize("name", INVENTED)
def test_one_invented_box_cannot_stand_for_several_objects(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} invents one box .* expected multiple=False"):
        selector(name, multiple=True)


def test_the_best_selector_is_that_of_the_best_artefact(regressor: RegressorBundle) -> None:
    assert best_selector(HEADMAP, regressor).name == best_selector(None, regressor).name == "acs-learned"
    assert best_selector(HEADMAP, None).name == "acs-free"
    assert best_selector(None, None).name == "consensus"


def test_a_head_map_that_loses_on_its_own_cases_is_not_taken_without_asking() -> None:
    def made(acs_free: float, consensus: float) -> HeadMap:
        return replace(HEADMAP, calibration=Calibration("made up", 30, 30, 0.6, 0.3, {}, acs_free, consensus))

    assert best_selector(made(0.7, 0.6), None).name == best_selector(made(0.6, 0.6), None).name == "acs-free"
    name, why = best_selector(made(0.55, 0.6), None)
    assert name == "consensus"
    assert "in 55.0% of the cases that it was calibrated on, consensus in 60.0%" in why
    assert selector("acs-free", headmap=made(0.55, 0.6)).name == "acs-free", "by name it is used all the same"


def test_a_regressor_that_lost_on_held_out_pictures_is_not_taken_without_asking(regressor: RegressorBundle) -> None:
    def made(acs_learned: float, consensus: float) -> RegressorBundle:
        worth = replace(TRAINING, acs_learned=acs_learned, consensus=consensus)
        return RegressorBundle(replace(regressor.card, training=worth), regressor.network)

    for won in (made(0.7, 0.6), made(0.6, 0.6)):
        assert best_selector(HEADMAP, won).name == best_selector(None, won).name == "acs-learned"
    lost = made(0.55, 0.6)
    name, why = best_selector(None, lost)
    assert name == "consensus"
    assert "regressor chose the right box in 55.0% of the cases that it was tested on, consensus in 60.0%" in why
    name, why = best_selector(HEADMAP, lost)
    assert name == "acs-free" and "regressor chose" in why and why.endswith("this model has a head map")
    poor = replace(HEADMAP, calibration=Calibration("made up", 30, 30, 0.6, 0.3, {}, 0.5, 0.52))
    name, why = best_selector(poor, lost)
    assert name == "consensus" and "regressor chose" in why and "head map chose" in why
    assert selector("acs-learned", regressor=lost).name == "acs-learned", "by name it is used all the same"
