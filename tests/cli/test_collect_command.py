"""`glintbox collect` as a user runs it, on a tiny checkpoint: what is kept, resumed, shared out; every wrong word."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glintbox.artifacts import save_heads
from glintbox.boxes import iou
from glintbox.cli.main import app
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import Head, HeadMap, Sampling
from glintbox.store import Store
from tests.cli.told import POOR, TRUTH, dataset, tell
from tests.lvlm.tiny import tiny_checkpoint

COUNT = 4


@pytest.fixture(autouse=True)
def lvlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(HuggingFaceLVLM, "answer", HuggingFaceLVLM.answer)  # what a test makes it say ends with it
    tell()


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2_5_vl")


@pytest.fixture
def words(tmp_path: Path, qwen: Path) -> list[object]:
    """Four pictures of a cup, and the words that collect two answers to each."""
    data = dataset(tmp_path / "cups", COUNT)
    return [data, tmp_path / "store", "--images", data.parent, "--size", "any", "--model", qwen, "--n", 2]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["collect", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def lines(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_answers_are_kept_with_the_maps_of_all_heads_and_running_again_adds_nothing(
    tmp_path: Path, words: list[object]
) -> None:
    made = run(*words, "--seed", 3)
    assert made.exit_code == 0, made.stderr
    assert made.stdout == "" and "store holds 4 cases, 8 sampled boxes with maps of 12 heads" in told(made)
    store = Store(tmp_path / "store")
    assert store.ids == tuple(f"{k}-3" for k in range(COUNT))
    assert store.card.sampling == Sampling(n=2, temperature=1.0, seed=3, greedy_too=False)
    assert store.card.data.startswith("cups-") and store.card.data.endswith(", one object, size any")
    assert store.card.heads[:2] == (Head(0, 0), Head(0, 1)) and store.card.rows is None
    assert store.rows.iou.tolist() == pytest.approx([1, iou(TRUTH, POOR)] * COUNT)
    assert store.batch(np.arange(8)).shape == (8, 4, 12, 3, 5)
    before = lines(tmp_path / "store")
    again = run(*words, "--seed", 3)
    assert again.exit_code == 0 and "4 of 4 cases are there already" in told(again)
    assert lines(tmp_path / "store") == before


def test_parts_fill_one_store_and_a_limit_may_grow(tmp_path: Path, words: list[object]) -> None:
    assert run(*words, "--limit", 1).exit_code == 0
    for shard in ("2/2", "1/2"):
        part = run(*words, "--shard", shard)
        assert part.exit_code == 0 and "2 of the cases are those asked for" in told(part), told(part)
    assert len(Store(tmp_path / "store")) == COUNT
    assert len(list((tmp_path / "store").glob("*.bin"))) == 3
    whole = tmp_path / "whole"
    assert run(words[0], whole, *words[2:]).exit_code == 0
    one, other = Store(whole), Store(tmp_path / "store")
    assert [one[k].sample for k in range(COUNT)] == [other[k].sample for k in range(COUNT)]
    assert bool((one.batch(np.arange(8)) == other.batch(np.arange(8))).all())


def test_some_heads_on_a_grid_by_name_or_by_a_head_map(tmp_path: Path, words: list[object]) -> None:
    assert run(*words, "--heads", "L1H2, L0H3", "--grid", "4x7").exit_code == 0
    store = Store(tmp_path / "store")
    assert store.card.heads == (Head(0, 3), Head(1, 2)) and store.grid(0) == (4, 7)
    found = HeadMap(store.card.setting, "by hand", {"x1": (Head(1, 2),), "y2": (Head(1, 2), Head(0, 3))})
    save_heads(found, tmp_path / "heads.json")
    again = run(*words, "--heads", tmp_path / "heads.json", "--grid", "4x7")
    assert again.exit_code == 0 and "4 of 4 cases are there already" in told(again)
    none = run(words[0], tmp_path / "none", *words[2:], "--heads", "none")
    assert none.exit_code == 0 and "8 sampled boxes with no maps" in told(none)
    assert Store(tmp_path / "none")[0].found.stats is not None


def test_a_store_that_was_cut_is_made_whole(tmp_path: Path, words: list[object]) -> None:
    assert run(*words).exit_code == 0
    [shard] = (tmp_path / "store").glob("*.bin")
    shard.write_bytes(shard.read_bytes()[:-1])
    again = run(*words)
    assert again.exit_code == 0 and "3 of 4 cases are there already" in told(again)
    assert "1 cases are cut off in" in told(again)
    assert len(Store(tmp_path / "store")) == COUNT and Store(tmp_path / "store").cut == ()


def test_settings_do_not_mix(tmp_path: Path, words: list[object]) -> None:
    assert run(*words).exit_code == 0
    for more, message in (
        (["--temperature", 0.5], "temperature: there 1.0, now 0.5"),
        (["--n", 3], "n: there 2, now 3"),
        (["--heads", "none"], "heads: there 12 of them, now 0 of them"),
        (["--grid", "24x24"], "rows: there None, now 24"),
        (["--size", "large"], "one object, size any', now 'cups-"),
        (["--one-per-image"], "one case per picture"),
    ):
        refused = run(*words, *more)
        assert refused.exit_code == 2 and "holds answers of another setting or sampling" in told(refused)
        assert message in told(refused), told(refused)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--heads", "L9"], "expected --heads all, none, names like L14H3, layers that are there like L14 or L14-L21"),
        (["--heads", "L9H9"], "expected heads among L0H0 to L2H3, got L9H9"),
        (["--grid", "24"], "expected --grid native or rows x columns like 24x24, got '24'"),
        (["--grid", "0x24"], "got '0x24'"),
        (["--shard", "3/2"], "expected a shard like 1/2 or 2/2, got '3/2'"),
        (["--n", 0], "expected n >= 1"),
        (["--multiple"], "expected pictures with two or more objects of a category"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told_and_leaves_nothing(
    tmp_path: Path, words: list[object], more: list[object], message: str
) -> None:
    refused = run(*words, *more)
    assert refused.exit_code == 2 and message in told(refused), told(refused)
    assert not (tmp_path / "store").exists()
