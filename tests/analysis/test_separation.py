"""Separation: groups by IoU as the paper draws them, means, variances and AUC of every head."""

from dataclasses import replace

import pytest
import torch

from glintbox.analysis.separation import label, separation
from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.records import HeadStats, Labelled
from tests.sets import HEADS, a_set, with_entropy

BOX = (0, 0, 10, 10)


def labelled(ious: list[float], entropy: torch.Tensor, *, greedy: bool = False) -> Labelled:
    """One response per IoU; entropy: candidate coord=4 head."""
    boxes = [[BOX] for _ in ious]
    found = a_set(*boxes[1:], greedy=boxes[0]) if greedy else a_set(*boxes)
    return Labelled(with_entropy(found, entropy), torch.tensor(ious))


def test_a_label_is_the_best_iou_with_any_true_box_greedy_included() -> None:
    found = a_set([BOX, (50, 0, 60, 30)], [(0, 0, 10, 8)], greedy=[(0, 0, 10, 5)])
    case = label(found, [Box(*BOX), Box(50, 0, 60, 15), Box(80, 40, 90, 60)])
    assert case.iou.tolist() == pytest.approx([0.5, 1, 0.5, 0.8])
    assert label(found, []).iou.tolist() == [0] * 4
    assert case.found is found


def test_groups_are_bounded_as_the_paper_bounds_them() -> None:
    ious = [0.0, 1e-6, 0.29, 0.3, 0.31, 0.6, 0.61, 1.0]
    result = separation([labelled(ious, torch.rand(8, 4, 2))])
    assert result.count == {"high": 2, "low": 3, "zero": 1} and result.unused == 2


def test_it_does_not_matter_how_candidates_lie_in_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    ious = torch.rand(60, generator=generator)
    entropy = 3 + torch.rand(60, 4, 2, generator=generator)
    cases = [labelled(ious[k : k + 6].tolist(), entropy[k : k + 6]) for k in range(0, 60, 6)]
    result = separation(iter(cases))
    high, low = entropy[ious > 0.6].double(), entropy[(ious > 0) & (ious <= 0.3)].double()
    assert torch.allclose(result.delta, low.mean(0) - high.mean(0))
    assert torch.allclose(result.variance["high"], high.var(0, correction=0))
    pooled = (len(high) * high.var(0, correction=0) + len(low) * low.var(0, correction=0)) / (len(high) + len(low))
    assert torch.allclose(result.effect, result.delta / pooled.sqrt())
    assert result.heads == HEADS[:2]
    pairs = (low[:, None] > high[None]).double() + (low[:, None] == high[None]).double() / 2
    assert torch.allclose(result.auc, pairs.mean((0, 1)))


def test_delta_by_hand() -> None:
    entropy = torch.tensor([1.0, 2.0, 4.0, 9.0])[:, None, None] * torch.tensor([1.0, 2.0]).expand(1, 4, 2)
    result = separation([labelled([0.9, 0.7, 0.1, 0.0], entropy)])
    assert result.delta.tolist() == [[2.5, 5.0]] * 4
    assert result.mean["zero"].tolist() == [[9.0, 18.0]] * 4


def test_auc_by_hand_with_ties_and_what_is_no_number() -> None:
    """Low 1 and 3, high 1 and 2: of four pairs two are won, one is lost, one is even."""
    entropy = torch.tensor([1.0, 2.0, 1.0, 3.0])[:, None, None].repeat(1, 4, 3)
    entropy[0, 2, 1] = torch.nan
    entropy[..., 2] *= -1
    auc = separation([labelled([0.9, 0.7, 0.1, 0.2], entropy)]).auc
    assert auc[0].tolist() == [0.625, 0.625, 0.375]
    assert auc[2].isnan().tolist() == [False, True, False]


def test_greedy_and_candidates_without_tokens_do_not_count() -> None:
    case = labelled([0.9, 0.8, 0.7], torch.rand(3, 4, 2), greedy=True)
    assert separation([case]).count["high"] == 2
    candidates = (*case.found.candidates[:2], replace(case.found.candidates[2], tokens=None))
    assert separation([replace(case, found=replace(case.found, candidates=candidates))]).count["high"] == 1


def test_an_empty_group_is_unknown() -> None:
    result = separation([labelled([0.9], torch.rand(1, 4, 2))])
    assert result.mean["low"].isnan().all() and result.delta.isnan().all() and result.auc.isnan().all()


def test_what_cannot_be_compared_is_refused() -> None:
    case = labelled([0.9], torch.rand(1, 4, 2))
    with pytest.raises(BadInput, match="at least one labelled set, got none"):
        separation([])
    with pytest.raises(BadInput, match="expected attention statistics in 'a', got none"):
        separation([replace(case, found=replace(case.found, stats=None))])
    other = replace(case.found, stats=HeadStats(HEADS[1:], torch.rand(1, 4, 2), torch.rand(1, 4, 2)))
    with pytest.raises(BadInput, match="same heads read in every set, got others in 'a'"):
        separation([case, replace(case, found=other)])
    with pytest.raises(BadInput, match="one label per candidate of 'a', got 2 for 1"):
        separation([replace(case, iou=torch.tensor([0.9, 0.1]))])
    with pytest.raises(BadInput, match=r"0 < tau_low <= tau_high < 1, got 0\.7 and 0\.6"):
        separation([case], tau_low=0.7)
