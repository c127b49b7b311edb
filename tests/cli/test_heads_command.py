"""`glintbox heads` as a user runs it, on tiny checkpoints of real classes, stopped and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from glintbox.artifacts import HEADS_FILE, find, load_heads, load_separation, separation_file
from glintbox.calibrate import work_folder
from glintbox.cli.main import app
from glintbox.lvlm import loading
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import setting_of
from glintbox.records import COORDS, Head, HeadMap, Sampling, Setting, to_json
from glintbox.store import Store
from tests.cli.told import dataset, tell
from tests.lvlm.tiny import picture, tiny_checkpoint

ROOT = Path(__file__).parents[2]
COUNT = 12
ANSWERS = Sampling(n=4, temperature=1.0, greedy_too=False)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(HuggingFaceLVLM, "answer", HuggingFaceLVLM.answer)  # what a test makes it say ends with it


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2_5_vl")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def on_cups(data: Path, *words: object) -> list[object]:
    return ["--dataset", data, "--images", data.parent, "--size", "any", "--n", ANSWERS.n, *words]


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "internvl"])
def test_a_checkpoint_of_any_family_gets_a_head_map_that_says_where_it_is_from(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = tiny_checkpoint(tmp_path / "tiny", model_type), dataset(tmp_path / "cups", COUNT)
    tell()
    made = run("heads", "calibrate", model, *on_cups(data))
    assert made.exit_code == 0, made.stderr
    setting = setting_of(model)
    path = find(HEADS_FILE, setting=setting, checkpoint=None)
    assert path is not None and f"head map written to {path}" in made.stderr
    heads, calibration = load_heads(path), load_heads(path).calibration
    assert heads.setting == setting and setting.model_type == model_type and len(setting.revision) == 12
    assert calibration is not None and calibration.sampling == ANSWERS
    assert calibration.ids == tuple(f"{k}-3" for k in range(COUNT))
    assert calibration.data.startswith("cups-") and calibration.data.endswith(", 12 cases, size any")
    assert (calibration.high, calibration.low) == (2 * COUNT, 2 * COUNT)
    separation = load_separation(separation_file(path))
    assert separation.delta.shape == separation.auc.shape == (4, 12)
    [card] = (tmp_path / "cache").rglob("card.json")
    assert len(Store(card.parent)) == COUNT

    # shown without weights, and again from kept answers without a question
    monkeypatch.setattr(loading, "weights_of", None)
    shown = run("heads", "show", "--model", model, "--picture", tmp_path / "new" / "heads.png")
    assert shown.exit_code == 0, shown.stderr
    assert (tmp_path / "new" / "heads.png").read_bytes().startswith(b"\x89PNG")
    assert str(heads.heads["y2"][0]) in shown.stdout and f"model: {setting.model}" in shown.stdout
    assert "4 answers each at temperature 1.0" in shown.stdout
    assert json.loads(run("heads", "show", path, "--json").stdout) == json.loads(to_json(heads))


def test_kept_answers_are_not_drawn_again_and_out_may_be_a_folder(qwen: Path, tmp_path: Path) -> None:
    data = dataset(tmp_path / "cups", COUNT)
    tell()
    words = ["heads", "calibrate", qwen, *on_cups(data)]
    assert run(*words, "--out", tmp_path / "first.json").exit_code == 0
    [kept] = {path.parent for path in (tmp_path / "cache").rglob("card.json")}
    assert kept == work_folder(Store(kept).card) and Store(kept).card.sampling == ANSWERS
    times = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    again = run(*words, "--heads", 2, "--out", tmp_path / "second")
    assert again.exit_code == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == times
    three, two = load_heads(tmp_path / "first.json"), load_heads(tmp_path / "second" / HEADS_FILE)
    assert all(two.heads[coord] == three.heads[coord][:2] for coord in COORDS)


def _lines(work: Path) -> int:
    """Finished cases of a store that is being written."""
    return sum(path.read_bytes().count(b"\n") for path in work.glob("*.jsonl"))


@pytest.mark.slow
def test_a_killed_calibration_goes_on_and_finds_the_same_heads(qwen: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data, work = dataset(tmp_path / "cups", COUNT), tmp_path / "work"
    words = ["heads", "calibrate", qwen, *on_cups(data, "--work")]
    code = "from tests.cli.told import tell; tell(pause=0.3); from glintbox.cli.main import app; app()"
    command = [sys.executable, "-c", code, *map(str, [*words, work, "--out", tmp_path / "killed.json"])]
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while _lines(work) < 3 and time.monotonic() < until and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    _, said = child.communicate(timeout=60)
    kept = {path: path.read_bytes() for path in work.iterdir()}
    assert child.returncode == -signal.SIGKILL, said
    assert 3 <= len(Store(work)) < COUNT and not (tmp_path / "killed.json").exists()
    tell()
    resumed = run(*words, work, "--out", tmp_path / "resumed.json")
    assert resumed.exit_code == 0, resumed.stderr
    assert {path: path.read_bytes() for path in kept} == kept
    assert run(*words, tmp_path / "anew", "--out", tmp_path / "whole.json").exit_code == 0
    for file in ("resumed.json", "resumed.separation.json"):
        assert (tmp_path / file).read_bytes() == (tmp_path / file.replace("resumed", "whole")).read_bytes()


def test_scenes_are_drawn_for_a_calibration_where_no_dataset_is_named(qwen: Path, tmp_path: Path) -> None:
    result = run("heads", "calibrate", qwen, "--limit", 2, "--n", 1, "--size", "any")
    assert result.exit_code == 2, "random weights write no boxes"
    assert "label more pictures" in told(result) and "drawn scenes" in told(result)
    seeds = {int(path.stem) for path in (tmp_path / "cache").rglob("*.png")}
    assert seeds and all(10_000_000 <= seed < 11_000_000 for seed in seeds)
    [card] = (tmp_path / "cache").rglob("card.json")
    assert len(Store(card.parent)) == 2 and card.parent.name.startswith("scenes-calibration-")


def test_what_is_no_dataset_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    data = dataset(tmp_path / "cups", 1)
    content = json.loads(data.read_bytes())
    data.write_text(json.dumps(content | {"info": {"split": "test"}}))
    nowhere = ["heads", "calibrate", "/no/such/model"]
    for words, message in (
        (["--dataset", "scene"], "Did you mean 'scenes'"),
        (["--dataset", data], "expected --images DIR"),
        (["--split", "tests"], "Did you mean 'test'"),
        (on_cups(data), "expected scenes of split 'calibration'"),
        (["--n", 0], "expected n >= 1"),
        (["--limit", 1], "/no/such/model"),
    ):
        result = run(*nowhere, *words)
        assert result.exit_code == 2 and message in told(result), result.stderr


def test_a_head_map_that_is_not_there_or_fits_another_model_is_named(qwen: Path, tmp_path: Path) -> None:
    shown = run("heads", "show", "--model", qwen)
    assert shown.exit_code == 2 and f"glintbox heads calibrate {qwen}" in told(shown)
    # a head map beside the weights that does not fit is named, and does not keep its user from making one that does
    other = HeadMap(Setting("other", "1", "qwen2_5_vl", "paper", "default", ""), "by hand", {"x1": (Head(0, 0),)})
    kept = shutil.copytree(qwen, tmp_path / "kept") / HEADS_FILE
    kept.write_text(to_json(other))
    (tmp_path / "one.png").write_bytes(b"")
    picture(64, 48).save(tmp_path / "one.png")
    for words in (["heads", "show"], ["ground", tmp_path / "one.png", "--query", "cup"]):
        refused = run(*words, "--model", kept.parent)
        assert refused.exit_code == 2 and f"head map in {kept} belongs to another setting" in told(refused)
    drawn = run("heads", "show", kept, "--picture", tmp_path / "heads.png")
    assert drawn.exit_code == 2 and "run glintbox heads calibrate again" in told(drawn)
    data = dataset(tmp_path / "cups", COUNT)
    tell()
    assert run("heads", "calibrate", kept.parent, *on_cups(data)).exit_code == 0
    assert run("heads", "show", "--model", kept.parent).exit_code == 0, "the user's own wins"
    file = tmp_path / "file"
    file.write_text("")
    unwritten = run("heads", "show", "--model", kept.parent, "--picture", file / "heads.png")
    assert unwritten.exit_code == 2 and "expected a place for the picture" in told(unwritten)


def test_parts_of_a_calibration_fill_one_folder(qwen: Path, tmp_path: Path) -> None:
    data, work = dataset(tmp_path / "cups", COUNT), tmp_path / "work"
    tell()
    words = ["heads", "calibrate", qwen, *on_cups(data, "--work")]
    for shard in ("1/2", "2/2"):
        part = run(*words, work, "--shard", shard)
        assert part.exit_code == 0 and "the answers to 6 cases are kept; run without --shard" in told(part), told(part)
    there = {path: path.read_bytes() for path in work.iterdir()}
    assert run(*words, work, "--out", tmp_path / "parts.json").exit_code == 0
    assert {path: path.read_bytes() for path in work.iterdir()} == there
    assert run(*words, tmp_path / "other", "--out", tmp_path / "whole.json").exit_code == 0
    assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    wrong = run(*words, work, "--shard", "0/2")
    assert wrong.exit_code == 2 and "expected a shard like 1/2 or 2/2, got '0/2'" in told(wrong)
