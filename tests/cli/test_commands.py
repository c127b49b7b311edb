"""The commands as a user runs them, on a tiny random checkpoint of a real class: nothing is lost, errors help."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.artifacts import save_heads
from glintbox.cli.ground import _png
from glintbox.cli.main import app
from glintbox.lvlm.families import FAMILIES, LOCATIONS, UNDOCUMENTED
from glintbox.lvlm.loading import load
from glintbox.parsing import FRAME_OF_FAMILY
from glintbox.records import COORDS, Grounding, Head, HeadMap, ScoredBox, from_json
from glintbox.regressor import RegressorCard, new_regressor, save_regressor
from tests.lvlm.tiny import picture, tiny_checkpoint
from tests.test_records import SETTING, found

SHORT = ["--n", "2", "--max-new-tokens", "6"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen3_vl")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    yield


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        picture(64 + 16 * k, 48, seed=k).save(folder / f"p{k}.png")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_folder_run_writes_pictures_and_results_and_goes_on_where_it_stopped(tmp_path: Path, model: Path) -> None:
    images, out = pictures(tmp_path / "images", 3), tmp_path / "out"
    words = ["ground", images, "--query", "red box", "--model", model, "--out", out, *SHORT]
    first = run(*words)
    assert first.exit_code == 0, first.stderr
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["settings.json", *(f"p{k}.{end}" for k in range(3) for end in ("json", "png"))]
    )
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "p1.json").unlink()
    second = run(*words)
    assert second.exit_code == 0 and "2 of 3 are finished" in second.stderr
    assert second.stdout.count("\n") == 1
    assert from_json(Grounding, (out / "p1.json").read_bytes()).found.responses == (
        from_json(Grounding, kept["p1.json"]).found.responses
    )
    settings = json.loads((out / "settings.json").read_text())
    assert settings["setting"]["revision"] and settings["head map"] is None
    changed = settings | {"setting": settings["setting"] | {"revision": "older"}}
    (out / "settings.json").write_text(json.dumps(changed))
    (out / "p2.json").unlink()
    older = run(*words)
    assert older.exit_code == 2 and "'revision': 'older'" in older.stderr
    query = run("ground", images, "--query", "dog", *words[4:])
    assert query.exit_code == 2 and "holds a result 'p" in query.stderr
    other = run(*words, "--temperature", "0.9")
    assert other.exit_code == 2 and "temperature: there 0.7, now 0.9" in other.stderr


def test_json_lines_are_groundings_and_nothing_else_is_on_stdout(tmp_path: Path, model: Path) -> None:
    images = pictures(tmp_path / "images", 2)
    (images / "list.jsonl").write_text('{"image": "p0.png"}\n{"image": "p0.png", "query": "cup", "id": "second"}\n')
    result = run("ground", images / "list.jsonl", "--query", "red :dog: box", "--model", model, "--json", *SHORT)
    assert result.exit_code == 0, result.stderr
    found = [from_json(Grounding, line) for line in result.stdout.splitlines()]
    assert [(g.id, g.found.query) for g in found] == [("p0", "red :dog: box"), ("second", "cup")]
    assert all(len(g.found.responses) == 3 for g in found)


def test_several_pictures_at_a_time_give_the_same_results_and_a_bad_one_fails_alone(
    tmp_path: Path, model: Path
) -> None:
    images = pictures(tmp_path / "images", 5)
    (images / "p2.png").write_bytes(b"no picture")
    words = ["ground", images, "--query", "red box", "--model", model, "--json", *SHORT]
    single, batch = run(*words), run(*words, "--batch", 3)
    assert single.exit_code == batch.exit_code == 1
    assert single.stdout.count("\n") == 4 and "failed: p2" in batch.stderr
    for one, other in zip(single.stdout.splitlines(), batch.stdout.splitlines(), strict=True):
        a, b = from_json(Grounding, one.encode()), from_json(Grounding, other.encode())
        assert (a.found.id, a.boxes) == (b.found.id, b.boxes)
        assert [answer.ids for answer in a.found.responses] == [answer.ids for answer in b.found.responses]
    assert run(*words, "--batch", 0).exit_code == 2


def test_a_bad_picture_fails_alone(tmp_path: Path, model: Path) -> None:
    images, out = pictures(tmp_path / "images", 2), tmp_path / "out"
    (images / "p0.png").write_bytes(b"")
    result = run("ground", images, "--query", "cup", "--model", model, "--out", out, *SHORT)
    assert result.exit_code == 1
    assert "failed: p0" in result.stderr and "1 done, 1 failed" in result.stderr
    assert result.output.index("failed: p0") < result.output.index("p1: cup"), "told at once, not after a long run"
    assert [entry["id"] for entry in json.loads((out / "failed.json").read_text())] == ["p0"]
    assert (out / "p1.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.png"], "expected a query"),
        (["x.png", "--query", ""], "expected a query"),
        (["x.png", "--query", "cup", "--n", "0"], "expected n >= 1"),
        (["x.png", "--query", "cup", "--temperature", "0", "--n", "3"], "same answer 3 times"),
        (["x.png", "--query", "cup", "--model", "/no/such/folder"], "/no/such/folder"),
        (["x.png", "--query", "cup", "--selector", "acs-fre"], "Did you mean 'acs-free'"),
        (["x.png", "--query", "cup", "--selector", "acs-free"], "glintbox heads calibrate"),
        (["x.png", "--query", "cup", "--selector", "majority-vote", "--multiple"], "expected multiple=False"),
        (["x.png", "--query", "cup", "--heads", "none.json"], "expected a head map at none.json"),
    ],
)
def test_bad_input_exits_with_2_and_says_what_to_do(
    words: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(64, 48).save("x.png")
    given = words if "--model" in words else [*words, "--model", str(model)]
    result = run("ground", *given)
    assert result.exit_code == 2, result.stderr
    assert message in " ".join(result.stderr.split())


def artefacts_of_another(folder: Path, model: Path) -> tuple[Path, Path]:
    """A head map and a regressor, on disk, of a model that is not `model`."""
    card = load(model).card
    setting = replace(card, id="other").setting(prompt="paper", view="default", moment="predicting")
    heads = HeadMap(setting, "by hand", {coord: (Head(0, 1),) for coord in COORDS})
    save_heads(heads, folder / "map.json")
    save_regressor(new_regressor(RegressorCard(setting, (Head(0, 1),), 8, 8)), folder / "learned.safetensors")
    return folder / "map.json", folder / "learned.safetensors"


def test_artefacts_of_another_model_exit_with_2_and_the_difference_and_block_no_folder(
    tmp_path: Path, model: Path
) -> None:
    images, out = pictures(tmp_path / "images", 1), tmp_path / "out"
    heads, regressor = artefacts_of_another(tmp_path, model)
    words = ["ground", images, "--query", "cup", "--model", model, "--out", out, *SHORT]
    for option, file, what in (("--heads", heads, "head map"), ("--regressor", regressor, "regressor")):
        result = run(*words, option, file)
        told = " ".join(result.stderr.split())
        assert result.exit_code == 2
        assert (
            f"SettingMismatch: this {what} in {file} belongs to another setting (model: made under 'other', here 'tiny@"
            in told
        )
    assert run(*words).exit_code == 0, "a run that finished nothing leaves the folder free"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "gpu"], "expected a device that this machine has (auto, cpu, cuda, cuda:1 …), got 'gpu'"),
        (["--dtype", "int3"], "expected dtype auto, float32, bfloat16, float16, got 'int3'"),
        (["--out", "x.png/out"], "expected an output folder that can be written at x.png/out"),
        (["--temperature", "nan"], "expected a temperature >= 0, got nan"),
    ],
)
def test_a_bad_option_exits_with_2_and_one_message(
    words: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(64, 48).save("x.png")
    result = run("ground", "x.png", "--query", "cup", "--model", model, *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_disk_that_fills_up_in_a_run_keeps_what_was_finished(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, out = pictures(tmp_path / "images", 3), tmp_path / "out"
    words = ["ground", images, "--query", "cup", "--model", model, "--out", out, *SHORT]
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "p1.json" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        stopped = run(*words)
    told = " ".join(stopped.stderr.split())
    assert stopped.exit_code == 2
    assert "could not write the result of p1" in told and "make room and run again to go on" in told
    assert [path.name for path in sorted(out.glob("p*.json"))] == ["p0.json"]
    kept = (out / "p0.json").stat().st_mtime_ns
    again = run(*words)
    assert again.exit_code == 0 and "1 of 3 are finished" in again.stderr
    assert (out / "p0.json").stat().st_mtime_ns == kept
    assert len(list(out.glob("p*.json"))) == 3


def test_a_picture_is_drawn_where_a_selector_kept_the_maps_of_other_heads() -> None:
    kept = found()
    chosen = Grounding("a", "acs-learned", "iou", (ScoredBox(kept.candidates[1].box, 0.5, 1),), (), kept)
    heads = HeadMap(SETTING, "by hand", {coord: (Head(7, 7),) for coord in COORDS})
    assert _png(picture(60, 40), chosen, heads).startswith(b"\x89PNG")


def test_a_query_that_cannot_be_asked_fails_alone(tmp_path: Path, model: Path) -> None:
    images = pictures(tmp_path / "images", 1)
    lines = [{"image": "p0.png", "query": query, "id": f"q{k}"} for k, query in enumerate(["cup", "a" * 10_000, "dog"])]
    (images / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    result = run("ground", images / "list.jsonl", "--model", model, "--json", *SHORT)
    assert result.exit_code == 1
    assert [from_json(Grounding, line).id for line in result.stdout.splitlines()] == ["q0", "q2"]
    assert "failed: q1" in result.stderr and "1,000 characters" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_keeps_what_was_finished_and_redoes_at_most_what_was_in_flight(
    tmp_path: Path, model: Path, how: signal.Signals
) -> None:
    images, out = pictures(tmp_path / "images", 8), tmp_path / "out"
    # a shell that runs the tests in the background leaves Ctrl-C ignored, and children inherit that
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from glintbox.cli.main import app; app()"
    words = ["ground", images, "--query", "red box", "--model", model, "--out", out, "--n", "2"]
    command = [sys.executable, "-c", code, *map(str, words), "--max-new-tokens", "60"]
    child = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)

    def finished() -> set[Path]:
        return set(out.glob("p*.json")) if out.is_dir() else set()

    until = time.monotonic() + 120
    while len(finished()) < 2 and time.monotonic() < until and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(how)
    _, told = child.communicate(timeout=60)
    done = finished()
    assert 2 <= len(done) < 8, told
    assert child.returncode == (130 if how is signal.SIGINT else -9)
    assert how is signal.SIGKILL or b"run the same command again" in told
    for path in done:
        from_json(Grounding, path.read_bytes())
    times = {path: path.stat().st_mtime_ns for path in done}
    again = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    assert f"{len(done)} of 8 are finished".encode() in again.stderr
    assert len(finished()) == 8
    assert {path: path.stat().st_mtime_ns for path in done} == times


def test_doctor_finds_nothing_broken_in_a_real_class(model: Path) -> None:
    result = run("doctor", model, "--json")
    findings = {row["check"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 0, findings
    assert findings["tapped attention equals eager"]["ok"] is True
    assert findings["live reading equals replay"]["ok"] is True
    assert findings["one image token per cell"]["ok"] is True
    assert findings["a drawn square is found"]["ok"] is None, "random weights find nothing"


def test_a_path_with_brackets_is_shown_as_it_is(tmp_path: Path, model: Path) -> None:
    images, out = pictures(tmp_path / "images", 1), tmp_path / "run [red] :dog:"
    result = run("ground", images, "--query", "cup", "--model", model, "--out", out, *SHORT)
    assert f"JSON lie in {out}" in result.stderr


def test_models_and_env_name_what_there_is() -> None:
    listed = json.loads(run("models", "--json").stdout)
    assert {row["model_type"] for row in listed} == set(FAMILIES)
    facts = json.loads(run("env", "--json").stdout)
    assert {"python", "torch", "transformers", "gpu"} <= set(facts)


def test_the_parser_knows_every_family_and_no_other() -> None:
    unread = (UNDOCUMENTED, LOCATIONS)
    assert set(FRAME_OF_FAMILY) == {name for name, family in FAMILIES.items() if family.units not in unread}
