"""The table of entropies: which candidates stand in it, on which grid, and how grids of different size are compared."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glintbox.analysis.entropies import Entropies, entropies, entropies_on, native_cells, normalised
from glintbox.errors import BadInput
from glintbox.maps import entropy, resample
from glintbox.records import CandidateSet, HeadStats, Labelled, Sample
from glintbox.store import Store, StoreCard, StoreWriter
from tests.sets import HEADS, IMAGE, SETTING, a_set, with_entropy, with_maps

BOX = (0, 0, 10, 10)


def labelled(ious: list[float], values: torch.Tensor, *, greedy: bool = False) -> Labelled:
    """One response per IoU; values: candidate coord=4 head."""
    boxes = [[BOX] for _ in ious]
    found = a_set(*boxes[1:], greedy=boxes[0]) if greedy else a_set(*boxes)
    return Labelled(with_entropy(found, values), torch.tensor(ious))


def kept(folder: Path, grids: Sequence[tuple[int, int]], *, card: StoreCard | None = None) -> Store:
    """Two candidates per case, with their entropies, on a grid of each case's own; the last case has no box."""
    generator = torch.Generator().manual_seed(0)
    found: list[CandidateSet] = []
    for k, grid in enumerate(grids):
        maps = torch.rand(2, 4, len(HEADS), *grid, generator=generator) ** 3 / 50
        found.append(with_entropy(with_maps(a_set([BOX], [BOX], id=f"{k}"), maps), entropy(maps)))
    found.append(with_entropy(a_set([], [], id=str(len(grids))), torch.zeros(0, 4, len(HEADS))))
    with StoreWriter(folder, card or StoreCard(SETTING, found[0].sampling, "made up", HEADS)) as writer:
        for one in found:
            writer.add(Sample(one.id, Path("a.png"), IMAGE, "cup", ()), one)
    return Store(folder)


def test_every_sampled_candidate_with_known_tokens_is_one_row_with_its_case() -> None:
    first, second = torch.rand(3, 4, 2), torch.rand(2, 4, 2)
    with_greedy, other = labelled([0.9, 0.8, 0.7], first, greedy=True), labelled([0.1, 0.2], second)
    candidates = (*with_greedy.found.candidates[:2], replace(with_greedy.found.candidates[2], tokens=None))
    with_greedy = replace(with_greedy, found=replace(with_greedy.found, candidates=candidates))
    found = entropies([with_greedy, other])
    assert torch.equal(found.values, torch.cat([first[1:2], second])) and found.heads == HEADS[:2]
    assert found.iou.tolist() == pytest.approx([0.8, 0.1, 0.2]) and found.case.tolist() == [0, 1, 1]


def test_sets_that_make_no_table_are_refused() -> None:
    case = labelled([0.9], torch.rand(1, 4, 2))
    with pytest.raises(BadInput, match="at least one labelled set, got none"):
        entropies([])
    with pytest.raises(BadInput, match="expected attention statistics in 'a', got none"):
        entropies([replace(case, found=replace(case.found, stats=None))])
    other = replace(case.found, stats=HeadStats(HEADS[1:], torch.rand(1, 4, 2), torch.rand(1, 4, 2)))
    with pytest.raises(BadInput, match="same heads read in every set, got others in 'a'"):
        entropies([case, replace(case, found=other)])
    with pytest.raises(BadInput, match="one label per candidate of 'a', got 2 for 1"):
        entropies([replace(case, iou=torch.tensor([0.9, 0.1]))])


def test_on_a_common_grid_it_is_the_entropy_of_the_resampled_maps(tmp_path: Path) -> None:
    store, ticks = kept(tmp_path, [(3, 5), (4, 6)]), [0]
    found = entropies_on(store, (4, 6), heads=HEADS[1:], tick=lambda done: ticks.append(ticks[-1] + done))
    assert found.heads == HEADS[1:] and found.case.tolist() == [0, 0, 1, 1] and ticks[-1] == 4
    assert torch.allclose(found.values[2:], entropies(store.labelled()).values[2:, :, 1:], atol=1e-4), "its own grid"
    maps = store.with_maps(0).maps
    assert maps is not None
    assert torch.allclose(found.values[:2], entropy(resample(maps.values, 4, 6))[:, :, 1:], atol=1e-6)


def test_relative_to_the_even_map_grids_can_be_compared(tmp_path: Path) -> None:
    store = kept(tmp_path, [(3, 5), (4, 6)])
    assert native_cells(store) == (15, 24, 2)
    even = torch.tensor([math.log(15), math.log(24)]).repeat_interleave(2)[:, None, None].expand(4, 4, 3)
    found = replace(entropies(store.labelled()), values=even)
    assert torch.allclose(normalised(found, native_cells(store)).values, torch.ones(4, 4, 3))


def test_a_store_that_forgot_the_native_grid_is_refused(tmp_path: Path) -> None:
    sampling = a_set([BOX], [BOX]).sampling
    resampled = kept(tmp_path / "a", [(3, 5)], card=StoreCard(SETTING, sampling, "made up", HEADS, 4, 6))
    with pytest.raises(BadInput, match=r"own grids in .*, got resampled ones; collect with --grid native"):
        native_cells(resampled)
    bare = kept(tmp_path / "b", [(3, 5)], card=StoreCard(SETTING, sampling, "made up", ()))
    with pytest.raises(BadInput, match="got none; collect"):
        native_cells(bare)
    table = Entropies(HEADS, torch.rand(2, 4, 3), torch.rand(2), torch.tensor([0, 1]))
    for cells in ((15,), (15, 1)):
        with pytest.raises(BadInput, match="at least 2 cells for each case"):
            normalised(table, cells)
