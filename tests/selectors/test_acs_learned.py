"""ACS-Learned: scores are the network's, whatever the chunk, the grid and the order of the heads that were read."""

from dataclasses import replace

import pytest
import torch

from glintbox.errors import BadInput, SettingMismatch
from glintbox.maps import resample
from glintbox.records import CandidateSet, Head, Watch
from glintbox.regressor import RegressorBundle, RegressorCard, new_regressor
from glintbox.selectors.acs_learned import acs_learned, predicted_iou
from tests.sets import HEADS, SETTING, a_set, with_maps

BOXES = [(k, 0, k + 10, 10) for k in range(0, 50, 10)]


@pytest.fixture(scope="module")
def regressor() -> RegressorBundle:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_regressor(RegressorCard(SETTING, HEADS[:2], 4, 5))


@pytest.fixture
def found() -> CandidateSet:
    values = torch.rand(6, 4, 3, 6, 8, generator=torch.Generator().manual_seed(0)) ** 4 / 20
    return with_maps(a_set(*[[box] for box in BOXES], greedy=BOXES[:1]), values)


def test_the_score_is_the_networks_iou_on_its_own_grid_and_heads(
    regressor: RegressorBundle, found: CandidateSet
) -> None:
    assert found.maps is not None
    with torch.inference_mode():
        expected = regressor.network(resample(found.maps.values[1:, :, :2], 4, 5))
    scores = predicted_iou(regressor)(found)
    assert scores[0] == -torch.inf, "greedy"
    assert torch.allclose(scores[1:].float(), expected, atol=1e-6)
    assert len(set(scores[1:].tolist())) == 5
    (best,) = acs_learned(regressor).choose(found)
    assert best.candidate == 1 + int(expected.argmax()) and best.score == pytest.approx(expected.max().item())


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_change_no_score(regressor: RegressorBundle, found: CandidateSet, chunk: int) -> None:
    whole = predicted_iou(regressor)(found)
    assert torch.allclose(predicted_iou(regressor, chunk=chunk)(found), whole, atol=1e-6)


def test_heads_are_found_by_name_not_by_place(regressor: RegressorBundle, found: CandidateSet) -> None:
    assert found.maps is not None
    turned = replace(found.maps, heads=found.maps.heads[::-1], values=found.maps.values.flip(2))
    assert torch.allclose(predicted_iou(regressor)(replace(found, maps=turned)), predicted_iou(regressor)(found))


def test_a_candidate_whose_tokens_are_unknown_is_never_scored(regressor: RegressorBundle, found: CandidateSet) -> None:
    unknown = replace(found.candidates[2], tokens=None)
    without = replace(found, candidates=(*found.candidates[:2], unknown, *found.candidates[3:]))
    scores = predicted_iou(regressor)(without)
    assert scores[2] == -torch.inf and scores[[1, 3, 4, 5]].isfinite().all()


def test_it_asks_for_the_maps_of_its_heads(regressor: RegressorBundle) -> None:
    chosen = acs_learned(regressor)
    assert chosen.needs == Watch(HEADS[:2], "default", "predicting", maps=True)
    assert chosen.score_kind == "iou"


def test_a_set_without_maps_is_refused(regressor: RegressorBundle, found: CandidateSet) -> None:
    with pytest.raises(BadInput, match=r"expected attention maps for the candidates of 'a', got none.*maps=True"):
        acs_learned(regressor).choose(replace(found, maps=None))


def test_maps_of_other_heads_are_refused(regressor: RegressorBundle, found: CandidateSet) -> None:
    assert found.maps is not None
    other = replace(found.maps, heads=(HEADS[0], Head(5, 5), HEADS[2]))
    with pytest.raises(SettingMismatch, match="got none of L2H0"):
        acs_learned(regressor).choose(replace(found, maps=other))


def test_a_set_of_another_setting_is_refused(regressor: RegressorBundle, found: CandidateSet) -> None:
    with pytest.raises(SettingMismatch, match=r"regressor belongs to another setting \(moment: .*'predicted'"):
        acs_learned(regressor).choose(replace(found, setting=replace(SETTING, moment="predicted")))
