"""Answers are drawn once, by whoever asks first or by shards, and found again without the model."""

from pathlib import Path

import pytest

from glintbox.errors import BadInput
from glintbox.lvlm.api import LVLM
from glintbox.reproduce.bench import keep
from glintbox.reproduce.plan import Need
from tests.reproduce.made import Canned, bench

NEED = Need("report", 0.7)


def refuse() -> LVLM:
    raise AssertionError("the model is not needed")


def test_answers_are_drawn_once_and_found_without_the_model(folder: Path, tmp_path: Path) -> None:
    lvlm = Canned(folder)
    first = bench(folder, tmp_path, load=lambda: lvlm)
    store = first.store(NEED)
    assert len(store) == 3 and lvlm.asked == 3 * 3 and first.store(NEED) is store
    assert len(first.store(NEED._replace(temperature=0.5))) == 3 and lvlm.asked == 3 * 3  # drawn with the others
    assert store.card.heads == lvlm.card.all_heads() and store.card.sampling.greedy_too
    again = bench(folder, tmp_path, load=refuse)
    assert again.store(NEED).ids == store.ids
    assert again.work.parent.parent == tmp_path and again.work.name.endswith("-tiny")


def test_shards_fill_one_folder(folder: Path, tmp_path: Path) -> None:
    lvlm = Canned(folder)
    for shard, asked in (("1/2", 1), ("2/2", 3), ("2/2", 3)):
        bench(folder, tmp_path, load=lambda: lvlm).collect([NEED], shard=shard)
        assert lvlm.asked == asked
    assert len(bench(folder, tmp_path, load=lambda: lvlm).store(NEED)) == 3
    with pytest.raises(BadInput, match="expected a shard like 1/2"):
        bench(folder, tmp_path, load=refuse).collect([NEED], shard="3/2")


def test_another_moment_and_what_is_learned_from_have_cards_of_their_own(folder: Path, tmp_path: Path) -> None:
    made = bench(folder, tmp_path)
    other = made.store(Need("learn-quarter", 1.0, moment="predicted"))
    assert other.card.setting.moment == "predicted" and not other.card.sampling.greedy_too
    assert other.folder != made.folder(Need("learn-quarter", 1.0))


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    keep(tmp_path / "a" / "b.json", b"1")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"1"
    with pytest.raises(BadInput, match=r"could not keep .*c\.json.*make room and run again"):
        keep(tmp_path / "a" / "b.json" / "c.json", b"1")


def test_the_first_answers_of_all_are_all(folder: Path, tmp_path: Path) -> None:
    made = bench(folder, tmp_path)
    assert made.first(NEED, 10) is made.store(NEED)
    cut = made.first(NEED, 2)
    assert cut is made.first(NEED, 2) and len(cut.rows.iou) < len(made.store(NEED).rows.iou)
