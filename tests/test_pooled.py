"""Larger cells in place of image tokens: benchmarks/pooling.py and what benchmarks/pooled.py makes of it."""

import pytest
import torch

from benchmarks.pooled import bound
from benchmarks.pooling import Pooled, means, pooled_maps, spread
from glintbox.boxes import Box
from glintbox.errors import BadContract, BadInput
from glintbox.geometry import TokenGrid
from glintbox.localize import read_texts
from glintbox.lvlm.hf import HuggingFaceLVLM
from tests.lvlm.tiny import picture, tiny_loaded


def test_means_and_sums_of_cells_by_hand() -> None:
    tokens = torch.arange(8.0)[:, None]  # 2 rows, 4 columns
    assert means(2, 4, 2, "small")(tokens).flatten().tolist() == [2.5, 4.5]
    assert means(2, 4, 2, "in place")(tokens).flatten().tolist() == [2.5, 2.5, 4.5, 4.5] * 2
    assert pooled_maps(tokens.reshape(1, 2, 4), 2).tolist() == [[[10.0, 18.0]]]


def test_spread_positions_are_means_of_those_of_the_larger_picture() -> None:
    image = torch.tensor([False, True, True, False])
    small = torch.tensor([[0, 1, 1, 3], [0, 1, 1, 3], [0, 1, 2, 3]])[:, None]  # a word, one row of two, a word
    # of 2 x 4 tokens: rows 1 and 2, columns 1 to 4, and the word behind at 5
    assert spread(small, image, 2)[:, 0].tolist() == [[0, 1, 1, 5], [0, 1.5, 1.5, 5], [0, 1.5, 3.5, 5]]


def test_the_best_rectangle_of_cells_bounds_every_reading() -> None:
    grid = TokenGrid(2, 4, Box(0, 0, 80, 40))
    assert bound(Box(20, 0, 60, 40), grid) == 1
    assert bound(Box(22, 2, 32, 12), grid) == pytest.approx(100 / 400)


@pytest.mark.parametrize("places", ["small", "spread", "in place"])
def test_a_model_sees_larger_cells_for_a_while_and_is_left_as_it_was(places: str) -> None:
    lvlm, shown = HuggingFaceLVLM(tiny_loaded("qwen3_vl")), picture(224, 112)
    plain = lvlm.prompt(shown, "the cup", id="", text="expression")
    [(_, before)] = read_texts(lvlm, [plain], None)
    pooled = Pooled(lvlm, 2, places)
    asked = pooled.prompt(shown, "the cup", id="", text="expression")
    [(_, maps)] = read_texts(pooled, [asked], None)
    rows, cols = (4, 8) if places == "in place" else (2, 4)
    assert before.shape[1:] == (4, 8) and maps.shape == (len(before), rows, cols)
    words = [prompt.ids[prompt.said.start : prompt.said.stop].tolist() for prompt in (plain, asked)]
    assert words[0] == words[1] and 0 < float(maps.sum((1, 2)).max()) <= 1
    assert not torch.allclose(pooled_maps(before, 2), maps if rows == 2 else pooled_maps(maps, 2), atol=1e-3)
    [(_, after)] = read_texts(lvlm, [plain], None)
    assert torch.equal(before, after)
    alone = Pooled(lvlm, 1, places)
    [(_, same)] = read_texts(alone, [alone.prompt(shown, "the cup", id="", text="expression")], None)
    assert torch.allclose(before, same, atol=1e-6)


def test_what_cannot_be_pooled_is_refused() -> None:
    lvlm = HuggingFaceLVLM(tiny_loaded("qwen3_vl"))
    with pytest.raises(BadInput, match="expected a grid that 3 divides, got 4 x 8; take another picture"):
        Pooled(lvlm, 3).prompt(picture(224, 112), "the cup", id="")
    with pytest.raises(BadInput, match="expected k >= 1 and places of small, spread, in place, got 0 and 'small'"):
        Pooled(lvlm, 0)
    with pytest.raises(BadContract, match="expected a tower that takes a grid of patches, got llava; use a Qwen-VL"):
        Pooled(HuggingFaceLVLM(tiny_loaded("llava")), 2)
