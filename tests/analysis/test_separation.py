"""Separation: groups by IoU as the paper draws them, means, variances, AUC of every head, layers, order in a case."""

import pytest
import torch

from glintbox.analysis.entropies import Entropies
from glintbox.analysis.separation import (
    GROUPS,
    LayerEntropies,
    groups,
    layer_entropies,
    separation,
    within_case,
)
from glintbox.errors import BadInput
from glintbox.predictions import rank_within
from glintbox.records import Head, from_json, to_json
from tests.sets import HEADS

FOUR = (Head(2, 0), Head(0, 1), Head(2, 3), Head(0, 0))
"""Two layers, in no order."""


def table(ious: list[float], entropy: torch.Tensor, case: list[int] | None = None) -> Entropies:
    """entropy: candidate coord=4 head."""
    heads = HEADS if entropy.shape[2] <= len(HEADS) else FOUR
    number = torch.tensor(case if case is not None else [0] * len(ious))
    return Entropies(heads[: entropy.shape[2]], entropy, torch.tensor(ious), number)


def some(count: int = 60, heads: int = 2) -> Entropies:
    """Cases of six candidates with any IoU; every fifth is 0."""
    generator = torch.Generator().manual_seed(0)
    ious = torch.rand(count, generator=generator)
    ious[::5] = 0
    return table(ious.tolist(), 3 + torch.rand(count, 4, heads, generator=generator), [k // 6 for k in range(count)])


def test_groups_part_the_candidates_and_are_bounded_as_the_paper_bounds_them() -> None:
    ious = torch.tensor([0.0, 1e-6, 0.29, 0.3, 0.31, 0.6, 0.61, 1.0])
    among = groups(ious)
    assert {group: where.nonzero()[:, 0].tolist() for group, where in among.items()} == {
        "high": [6, 7], "low": [1, 2, 3], "zero": [0],
    }  # fmt: skip
    every = groups(torch.rand(200), tau_high=0.4, tau_low=0.4)
    assert (torch.stack(list(every.values())).sum(0) == 1).all(), "without a gap every candidate is in one group"
    result = separation(table(ious.tolist(), torch.rand(8, 4, 2)))
    assert result.count == {"high": 2, "low": 3, "zero": 1} and result.unused == 2


def test_means_variances_effect_and_auc_are_those_of_the_groups() -> None:
    found = some()
    result = separation(found)
    among = groups(found.iou)
    high, low = (found.values[among[group]].double() for group in ("high", "low"))
    assert torch.allclose(result.delta, low.mean(0) - high.mean(0))
    assert torch.allclose(result.variance["high"], high.var(0, correction=0))
    pooled = (len(high) * high.var(0, correction=0) + len(low) * low.var(0, correction=0)) / (len(high) + len(low))
    assert torch.allclose(result.effect, result.delta / pooled.sqrt())
    assert result.heads == HEADS[:2]
    pairs = (low[:, None] > high[None]).double() + (low[:, None] == high[None]).double() / 2
    assert torch.allclose(result.auc, pairs.mean((0, 1)))


def test_delta_by_hand() -> None:
    entropy = torch.tensor([1.0, 2.0, 4.0, 9.0])[:, None, None] * torch.tensor([1.0, 2.0]).expand(1, 4, 2)
    result = separation(table([0.9, 0.7, 0.1, 0.0], entropy))
    assert result.delta.tolist() == [[2.5, 5.0]] * 4
    assert result.mean["zero"].tolist() == [[9.0, 18.0]] * 4


def test_auc_by_hand_with_ties_and_what_is_no_number() -> None:
    """Low 1 and 3, high 1 and 2: of four pairs two are won, one is lost, one is even."""
    entropy = torch.tensor([1.0, 2.0, 1.0, 3.0])[:, None, None].repeat(1, 4, 3)
    entropy[0, 2, 1] = torch.nan
    entropy[..., 2] *= -1
    auc = separation(table([0.9, 0.7, 0.1, 0.2], entropy)).auc
    assert auc[0].tolist() == [0.625, 0.625, 0.375]
    assert auc[2].isnan().tolist() == [False, True, False]


def test_an_empty_group_is_unknown() -> None:
    result = separation(table([0.9], torch.rand(1, 4, 2)))
    assert result.mean["low"].isnan().all() and result.delta.isnan().all() and result.auc.isnan().all()


def test_a_layer_is_the_mean_of_its_heads_and_its_spread_is_that_of_candidates() -> None:
    found = some(heads=4)
    result, by_head = layer_entropies(found), separation(found)
    assert result.layers == (0, 2) and result.count == by_head.count
    for group in GROUPS:
        assert torch.allclose(result.mean[group][:, 1], by_head.mean[group][:, [0, 2]].mean(1)), "L2H0 and L2H3"
        values = found.values[groups(found.iou)[group]][:, :, [1, 3]].double().mean(2)
        assert torch.allclose(result.spread[group][:, 0], values.std(0, correction=0))
    assert to_json(from_json(LayerEntropies, to_json(result))) == to_json(result)


def test_the_error_of_a_layer_counts_cases_not_candidates() -> None:
    """Where all candidates of a case are equal, ten of them tell as much as one."""
    one = some(60)
    alone = Entropies(one.heads, one.values, one.iou, torch.arange(60))
    again = Entropies(
        one.heads, one.values.repeat_interleave(10, 0), one.iou.repeat_interleave(10),
        torch.arange(60).repeat_interleave(10),
    )  # fmt: skip
    errors, same = layer_entropies(alone).error, layer_entropies(again).error
    spread, count = layer_entropies(alone).spread, layer_entropies(alone).count
    for group in GROUPS:
        assert torch.allclose(errors[group], same[group])
        assert torch.allclose(errors[group], spread[group] / count[group] ** 0.5)


def test_the_order_in_a_case_is_that_of_ranks_head_by_head() -> None:
    found = some(48, heads=3)
    result = within_case(found)
    assert result.cases == 8 and result.heads == HEADS
    for coord in range(4):
        for head in range(3):
            values = found.values[:, coord, head].numpy()
            expected = rank_within(values, found.iou.numpy(), found.case.numpy())
            assert result.rho[coord, head].item() == pytest.approx(expected)


def test_the_order_in_a_case_by_hand() -> None:
    """Case 0 sharper = better, 1 the other way round for one pair of three, 2 has nothing to order."""
    ious = [0.9, 0.5, 0.1, 0.9, 0.5, 0.1, 0.7, 0.7]
    entropy = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0, 3.0, 5.0, 1.0])[:, None, None].repeat(1, 4, 2)
    entropy[:, :, 1] = 4.0
    result = within_case(table(ious, entropy, [0, 0, 0, 1, 1, 1, 2, 2]))
    assert result.cases == 2
    assert result.rho[0].tolist() == pytest.approx([-0.75, 0.0]), "an even head says nothing"
    assert result.error[0, 0].item() == pytest.approx(0.25 / 2**0.5)


def test_a_monotone_change_of_entropies_changes_no_order() -> None:
    found = some(48)
    other = Entropies(found.heads, found.values.exp(), found.iou, found.case)
    assert torch.allclose(within_case(found).rho, within_case(other).rho)
    assert torch.allclose(separation(found).auc, separation(other).auc)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(BadInput, match=r"0 < tau_low <= tau_high < 1, got 0\.7 and 0\.6"):
        separation(some(), tau_low=0.7)
    with pytest.raises(BadInput, match=r"candidates in every IoU group, got .*'low': 0"):
        layer_entropies(table([0.9, 0.0], torch.rand(2, 4, 2)))
    with pytest.raises(BadInput, match="a case with candidates of different IoU, got none"):
        within_case(table([0.7, 0.7], torch.rand(2, 4, 2)))
