"""`glintbox train` as a user runs it: what it leaves, what it prints, what it refuses; stopped and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from glintbox.artifacts import REGRESSOR_FILE, cache_folder
from glintbox.checkpoints import FILE
from glintbox.cli.main import app
from glintbox.cli.train import RESULT
from glintbox.records import Head
from glintbox.regressor import load_regressor
from glintbox.store import Store
from tests.learnable import COLS, ROWS, a_store
from tests.sets import HEADS, SETTING

QUICK = ("--epochs", 2, "--batch", 32, "--rate", 0.003)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("command") / "store")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_it_leaves_a_regressor_with_card_numbers_and_pictures(store: Store, tmp_path: Path) -> None:
    done = run(store.folder, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md", RESULT, "training.png", "reliability.png", FILE}
    card = load_regressor(tmp_path / "out").card
    assert (card.heads, card.rows, card.cols) == (HEADS, ROWS, COLS)
    found = json.loads((tmp_path / "out" / RESULT).read_text())
    assert [epoch["number"] for epoch in found["history"]] == [1, 2]
    assert found["card"]["training"]["recipe"]["rate"] == 0.003
    assert found["reliability"]["quality"] == list(card.training.quality) if card.training else False
    printed = " ".join(done.stdout.split())
    for words in ("acs-learned", "consensus", "box area", "rank within", "144 candidates of 36 pairs", "auto takes"):
        assert words in printed, words


def test_options_reach_the_card(store: Store, tmp_path: Path) -> None:
    done = run(
        store.folder, "-o", tmp_path / "out", *QUICK, "--heads", "L2", "--grid", "5x7", "--pairs", "1/4", "--seed", 4,
        "--order", "bn_relu", "--dropout", 0.1, "--input-scale", "none", "--precision", "bfloat16", "--memory", 0,
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    card = load_regressor(tmp_path / "out").card
    assert card.heads == (Head(2, 0), Head(2, 3)) and (card.rows, card.cols) == (5, 7)
    assert (card.order, card.dropout, card.input_scale) == ("bn_relu", 0.1, "none")
    assert card.training is not None
    recipe = card.training.recipe
    assert (recipe.pairs, recipe.seed, recipe.precision, recipe.batch) == (9, 4, "bfloat16", 32)
    assert card.training.trained_on.pairs == 9
    assert json.loads(done.stdout)["card"]["training"]["held_out"] == list(card.training.held_out)


def test_installed_it_is_found(store: Store, tmp_path: Path) -> None:
    done = run(store.folder, "-o", tmp_path / "out", *QUICK, "--install")
    assert done.exit_code == 0, done.output
    assert load_regressor(cache_folder(SETTING) / REGRESSOR_FILE).card == load_regressor(tmp_path / "out").card
    assert "grounding with this model finds it at" in told(done)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pairs", "many"), "expected --pairs all, a number or a part like 1/4, got 'many'"),
        (("--pairs", "3/2"), "expected --pairs all, a number or a part like 1/4, got '3/2'"),
        (("--pairs", "0"), "at least 1 epoch"),
        (("--pairs", "37"), "at most 36 training pairs"),
        (("--grid", "12"), "rows x columns like 24x24, got '12'"),
        (("--order", "bn"), "expected --order relu_bn or bn_relu, got 'bn'"),
        (("--precision", "half"), "expected --precision float32 or bfloat16"),
        (("--input-scale", "raw"), "expected --input-scale cells or none"),
        (("--dropout", "1"), "0 <= dropout < 1"),
        (("--epochs", "0"), "at least 1 epoch"),
    ],
)
def test_what_cannot_be_is_refused(store: Store, tmp_path: Path, words: tuple[str, str], message: str) -> None:
    done = run(store.folder, "-o", tmp_path / "out", *words)
    assert done.exit_code == 2 and message in told(done), done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing", "-o", tmp_path / "out")
    assert done.exit_code == 2 and "NoArtifact" in told(done)


PAGE = (Path(__file__).parents[2] / "docs" / "regressor.md").read_text()


def test_the_python_of_the_page_runs(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidates").symlink_to(store.folder)
    assert run("candidates", "--out", "regressor", *QUICK).exit_code == 0
    [code] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    printed: list[np.ndarray] = []
    exec(compile(code, "regressor.md", "exec"), {"print": printed.append})
    card = load_regressor(tmp_path / "regressor").card
    assert card.training is not None and len(printed[0]) == card.training.held_out.candidates


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_regressor(store: Store, tmp_path: Path) -> None:
    words = [str(word) for word in (store.folder, "--epochs", 6, "--batch", 32, "--rate", 0.003)]
    assert run(*words, "-o", tmp_path / "whole").exit_code == 0
    command = [sys.executable, "-m", "glintbox.cli.main", "train", *words, "-o", str(tmp_path / "parts")]
    start = "from glintbox.cli.main import app; import torch; torch.set_num_threads(1); app()"
    command[1:3] = ["-c", start]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        patience = time.monotonic() + 300
        while not (tmp_path / "parts" / FILE).is_file():
            assert child.poll() is None and time.monotonic() < patience, "the child ended too early"
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (tmp_path / "parts" / RESULT).exists(), "killed before it was done"
    assert run(*words, "-o", tmp_path / "parts").exit_code == 0
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
