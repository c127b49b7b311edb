"""`glintbox heads find --by localization` as a user runs it, on a tiny checkpoint of a real class, also killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.artifacts import LOCALIZATION_FILE, load_heads
from glintbox.cli.main import app
from glintbox.records import HeadMap, Search, from_json
from glintbox.text_stats import TextStats
from tests.lvlm.tiny import picture, tiny_checkpoint

COUNT = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2_5_vl")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of expressions, two to a picture."""
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    rows = []
    for k in range(COUNT // 2):
        picture(140, 84, seed=k).save(tmp_path / f"{k}.png")
        answers = [f"the cup {k}", f"a red dog {k}"]
        rows.append({"file_name": f"{k}.png", "bbox": [28, 14, 56, 42], "answer": answers, "question_id": k})
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    return path


def words(data: Path, model: Path, *more: object) -> list[str]:
    told = ["heads", "find", data, "--by", "localization", "--images", data.parent, "--model", model, *more]
    return [str(word) for word in told]


def run(*told: str) -> Result:
    return CliRunner().invoke(app, list(told))


def clean(text: str) -> str:
    return " ".join(text.split())


FEW = ("--samples", 4, "--draws", 2, "--k", 2, "--tau", 0)


def test_heads_are_found_kept_shown_and_drawn(data: Path, model: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "numbers", tmp_path / "out"
    made = run(*words(data, model, *FEW, "--maps", "--work", work, "--out", out, "--pictures", tmp_path / "pictures"))
    assert made.exit_code == 0, made.stderr
    heads = load_heads(out / LOCALIZATION_FILE)
    assert list(heads.heads) == ["text"] and heads.setting.prompt == "expression"
    assert len(heads.heads["text"]) == 2 and all(head.layer == 2 for head in heads.heads["text"])
    selection = heads.selection
    assert selection is not None and selection.pool == COUNT and selection.data.startswith("rows-all-")
    assert selection.search == Search(samples=4, draws=2, k=2, tau=0)
    kept = TextStats(work)
    assert 4 <= len(kept) <= COUNT and kept.card.maps and kept[kept.ids[0]].maps is not None
    assert "ΔH" not in made.stdout, "which heads of text have none of"
    assert "2 draws of 4 out of 8 cases, in each of which 10 heads count" in clean(made.stdout)
    names = ["criteria.png", "frequencies.png", "heads.png", "sums.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    shown = run("heads", "show", str(out / LOCALIZATION_FILE), "--picture", str(tmp_path / "frequencies.png"))
    assert shown.exit_code == 0 and str(heads.heads["text"][0]) in shown.stdout and "prompt: expression" in shown.stdout
    assert (tmp_path / "frequencies.png").read_bytes().startswith(b"\x89PNG")
    as_json = run("heads", "show", str(out / LOCALIZATION_FILE), "--json")
    assert from_json(HeadMap, as_json.stdout) == heads


def test_without_a_place_they_become_the_models_own_and_nothing_is_read_twice(data: Path, model: Path) -> None:
    none = run("heads", "show", "--localization", "--model", str(model))
    assert none.exit_code == 2 and "find DATASET --by localization --model" in clean(none.stderr)
    assert run(*words(data, model, *FEW)).exit_code == 0
    shown = run("heads", "show", "--localization", "--model", str(model))
    assert shown.exit_code == 0, shown.stderr
    strict = run(*words(data, model, *FEW, "--bottom", 0))
    assert strict.exit_code == 2 and "expected at least 2 heads that look" in clean(strict.stderr), "0 is a bound too"
    again = run(*words(data, model, *FEW))
    assert again.exit_code == 0 and "cases are there already" in clean(again.stderr)
    [numbers] = (data.parent / "cache").rglob("*.jsonl")
    assert numbers.parent.name.startswith("rows-all-")


SLOWLY = """
import time
from glintbox.text_stats import TextWriter
add = TextWriter.add
TextWriter.add = lambda *told: (add(*told), time.sleep(0.3))
from glintbox.cli.main import app
app()
"""


@pytest.mark.slow
def test_a_killed_search_goes_on_and_finds_the_same_heads(data: Path, model: Path, tmp_path: Path) -> None:
    work, told = tmp_path / "numbers", words(data, model, "--samples", COUNT, "--tau", 0, "--k", 2)
    command = [sys.executable, "-c", SLOWLY, *told, "--work", str(work), "--out", str(tmp_path / "killed.json")]
    child = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while sum(path.read_bytes().count(b"\n") for path in work.glob("*.jsonl")) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    _, said = child.communicate(timeout=60)
    before = {path: path.read_bytes() for path in work.iterdir()}
    assert child.returncode == -signal.SIGKILL, said
    assert 3 <= len(TextStats(work)) < COUNT and not (tmp_path / "killed.json").exists()
    resumed = run(*told, "--work", str(work), "--out", str(tmp_path / "resumed.json"))
    assert resumed.exit_code == 0, resumed.stderr
    assert {path: path.read_bytes() for path in before} == before and len(TextStats(work)) == COUNT
    assert run(*told, "--work", str(tmp_path / "anew"), "--out", str(tmp_path / "whole.json")).exit_code == 0
    assert (tmp_path / "resumed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--samples", 9), "expected at least the 9 cases of a draw, got 8; draw fewer with --samples"),
        (("--limit", 3, "--samples", 4), "of a draw, got 3"),
        (("--samples", 0), "of at least 1, got 0, 5, 10 and 3"),
        (("--k", 0), "of at least 1, got 1000, 5, 10 and 0"),
        (("--limit", 0), "expected limit >= 1, got 0"),
        (("--limit", -1), "expected limit >= 1, got -1"),
        (("--criteria", "bath"), "unknown criterion 'bath'. Did you mean 'both'"),
        (("--tau", "cord"), "unknown way to find tau 'cord'"),
        (("--tau", "24"), "expected tau as a share of attention"),
        (("--entropy", "papers"), "unknown spatial entropy 'papers'"),
        (("--regressor", "r"), "expected no --regressor with --by localization"),
        (("--n", 3), "expected no --n with --by localization"),
        (("--by", "labels"), "expected no --images with --by labels"),
        (("--by", "locations"), "unknown way to find heads 'locations'"),
    ],
)
def test_what_cannot_be_is_refused(data: Path, model: Path, more: tuple[object, ...], message: str) -> None:
    refused = run(*words(data, model, *more))
    assert refused.exit_code == 2 and message in clean(refused.stderr), refused.stderr


