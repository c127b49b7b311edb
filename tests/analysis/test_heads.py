"""Heads that separate are found: in numbers by hand, and from pictures to boxes with the scripted model."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from PIL import Image

from glintbox.analysis.entropies import entropies
from glintbox.analysis.heads import Agreement, agreement, find_heads, heads_in, of_every_head, tried
from glintbox.analysis.importance import Importance
from glintbox.analysis.separation import Separation, separation
from glintbox.boxes import Box, iou
from glintbox.collect import candidate_set
from glintbox.errors import BadInput
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.records import COORDS, CandidateSet, Head, HeadMap, Labelled, Sampling, Watch, from_json, to_json
from glintbox.selectors.acs_free import acs_free
from glintbox.store import label
from tests.sets import HEADS, SETTING, a_set, with_entropy

BOX = (0, 0, 10, 10)


def cases(count: int = 25) -> Iterator[Labelled]:
    """Good and bad boxes in turn; bad ones are worse by 0.5, 1.5 and 1.0 nats in the three heads, twice that in y2."""
    worse = torch.tensor([0.5, 1.5, 1.0]) * torch.tensor([1.0, 1.0, 1.0, 2.0])[:, None]
    for _ in range(count):
        entropy = torch.stack([torch.full((4, 3), 3.0), 3 + worse])
        yield Labelled(with_entropy(a_set([BOX], [BOX]), entropy), torch.tensor([0.8, 0.2]))


def told(labelled: Iterable[Labelled]) -> Separation:
    return separation(entropies(labelled))


def test_the_largest_differences_are_found_best_first_with_their_calibration() -> None:
    headmap = find_heads(told(cases()), n=2, setting=SETTING, data="by hand")
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
    headmap = find_heads(told(cases()), n=1, setting=SETTING, data="by hand", universe=(HEADS[2], HEADS[0]))
    assert headmap.heads["x1"] == (HEADS[2],)


def test_too_few_good_or_bad_boxes_are_refused() -> None:
    with pytest.raises(BadInput, match=r"at least 20 boxes with IoU > 0\.6 and 20 with .* got 19 and 19; label more"):
        find_heads(told(cases(19)), setting=SETTING, data="by hand")


def test_heads_that_are_not_there_are_refused() -> None:
    with pytest.raises(BadInput, match="heads that were read, got L9H9"):
        find_heads(told(cases()), setting=SETTING, data="by hand", universe=(Head(9, 9),))
    for n in (0, 4):
        with pytest.raises(BadInput, match=f"1 <= n <= 3, .* got {n}"):
            find_heads(told(cases()), n=n, setting=SETTING, data="by hand")


def test_a_head_whose_entropy_is_no_number_is_refused_and_need_not_be_chosen() -> None:
    labelled = list(cases())
    assert labelled[3].found.stats is not None
    labelled[3].found.stats.entropy[0, 2, 1] = torch.nan
    with pytest.raises(BadInput, match="got NaN in L2H0; load the model in a wider dtype"):
        find_heads(told(labelled), n=1, setting=SETTING, data="by hand")
    others = find_heads(told(labelled), n=1, setting=SETTING, data="by hand", universe=(HEADS[0], HEADS[2]))
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
    headmap = find_heads(told(labels), setting=found[0].setting, data="scripted")
    assert all(set(headmap.heads[coord]) <= set(SHARP) for coord in COORDS)
    assert headmap.calibration is not None and min(headmap.calibration.delta["x1"]) > 0.3
    (best,) = acs_free(headmap).choose(found[0])
    assert iou(best.box, TRUTH) == pytest.approx(1) and best.candidate == 3


def test_a_head_map_is_tried_on_cases_and_says_on_which() -> None:
    """Bad boxes are chosen where the heads' entropy is upside down."""
    right = find_heads(told(cases()), n=1, setting=SETTING, data="by hand")
    assert right.calibration is not None and right.calibration.acs_free is None
    judged = tried(right, cases(5)).calibration
    assert judged is not None and (judged.acs_free, judged.ids) == (1.0, ("a",) * 5)
    assert judged.sampling == next(cases()).found.sampling and judged.delta == right.calibration.delta
    assert judged.consensus == 1.0, "equal boxes: the first of each case is the good one"
    wrong = [Labelled(case.found, case.iou.flip(0)) for case in cases(5)]
    turned = tried(right, wrong).calibration
    assert turned is not None and turned.acs_free == 0
    with pytest.raises(BadInput, match="cases to try it on, got 0"):
        tried(right, [])


def test_the_separation_of_every_head_is_kept_beside_the_head_map() -> None:
    found = told(cases())
    kept = of_every_head(found, find_heads(found, n=1, setting=SETTING, data="by hand"))
    assert (kept.data, kept.high, kept.low, kept.heads) == ("by hand", 25, 25, HEADS)
    assert torch.equal(kept.delta, found.delta) and torch.equal(kept.auc, found.auc)


def gradient(values: torch.Tensor) -> Importance:
    return Importance(SETTING, "abc", "by hand", "loss", 50, HEADS, values.double())


def compared(values: torch.Tensor) -> Agreement:
    return agreement(told(cases()), gradient(values), [2], n=1)


def test_labels_and_gradient_agree_where_they_order_heads_alike() -> None:
    same = compared(torch.tensor([0.1, 0.9, 0.5]).repeat(4, 1))
    assert same.by_labels == same.by_gradient == {coord: (HEADS[1],) for coord in COORDS}
    assert same.rho["x1"] == pytest.approx(1) and same.shared("x1") == (1, 1) and same.chance == pytest.approx(1 / 3)
    other = compared(torch.tensor([0.9, 0.1, 0.5]).repeat(4, 1))
    assert other.by_gradient["y2"] == (HEADS[0],) and other.critical["y2"] == (HEADS[1],), "the first lies in layer 0"
    assert other.rho["y2"] == pytest.approx(-1) and other.shared("y2") == (1, 0)
    assert compared(torch.ones(4, 3)).rho["x2"] is None
    few = agreement(told(cases()), gradient(torch.rand(4, 3)), [0], n=2)
    assert few.critical["x1"] == (HEADS[0],), "layer 0 has one head"


def test_heads_are_compared_by_name_not_by_place() -> None:
    values = torch.tensor([0.1, 0.9, 0.5]).repeat(4, 1)
    turned = Importance(SETTING, "abc", "by hand", "loss", 50, HEADS[::-1], values.flip(1).double())
    assert agreement(told(cases()), turned, [2], n=1).rho == compared(values).rho
    assert heads_in(HEADS, [2, 7]) == HEADS[1:]


def test_the_words_of_a_universe_stand_in_the_head_map() -> None:
    headmap = find_heads(
        told(cases()), n=1, setting=SETTING, data="by hand", universe=HEADS[1:], among=" of the critical layers 2"
    )
    assert "top 1 of 2 heads of the critical layers 2 per coordinate" in headmap.made_by
