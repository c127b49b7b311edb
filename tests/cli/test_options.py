"""Options that several commands read the same way."""

from pathlib import Path

import pytest

from glintbox.artifacts import save_heads
from glintbox.cli.options import grid_of, heads_among
from glintbox.errors import BadInput
from glintbox.records import COORDS, Head, HeadMap
from tests.sets import SETTING


def test_heads_by_names_layers_ranges_and_head_map(tmp_path: Path) -> None:
    kept = tuple(Head(layer, index) for layer in range(4) for index in range(2))
    assert heads_among("all", kept) == kept and heads_among("none", kept) == ()
    assert heads_among("L3H0, L1H1", kept) == (Head(1, 1), Head(3, 0)), "in the store's order"
    assert heads_among("L1-L2", kept) == kept[2:6]
    assert heads_among("L0,L3H1", kept) == (*kept[:2], Head(3, 1))
    save_heads(HeadMap(SETTING, "test", {coord: (Head(2, 1), Head(0, 0)) for coord in COORDS}), tmp_path / "map.json")
    assert heads_among(str(tmp_path / "map.json"), kept) == (Head(0, 0), Head(2, 1))
    with pytest.raises(BadInput, match="expected heads among L0H0 to L3H1, got L1H7"):
        heads_among("L1H7", kept)
    for words in ("", "L9", "layer 3", "L2-L1"):
        with pytest.raises(BadInput, match="expected --heads all, none, names like L14H3"):
            heads_among(words, kept)


def test_a_grid_is_rows_and_columns_or_each_pictures_own() -> None:
    assert grid_of("24x12") == (24, 12) and grid_of("native") is None
    for words in ("24", "0x4", "4x", "4 x 4", "", "-1x4"):
        with pytest.raises(BadInput, match="expected --grid native or rows x columns like 24x24, got"):
            grid_of(words)