def test_other_settings_are_not_mixed_in(data: Path, model: Path, tmp_path: Path) -> None:
    options = (*FEW, "--work", tmp_path / "numbers", "--out", tmp_path)
    assert run(*words(data, model, *options)).exit_code == 0
    other = run(*words(data, model, *options, "--entropy", "code"))
    assert other.exit_code == 2 and "weight: there 'area', now 'mass'" in clean(other.stderr)


def test_parts_fill_one_folder_and_the_whole_reads_nothing_again(data: Path, model: Path, tmp_path: Path) -> None:
    work = tmp_path / "numbers"
    for shard in ("1/2", "2/2"):
        part = run(*words(data, model, *FEW, "--work", work, "--shard", shard))
        assert part.exit_code == 0 and "cases are kept; run without --shard" in clean(part.stderr), part.stderr
        assert part.stdout == ""
    there = {path: path.read_bytes() for path in work.iterdir()}
    whole = run(*words(data, model, *FEW, "--work", work, "--out", tmp_path / "whole"))
    assert whole.exit_code == 0 and f"{len(TextStats(work))} of {len(TextStats(work))} cases are" in clean(whole.stderr)
    assert {path: path.read_bytes() for path in work.iterdir()} == there
    alone = run(*words(data, model, *FEW, "--work", tmp_path / "other", "--out", tmp_path / "alone"))
    assert alone.exit_code == 0 and alone.stdout == whole.stdout
    wrong = run(*words(data, model, *FEW, "--shard", "3/2"))
    assert wrong.exit_code == 2 and "expected a shard like 1/2 or 2/2, got '3/2'" in clean(wrong.stderr)
