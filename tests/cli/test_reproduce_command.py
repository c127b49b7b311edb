"""`glintbox reproduce` as a user runs it: every page on tiny real models, once; equal numbers from nothing; shards."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from glintbox.cli import reproduce
from glintbox.cli.main import app
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.scripted import ScriptedLVLM
from glintbox.reproduce.catalogue import ALL, CATALOGUE, names
from glintbox.reproduce.plan import Data
from tests.lvlm.tiny import tiny_checkpoint
from tests.reproduce.made import TINY, Canned, answer_near, three_pictures


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reproduce, "QUICK", TINY)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_pictures(tmp_path_factory.mktemp("command") / "coco")


@pytest.fixture
def lvlm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Canned:
    made = Canned(folder)
    monkeypatch.setattr(HuggingFaceLVLM, "from_pretrained", lambda *_, **__: made)
    setting = made.card.setting(prompt="scripted", view="default", moment="predicting")
    monkeypatch.setattr(reproduce, "setting_of", lambda *_: setting)
    return made


def run(what: str, folder: Path, tmp_path: Path, *words: str) -> Result:
    given = ["reproduce", what, "--quick", "--dataset", str(folder), "--out", str(tmp_path / "out"), *words]
    return CliRunner().invoke(app, [*given, "--work", str(tmp_path / "work")])


def numbers(tmp_path: Path) -> dict[str, Any]:
    """Every page's numbers; what is around them names folders and commits."""
    return {path.name: json.loads(path.read_text())["numbers"] for path in sorted((tmp_path / "out").glob("*.json"))}


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "internvl"])
def test_all_pages_of_a_real_class(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_type: str
) -> None:
    monkeypatch.setattr(HuggingFaceLVLM, "answer", answer_near(folder))
    monkeypatch.setattr(HuggingFaceLVLM, "answer_together", ScriptedLVLM.answer_together)
    model = tiny_checkpoint(tmp_path / "model", model_type, layers=2, heads=4, kv_heads=2)
    done = run(ALL, folder, tmp_path, "--model", str(model))
    assert done.exit_code == 0, done.output
    wanted = names(ALL, Data(str(folder)))
    assert {path.stem for path in (tmp_path / "out").glob("*.md")} == set(wanted)
    pictures = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert {"fig1", "fig3", "fig4", "fig6", "fig9", "fig10", "reliability", "table1"} <= pictures
    assert all(f"{name}: " in told(done) for name in wanted), "each stage tells its seconds"
    monkeypatch.setattr(HuggingFaceLVLM, "from_pretrained", None)
    before = numbers(tmp_path)
    shutil.rmtree(tmp_path / "out")
    for name in ("table1", "table3", "fig3"):
        assert run(name, folder, tmp_path, "--model", str(model)).exit_code == 0, "without the model"
    assert all(before[name] == found for name, found in numbers(tmp_path).items())


@pytest.mark.slow
def test_from_nothing_the_same_numbers_come_out(folder: Path, tmp_path: Path, lvlm: Canned) -> None:
    for name in ("table3", "table4"):
        assert run(name, folder, tmp_path).exit_code == 0
    first, asked = numbers(tmp_path), lvlm.asked
    assert run("table3", folder, tmp_path).exit_code == 0 and lvlm.asked == asked
    shutil.rmtree(tmp_path / "work")
    shutil.rmtree(tmp_path / "out")
    for name in ("table4", "table3"):
        assert run(name, folder, tmp_path).exit_code == 0
    assert numbers(tmp_path) == first and lvlm.asked == 2 * asked


@pytest.mark.slow
def test_shards_draw_answers_and_write_no_page(folder: Path, tmp_path: Path, lvlm: Canned) -> None:
    for shard in ("1/2", "2/2"):
        done = run("table3", folder, tmp_path, "--shard", shard)
        assert done.exit_code == 0 and "run without --shard" in told(done)
    assert not (tmp_path / "out").exists() and lvlm.asked == 4 + 3 * 3
    assert run("table3", folder, tmp_path).exit_code == 0 and lvlm.asked == 4 + 3 * 3
    page = (tmp_path / "out" / "table3.md").read_text()
    assert f"glintbox reproduce table3 --model embedded --dataset {folder} --quick" in page


def test_the_regressors_architecture_needs_no_data(tmp_path: Path, lvlm: Canned) -> None:
    done = run("models", tmp_path, tmp_path)
    assert done.exit_code == 0, done.output
    assert numbers(tmp_path).keys() == {"models.json"} and lvlm.asked == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table8"], "unknown table or figure 'table8'"),
        (["table2", "--split", "train"], "unknown split to report on 'train'"),
        (["fig15", "--split", "validation"], "expected --split test for a transfer"),
        (["table2", "--dataset", "nothing"], "unknown dataset 'nothing'"),
        (["table2", "--shard", "3/2"], "expected a shard like 1/2"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], message: str, lvlm: Canned) -> None:
    done = CliRunner().invoke(app, ["reproduce", *words])
    assert done.exit_code == 2 and message in told(done), done.output
    assert lvlm.asked == 0


def test_every_name_is_in_the_help() -> None:
    shown = " ".join(CliRunner().invoke(app, ["reproduce", "--help"]).stdout.split())
    assert all(name in shown for name in CATALOGUE)
