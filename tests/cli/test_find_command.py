"""`glintbox heads find` as a user runs it: on collected answers alone, or with a regressor; what it keeps and says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from glintbox.analysis.importance import critical_layers, importance_file, load_importance
from glintbox.artifacts import HEADS_FILE, load_heads, load_separation, separation_file
from glintbox.cli.main import app
from glintbox.records import COORDS
from glintbox.regressor import RegressorCard, new_regressor, save_regressor
from glintbox.store import Store
from tests.learnable import COLS, ROWS, TELLING, a_store
from tests.sets import HEADS, SETTING


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("found") / "store")


@pytest.fixture
def regressor(tmp_path: Path) -> Path:
    """One that reads nothing but layer 2."""
    bundle = new_regressor(RegressorCard(SETTING, HEADS, ROWS, COLS))
    with torch.no_grad():
        for branch in bundle.network.branches:
            branch[0].weight[:, 0] = 0  # type: ignore[index]
    save_regressor(bundle, tmp_path / "regressor.safetensors")
    return tmp_path / "regressor.safetensors"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["heads", "find", *(str(word) for word in words)])


def test_by_labels_alone_the_telling_head_is_found_among_all(store: Store, tmp_path: Path) -> None:
    done = run(store.folder, "--n", 1, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    path = tmp_path / "out" / HEADS_FILE
    heads = load_heads(path)
    assert heads.heads == {coord: (TELLING,) for coord in COORDS}
    assert heads.made_by == "entropy difference by IoU labels, top 1 of 3 heads per coordinate"
    made = heads.calibration
    assert made is not None and made.data == "made up, 40 cases" and made.ids == store.ids
    assert made.sampling == store.card.sampling and made.acs_free is not None and made.acs_free > 0.9
    assert load_separation(separation_file(path)).heads == HEADS
    assert str(TELLING) in done.stdout and not importance_file(path).exists()
    assert f"head map written to {path}" in " ".join(done.stderr.split())


def test_by_regressor_the_heads_lie_in_its_critical_layers_and_both_ways_are_compared(
    store: Store, regressor: Path, tmp_path: Path
) -> None:
    done = run(store.folder, "--by", "regressor", "--regressor", regressor, "--n", 2, "--out", tmp_path / "h.json")
    assert done.exit_code == 0, done.stderr
    heads, gradient = load_heads(tmp_path / "h.json"), load_importance(importance_file(tmp_path / "h.json"))
    assert critical_layers(gradient).range == (2,) and gradient.candidates == 160
    assert all({head.layer for head in heads.heads[coord]} == {2} for coord in COORDS)
    assert f"top 2 of 2 heads of the critical layers 2 (regressor {gradient.regressor}) per" in heads.made_by
    printed = " ".join(done.stdout.split())
    for words in ("layers of the largest gradient: 2; critical: 2", "by gradient", "random choices share 1.33"):
        assert words in printed, printed


def test_all_heads_may_be_asked_for_with_a_regressor_too(store: Store, regressor: Path, tmp_path: Path) -> None:
    words = ("--by", "regressor", "--regressor", regressor, "--universe", "all", "--n", 3, "--out", tmp_path)
    done = run(store.folder, *words)
    assert done.exit_code == 0, done.stderr
    assert {head.layer for head in load_heads(tmp_path / HEADS_FILE).heads["x1"]} == {0, 2}
    assert load_importance(importance_file(tmp_path / HEADS_FILE)).candidates == 160


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--by", "label"), "Did you mean 'labels'"),
        (("--universe", "any"), "unknown universe 'any'"),
        (("--by", "regressor"), "expected --regressor FILE: critical layers"),
        (("--universe", "critical"), "expected --regressor FILE"),
        (("--n", 4), "expected 1 <= n <= 3"),
        (("--regressor", "none.safetensors"), "expected a regressor's card"),
    ],
)
def test_what_cannot_be_is_refused(store: Store, tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    refused = run(store.folder, *words, "--out", tmp_path)
    assert refused.exit_code == 2 and message in " ".join(refused.stderr.split()), refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_store_and_one_that_cannot_be_written_are_named(store: Store, tmp_path: Path) -> None:
    nothing = run(tmp_path, "--out", tmp_path)
    assert nothing.exit_code == 2 and "glintbox collect" in " ".join(nothing.stderr.split())
    (tmp_path / "file").write_text("")
    unwritten = run(store.folder, "--out", tmp_path / "file" / "heads.json")
    assert unwritten.exit_code == 2 and "expected a place for the head map" in " ".join(unwritten.stderr.split())
