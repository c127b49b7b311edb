"""Critical layers and head maps come from the learning answers and are found again."""

from pathlib import Path

import pytest

from glintbox.lvlm.scripted import SHARP
from glintbox.records import COORDS
from glintbox.reproduce import heads
from glintbox.reproduce.bench import Bench
from tests.reproduce.made import bench


def test_gradients_are_computed_once(made: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = heads.gradient(made)
    assert found.of == "loss" and heads.gradient(made, of="output").of == "output"
    monkeypatch.setattr(heads, "importance", None)
    assert heads.gradient(bench(folder, made.work.parent.parent)).values.equal(found.values)


def test_heads_are_those_of_the_universe(made: Bench) -> None:
    critical = heads.layers(made)
    inside = heads.head_map(made)
    assert {head.layer for coord in COORDS for head in inside.heads[coord]} <= set(critical.range)
    top = heads.heads_among(made, "top")
    assert top is not None and {head.layer for head in top} == set(critical.top)
    assert heads.heads_among(made, "all") is None
    every = heads.head_map(made, universe="all", n=4)
    assert all(set(every.heads[coord]) == set(SHARP) for coord in COORDS), "the heads that look at what is true"
    assert every.calibration is not None and "4 cases" in every.calibration.data and "(all)" in every.made_by
