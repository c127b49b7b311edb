"""Heads that look at the object are found, by the rules of the paper and by their variants."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glintbox.errors import BadInput
from glintbox.finding import (
    Table,
    counted,
    drawn,
    greedy,
    head_ious,
    over_draws,
    over_samples,
    ranked,
    select,
    shared,
    spearman,
    table,
    top,
)
from glintbox.maps import elbow
from glintbox.records import Head, HeadMap, Search, Selection, from_json, to_json
from glintbox.text_stats import HeadNumbers
from tests.text_cases import GOOD, HEADS, SETTING, STRAY, WIDE, a_table, kept

SEARCH = Search(samples=6, draws=3, best=1, k=1)


def selection(found: HeadMap) -> Selection:
    assert found.selection is not None
    return found.selection


def selected(found: Table, search: Search) -> HeadMap:
    return select(found, search, setting=SETTING, data="made up", pool=len(found.ids))


def random_table(seed: int, cases: int = 9, heads: int = 7) -> Table:
    draw = torch.Generator().manual_seed(seed)
    share, entropy, bottom, iou = torch.rand(4, cases, heads, generator=draw)
    entropy = torch.where(torch.rand(cases, heads, generator=draw) < 0.1, torch.inf, (4 * entropy).round() / 4)
    known = tuple(Head(1 + k // 2, k % 2) for k in range(heads))
    return Table(known, tuple(f"{k}-0" for k in range(cases)), share, entropy, bottom, iou, iou[:, 0] / 2)


searches = st.builds(
    Search,
    samples=st.integers(1, 9),
    draws=st.integers(1, 3),
    best=st.integers(1, 8),
    k=st.just(1),
    criteria=st.sampled_from(["both", "sum", "entropy"]),
    tau=st.sampled_from(["chord", "curvature", 0.0, 0.3]),
    each=st.booleans(),
    bottom=st.sampled_from([None, 0.05, 0.7]),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), search=searches)
def test_laws_of_what_counts(seed: int, search: Search) -> None:
    found = random_table(seed)
    counts, candidates, tau = counted(found, search)
    assert 0 <= tau <= 1
    assert (counts.sum(1) == candidates.sum(1).clamp(max=search.best)).all()
    assert not (counts & ~candidates).any()
    assert not candidates[:, :2].any(), "layers 0 and 1 are none"
    if search.criteria != "sum":
        assert not candidates[found.entropy.isinf()].any(), "a map in which nothing stands out"
    if search.bottom is not None:
        assert not candidates[found.bottom > search.bottom].any()
    key = found.share.neg() if search.criteria == "sum" else found.entropy
    left_out = torch.where(candidates & ~counts, key, torch.inf).amin(1)
    assert (torch.where(counts, key, -torch.inf).amax(1) <= left_out).all(), "the best count"
    order = ranked(found, search)
    assert (order.sort(-1).values == torch.arange(7)).all()
    assert (counts.gather(1, order)[:, : search.best].sum(1) == counts.sum(1)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), search=searches)
def test_laws_of_a_selection(seed: int, search: Search) -> None:
    found = random_table(seed)
    assume(counted(found, replace(search, samples=9)).counts.any(0).sum() > 0)
    try:
        head_map = selected(found, search)
    except BadInput as error:
        assert "expected at least 1 heads that look" in str(error)
        return
    made = selection(head_map)
    assert len(made.taus) == search.draws
    assert all(0.01 <= value <= 1 for value in made.frequency) and sum(made.frequency) <= search.best + 1e-9
    assert list(made.frequency) == sorted(made.frequency, reverse=True)
    assert head_map.heads["text"] == made.heads[:1]
    if search.draws == 1 or search.samples == 9:
        assert set(made.spread) == {0.0}
    assert from_json(HeadMap, to_json(head_map)) == head_map
    backwards = Table(found.heads, found.ids[::-1], *(part.flip(0) for part in found[2:]))
    assert selection(selected(backwards, search)).heads == made.heads, "the order of the cases says nothing"


@given(ids=st.sets(st.text("abc123", min_size=1), min_size=4, max_size=20), draws=st.integers(1, 3))
def test_the_union_of_the_draws_draws_the_same(ids: set[str], draws: int) -> None:
    search = Search(samples=3, draws=draws)
    found = drawn(sorted(ids), search)
    union = sorted({id for one in found for id in one})
    assert drawn(union, search) == found


def test_by_hand() -> None:
    share = [[0.1, 0.8, 0.5, 0.6, 0.7], [0.1, 0.6, 0.7, 0.4, 0.7]]
    entropy = [[0.0, 0.9, 0.2, 0.0, 0.2], [0.0, 0.0, torch.inf, 0.0, 0.0]]
    heads = [Head(2, 0), Head(2, 1), Head(2, 2), Head(3, 0), Head(1, 1)]
    found = a_table(share, entropy, heads)
    counts, candidates, tau = counted(found, Search(best=1))
    assert tau == pytest.approx(elbow(torch.tensor([0.1, 0.7, 0.6, 0.5, 0.7]))) == pytest.approx(0.5)
    assert candidates.tolist() == [[False, True, True, True, False], [False, True, False, True, False]]
    assert counts.int().tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], "of equal entropies that of the larger sum"
    own = counted(found, Search(best=1, tau=0.5, each=True)).candidates
    assert own.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]
    assert counted(found, Search(best=1, criteria="sum")).counts.int().tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    alone = counted(found, Search(best=2, criteria="entropy")).counts.int().tolist()
    assert alone == [[1, 0, 0, 1, 0], [0, 1, 0, 1, 0]], "whatever the sums"
    low = found._replace(bottom=torch.tensor([[0, 0, 0, 0.06, 0], [0, 0.05, 0, 0, 0]]))
    assert counted(low, Search(best=1, bottom=0.05)).counts.int().tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


def test_greedy_is_what_counts_first_in_a_case_alone() -> None:
    found = random_table(3)
    for case in range(9):
        numbers = HeadNumbers(*(part[case] for part in found[2:6]))
        chosen = greedy(numbers, found.heads, Search(k=2, each=True))
        one = found.of([found.ids[case]])
        counts = counted(one, Search(best=2, each=True)).counts[0]
        assert set(chosen) == {head for head, counts_here in zip(found.heads, counts, strict=True) if counts_here}
    assert greedy(numbers, found.heads, Search(tau=1.0)) == (), "no head looks at the picture alone"


def test_the_head_that_localizes_is_found_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    found = table(kept(tmp_path, range(12)))
    head_map = selected(found, SEARCH)
    made = selection(head_map)
    assert head_map.heads == {"text": (GOOD,)} and head_map.setting == SETTING
    assert head_map.made_by == "selection frequency of attention sum and spatial entropy, top 1 of 6 heads"
    assert (made.data, made.pool, made.search) == ("made up", 12, SEARCH)
    assert made.heads == (GOOD,) and made.frequency == (1.0,) and made.spread == (0.0,)
    assert made.iou == pytest.approx((1.0,)) and made.rho is None and made.warnings == ()
    iou = head_ious(found)
    assert iou is not None and iou.argmax() == HEADS.index(GOOD)
    assert WIDE in selection(selected(found, replace(SEARCH, best=3))).heads
    assert selected(found, replace(SEARCH, criteria="sum")).heads["text"] == (WIDE,)
    assert selected(found, replace(SEARCH, criteria="entropy", best=2, k=2)).heads["text"] == (GOOD, STRAY)


def test_frequency_is_the_mean_over_draws_and_spread_their_deviation() -> None:
    entropy = [[0.0, 1.0]] * 5 + [[1.0, 0.0]] * 5
    found = a_table([[0.5, 0.5]] * 10, entropy)
    search = Search(samples=4, draws=5, best=1, k=2, tau=0.1)
    each = [sum(int(id.split("-")[0]) < 5 for id in ids) / 4 for ids in drawn(found.ids, search)]
    made = selection(selected(found, search))
    mean = sum(each) / 5
    assert len(set(each)) > 1
    assert dict(zip(made.heads, made.frequency, strict=True))[Head(2, 0)] == pytest.approx(mean)
    assert made.spread == pytest.approx([(sum((one - mean) ** 2 for one in each) / 5) ** 0.5] * 2)


def test_frequency_and_iou_go_together_where_they_do() -> None:
    assert spearman((0.9, 0.5, 0.1), (0.8, 0.3, 0.2)) == pytest.approx(1)
    assert spearman((0.9, 0.5, 0.1), (0.1, 0.3, 0.8)) == pytest.approx(-1)
    assert spearman((0.9, 0.5), (0.8, 0.3)) is None and spearman((0.5, 0.5, 0.5), (1, 2, 3)) is None
    entropy = [[0.0, 0.1, 0.2, 0.9], [0.0, 0.1, 0.2, 0.9], [0.0, 0.3, 0.1, 0.4], [0.0, 0.3, 0.4, 0.1]]
    found = a_table([[0.5] * 4] * 4, entropy)._replace(iou=torch.tensor([[0.9, 0.4, 0.2, 0.1]] * 4))
    made = selection(selected(found, Search(samples=4, draws=1, best=2, k=1, tau=0.1)))
    assert made.heads == tuple(Head(2, k) for k in range(4)) and made.frequency == (1, 0.5, 0.25, 0.25)
    assert made.rho == pytest.approx(spearman(made.frequency, (0.9, 0.4, 0.2, 0.1)))
    assert made.iou == pytest.approx((0.9, 0.4, 0.2, 0.1))
    blind = found._replace(iou=torch.full((4, 4), torch.nan))
    assert head_ious(blind) is None
    assert selection(selected(blind, Search(samples=4, best=2, tau=0.1))).iou is None


def test_what_is_odd_is_warned_of() -> None:
    search = Search(samples=30, draws=2, best=1, k=1, tau=0.1)
    entropy = torch.full((30, 15), 2.0)
    for case in range(30):
        entropy[case, case % 15] = 1.9
    found = a_table([[0.5] * 15] * 30, entropy.tolist())
    told = selection(selected(found, search)).warnings
    assert len(told) == 3
    assert told[0].startswith("every draw is the whole pool")
    assert told[1].startswith("no head counts in 10% of the cases (most: 6.7%)")
    assert "median spatial entropy above 0.8 (least: 2.00)" in told[2]
    focused = found._replace(entropy=torch.where(torch.arange(15) == 3, 0.1, found.entropy))
    assert len(selection(selected(focused, replace(search, draws=1))).warnings) == 0


def test_heads_that_overlap_the_truth_no_more_than_chance_are_warned_of(tmp_path: Path) -> None:
    table_of_truth = table(kept(tmp_path, range(12)))
    assert table_of_truth.true.tolist() == pytest.approx([4 / 24] * 12), "two by two of 24 cells"
    stray = replace(SEARCH, criteria="entropy", best=2, k=2)
    assert selection(selected(table_of_truth, stray)).warnings == ()
    search = Search(samples=4, draws=1, best=2, k=2, tau=0.1)
    found = a_table([[0.5] * 3] * 4, [[0.0, 0.1, 0.9]] * 4)._replace(true=torch.tensor([0.1, 0.1, 0.3, torch.nan]))
    masked = torch.tensor([True, True, True, False])
    for ious, warned in (((0.1, 0.2, 0.9), True), ((0.2, 0.14, 0.0), False)):
        iou = torch.where(masked[:, None], torch.tensor([ious] * 4), torch.nan)
        told = selection(selected(found._replace(iou=iou), search)).warnings
        assert len(told) == warned
    told = selection(selected(found._replace(iou=torch.full((4, 3), 0.1)), search)).warnings
    assert told[0].startswith("the heads that count most often have a mean IoU of 0.100 with the true masks, the whole")
    assert "picture has 0.167: they do not look at what is meant" in told[0]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (Search(samples=3), "expected at least the 3 cases of a draw, got 2; draw fewer with --samples"),
        (Search(samples=2, k=4), r"expected at least 4 heads that look at the picture .* got 3 in layers 2 and up"),
        (Search(samples=2, k=1, tau=0.9), r"got 0 in layers 2 and up; lower tau or k"),
    ],
)
def test_what_cannot_be_found_is_told(search: Search, message: str) -> None:
    found = a_table([[0.5] * 3] * 2, [[0.1, 0.2, 0.3]] * 2)
    with pytest.raises(BadInput, match=message):
        selected(found, search)


def test_rules_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="of at least 1, got 1000, 0, 10 and 3"):
        Search(draws=0)
    with pytest.raises(BadInput, match=r"expected tau as a share of attention in \[0, 1\], chord or curvature, got 24"):
        Search(tau=24)
    with pytest.raises(BadInput, match="expected cases in"):
        table(kept(tmp_path, ()))


def test_stability_is_how_many_heads_stay() -> None:
    share, entropy = [[0.5, 0.5, 0.5]] * 8, [[0.0, 0.1, 0.9]] * 8
    found = a_table(share, entropy)
    search = Search(samples=3, draws=4, best=1, k=1, tau=0.1)
    assert shared(HEADS[:3], HEADS[1:5]) == 2
    assert top(found, search) == (Head(2, 0),)
    assert over_draws(found, search) == 1 and over_samples(found, search, (1, 4, 8)) == {1: 1, 4: 1, 8: 1}
    halves = a_table(share, [[0.0, 0.1, 0.9]] * 5 + [[0.9, 0.1, 0.0]] * 3)
    single = replace(search, samples=1, draws=12)
    tops = [int(id.split("-")[0]) < 5 for [id] in drawn(halves.ids, single)]
    assert 0 < sum(tops) < 12 and over_samples(halves, single, (1,))[1] == pytest.approx(sum(tops) / 12)
    alike = sum(one == other for k, one in enumerate(tops) for other in tops[:k])
    assert over_draws(halves, single) == pytest.approx(alike / 66)
    with pytest.raises(BadInput, match="expected at least 2 draws"):
        over_draws(found, replace(search, draws=1))
