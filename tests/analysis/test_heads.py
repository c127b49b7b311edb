"""Heads that separate are found: in numbers by hand, and from pictures to boxes with the scripted model."""

from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from glintbox.analysis.heads import find_heads
from glintbox.analysis.separation import label, separation
from glintbox.boxes import Box, iou
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.records import COORDS, CandidateSet, Head, HeadMap, Labelled, Sampling, Watch, from_json, to_json
from glintbox.selectors.acs_free import acs_free
from tests.sets import HEADS, SETTING, a_set, with_entropy

BOX = (0, 0, 10, 10)


def cases(count: int = 25) -> Iterator[Labelled]:
    """Good and bad boxes in turn; bad ones are worse by 0.5, 1.5 and 1.0 nats in the three heads, twice that in y2."""
    worse = torch.tensor([0.5, 1.5, 1.0]) * torch.tensor([1.0, 1.0, 1.0, 2.0])[:, None]
    for _ in range(count):
        entropy = torch.stack([torch.full((4, 3), 3.0), 3 + worse])
        yield Labelled(with_entropy(a_set([BOX], [BOX]), entropy), torch.tensor([0.8, 0.2]))


def test_the_largest_differences_are_found_best_first_with_their_calibration() -> None:
    headmap = find_heads(separation(cases()), n=2, setting=SETTING, data="by hand")
    assert headmap.heads == {coord: (HEADS[1], HEADS[2]) for coord in COORDS}
    calibration = headmap.calibration
    assert calibration is not None
    assert (calibration.data, calibration.high, calibration.low) == ("by hand", 25, 25)
    assert (calibration.tau_high, calibration.tau_low) == (0.6, 0.3)
    assert calibration.delta["x1"] == pytest.approx((1.5, 1.0)) and calibration.delta["y2"] == pytest.approx((3, 2))
    assert headmap.setting == SETTING
    assert headmap.made_by == "entropy difference by IoU labels, top 2 of 3 heads per coordinate"
    assert from_json(HeadMap, to_json(headmap)) == headmap


def test_only_heads_of_the_universe_are_chosen() -> None:
    headmap = find_heads(separation(cases()), n=1, setting=SETTING, data="by hand", universe=(HEADS[2], HEADS[0]))
    assert headmap.heads["x1"] == (HEADS[2],)


def test_too_few_good_or_bad_boxes_are_refused() -> None:
    with pytest.raises(BadInput, match=r"at least 20 boxes with IoU > 0\.6 and 20 with .* got 19 and 19; label more"):
        find_heads(separation(cases(19)), setting=SETTING, data="by hand")


def test_heads_that_are_not_there_are_refused() -> None:
    with pytest.raises(BadInput, match="heads that were read, got L9H9"):
        find_heads(separation(cases()), setting=SETTING, data="by hand", universe=(Head(9, 9),))
    for n in (0, 4):
        with pytest.raises(BadInput, match=f"1 <= n <= 3, .* got {n}"):
            find_heads(separation(cases()), n=n, setting=SETTING, data="by hand")


def test_a_head_whose_entropy_is_no_number_is_refused_and_need_not_be_chosen() -> None:
    labelled = list(cases())
    assert labelled[3].found.stats is not None
    labelled[3].found.stats.entropy[0, 2, 1] = torch.nan
    with pytest.raises(BadInput, match="got NaN in L2H0; load the model in a wider dtype"):
        find_heads(separation(labelled), n=1, setting=SETTING, data="by hand")
    others = find_heads(separation(labelled), n=1, setting=SETTING, data="by hand", universe=(HEADS[0], HEADS[2]))
    assert others.heads["x2"] == (HEADS[2],)


TRUTH = Box(40, 12, 56, 24)
GOOD, NEAR, BAD = "[400, 200, 560, 400]", "[420, 220, 560, 400]", "[480, 300, 640, 500]"


def collected(count: int) -> Iterator[CandidateSet]:
    """What the scripted model answers: greedy and a first sample that are bad, then good ones and bad ones."""
    lvlm = ScriptedLVLM({"cup": Script(greedy=BAD, sampled=(BAD, NEAR, GOOD, BAD), truth=TRUTH)})
    watch, sampling = Watch(), Sampling(n=4)
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view=watch.view, moment=watch.moment)
    prompts = [lvlm.prompt(Image.new("RGB", (100, 60)), "cup", id=str(k)) for k in range(count)]
    for answered in lvlm.answer(prompts, sampling, watch):
        yield candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)


def test_calibration_finds_the_heads_that_look_at_the_truth_and_they_choose_the_true_box() -> None:
    found = list(collected(10))
    labels = [label(one, [TRUTH]) for one in found]
    headmap = find_heads(separation(labels), setting=found[0].setting, data="scripted")
    assert all(set(headmap.heads[coord]) <= set(SHARP) for coord in COORDS)
    assert headmap.calibration is not None and min(headmap.calibration.delta["x1"]) > 0.3
    (best,) = acs_free(headmap).choose(found[0])
    assert iou(best.box, TRUTH) == pytest.approx(1) and best.candidate == 3
