"""`glintbox evaluate` as a user runs it, on canned answers: tables, pictures, shards, and every wrong word."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glintbox.cli import reports as module
from glintbox.cli.main import app
from glintbox.evaluate import Evaluation
from glintbox.ground import Grounder
from glintbox.records import from_json
from glintbox.regressor import RegressorCard, new_regressor
from tests.test_compare import model


@pytest.fixture(autouse=True)
def lvlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Canned answers in place of a checkpoint; counts what it is asked."""
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    made = model()
    monkeypatch.setattr(Grounder, "from_pretrained", lambda *_, **__: Grounder(made))
    yield made


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Six pictures with a cup where the canned answers have it: three small, three large."""
    images, annotations = [], []
    for k in range(6):
        wide, high = (80, 60) if k >= 3 else (640, 480)
        Image.new("RGB", (wide, high)).save(tmp_path / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "width": wide, "height": high})
        box = [16, 12, 20, 13] if k >= 3 else [128, 96, 40, 30]
        annotations.append({"id": k, "image_id": k, "category_id": 3, "bbox": box, "iscrowd": 0})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cup"}]}
    (tmp_path / "cups.json").write_text(json.dumps(content))
    return [str(tmp_path / "cups.json"), "--images", str(tmp_path)]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_a_report_is_tables_pictures_and_json_and_running_again_asks_nothing(
    tmp_path: Path, data: list[str], lvlm: Any
) -> None:
    words = [*data, "--size", "small,large", "--selector", "consensus,greedy", "--temperature", "0.5,1.0", "--n", "4"]
    words += ["--out", str(tmp_path / "out")]
    first = run(*words)
    assert first.exit_code == 0, first.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"report.md", "report.csv", "report.json", "report.png", "sizes.png", "gallery.png"}
    assert files["report.md"].decode().strip() == first.stdout.strip()
    found = from_json(Evaluation, files["report.json"])
    assert {(r.method, r.temperature) for r in found.reports} == {
        (name, t) for name in ("consensus", "greedy") for t in (0.5, 1.0)
    }
    assert {r.size: r.n for r in found.reports} == {"all": 6, "0.1-1 %": 3, "> 5 %": 3}
    assert found.about["model"] == "scripted" and found.about["cases"] == "6" and not found.costs
    asked = lvlm.asked
    assert asked == 12
    again = run(*words, "--json")
    assert again.exit_code == 0 and from_json(Evaluation, again.stdout) == found
    assert lvlm.asked == asked


def test_rivals_are_judged_beside_the_selectors_and_bring_the_costs(data: list[str]) -> None:
    result = run(*data, "--selector", "greedy,consensus", "--rivals", "crop", "--n", "4", "--json")
    assert result.exit_code == 0, result.stderr
    found = from_json(Evaluation, result.stdout)
    assert {r.method for r in found.reports} == {"greedy", "consensus", "crop"}
    assert {(p.method, p.other) for p in found.pairs} >= {("greedy", "crop"), ("consensus", "crop")}
    assert [cost.method for cost in found.costs] == ["greedy", "4 samples, consensus", "crop"]
    fixed = run(*data, "--rivals", "upscale", "--n", "4")
    assert fixed.exit_code == 2 and "leave upscale out, crop works with every model" in told(fixed)


def test_two_shards_fill_one_folder_and_then_the_report_asks_nothing(
    tmp_path: Path, data: list[str], lvlm: Any
) -> None:
    words = [*data, "--size", "any", "--n", "4", "--rivals", "crop", "--work", str(tmp_path / "work")]
    for shard in ("1/2", "2/2"):
        part = run(*words, "--shard", shard)
        assert part.exit_code == 0 and "answers to 3 cases are kept" in told(part), told(part)
        assert part.stdout == ""
    asked = lvlm.asked
    whole = run(*words)
    assert whole.exit_code == 0 and "(6 cases)" in whole.stdout
    timed = 7 * 3  # each case once more for the costs, the first one twice: greedy, samples, crop
    assert lvlm.asked <= asked + timed
    assert "## Cost of a case" in whole.stdout


def test_a_size_that_meets_another_counts_no_case_twice(data: list[str]) -> None:
    result = run(*data, "--size", "small,any", "--selector", "greedy", "--n", "4", "--json")
    assert from_json(Evaluation, result.stdout).reports[0].n == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--selector", "acs-fre"], "Did you mean 'acs-free'"),
        (["--selector", "greedy,acs-free"], "glintbox heads calibrate"),
        (["--selector", ","], "expected names of selectors"),
        (["--temperature", "hot"], "expected temperatures like 0.5,0.7,1.0, got 'hot'"),
        (["--temperature", ","], "expected at least one temperature"),
        (["--temperature", "0.5,-1"], "expected a temperature >= 0, got -1.0"),
        (["--size", "tiny"], "size 'tiny'"),
        (["--size", ","], "expected names of sizes"),
        (["--rivals", "zoom"], "rival 'zoom'"),
        (["--shard", "3/2"], "expected a shard like 1/2 or 2/2, got '3/2'"),
        (["--split", "test"], "only for scenes"),
        (["--limit", "0"], "expected limit >= 1, got 0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_answers_are_drawn(
    words: list[str], message: str, tmp_path: Path, data: list[str], lvlm: Any
) -> None:
    result = run(*data, *words, "--work", tmp_path / "work")
    assert result.exit_code == 2, result.output
    assert message in told(result)
    assert lvlm.asked == 0 and not (tmp_path / "work").exists()


def test_a_folder_that_cannot_be_written_loses_no_answer(tmp_path: Path, data: list[str]) -> None:
    (tmp_path / "file").write_text("")
    result = run(*data, "--n", "4", "--out", tmp_path / "file")
    assert result.exit_code == 2 and "the answers are kept, name another --out" in told(result)


def test_a_regressor_chooses_among_kept_answers_with_their_maps(
    tmp_path: Path, data: list[str], lvlm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    bundle = new_regressor(RegressorCard(setting, lvlm.card.all_heads(), rows=6, cols=8))
    monkeypatch.setattr(Grounder, "from_pretrained", lambda *_, **__: Grounder(lvlm, regressor=bundle))
    words = [*data, "--size", "any", "--n", "4", "--work", tmp_path / "work", "--json", "--selector"]
    result = run(*words, "greedy,acs-learned")
    assert result.exit_code == 0, result.stderr
    found = from_json(Evaluation, result.stdout)
    assert {r.method for r in found.reports} == {"greedy", "acs-learned"}
    assert lvlm.asked == 6 and run(*words, "acs-learned").exit_code == 0 and lvlm.asked == 6


def test_the_gallery_shows_the_first_cases_of_the_first_selector(tmp_path: Path, data: list[str]) -> None:
    run(*data, "--selector", "greedy", "--n", "4", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "gallery.png").exists(), "greedy alone differs from nothing"
    assert module.EACH == 4
