"""`glintbox evaluate --multiple` as a user runs it, on canned answers: tables, a picture, ids, and every wrong word."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glintbox.boxes import Box
from glintbox.cli.main import app
from glintbox.evaluate import ORACLE
from glintbox.evaluate_many import BASE, SUPPRESSION, ManyEvaluation
from glintbox.ground import Grounder
from glintbox.records import from_json
from tests.test_calibrate import SCRIPT, Counting

CUPS = "[[200, 200, 250, 260], [600, 600, 650, 640]]"  # per mille of 80 x 60
STRAY = "[[200, 200, 250, 260], [600, 600, 650, 650], [20, 800, 70, 840]]"


@pytest.fixture(autouse=True)
def lvlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Canned answers: greedy writes the first cup twice, the samples find both, one strays."""
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    greedy = "[[200, 200, 250, 260], [202, 200, 250, 260]]"
    made = Counting({"cup": replace(SCRIPT, greedy=greedy, sampled=(CUPS, STRAY), truth=Box(16, 12, 20, 15.6))})
    monkeypatch.setattr(Grounder, "from_pretrained", lambda *_, **__: Grounder(made))
    yield made


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Four pictures with two small cups each where the canned answers have them, and one with a single cup."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(5):
        Image.new("RGB", (80, 60)).save(tmp_path / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "width": 80, "height": 60})
        boxes = [[16, 12, 4, 3.6], [48, 36, 4, 2.4]][: 1 if k == 4 else 2]
        annotations += [{"id": len(annotations), "image_id": k, "category_id": 3, "bbox": box} for box in boxes]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cup"}]}
    (tmp_path / "cups.json").write_text(json.dumps(content))
    return [str(tmp_path / "cups.json"), "--images", str(tmp_path)]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_a_report_is_a_table_csv_json_and_a_picture_and_running_again_asks_nothing(
    tmp_path: Path, data: list[str], lvlm: Any
) -> None:
    words = [*data, "--multiple", "--selector", "consensus", "--temperature", "0.5,1.0", "--n", 2]
    first = run(*words, "--out", tmp_path / "out")
    assert first.exit_code == 0, first.stderr
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"report.md", "report.csv", "report.json", "report.png"}
    assert files["report.md"].decode().strip() == first.stdout.strip()
    assert "0.1-1 % (4 cases, 8 true boxes)" in first.stdout
    found = from_json(ManyEvaluation, files["report.json"])
    of = {r.method: r for r in found.reports if r.temperature == 0.5}
    assert list(of) == [*SUPPRESSION, "consensus", ORACLE]
    assert (of["greedy"].precision, of[BASE].precision, of[BASE].recall) == (0.5, 1, 0.5)
    assert (of["consensus"].precision, of["consensus"].recall, of[ORACLE].f1) == (1, 1, 1)
    assert of["consensus"].relative == pytest.approx(1 / (2 / 3) - 1)
    assert len(list(csv.DictReader(io.StringIO(files["report.csv"].decode())))) == len(found.reports)
    asked = lvlm.asked
    again = run(*words, "--json")
    assert from_json(ManyEvaluation, again.stdout) == found and lvlm.asked == asked == 8


def test_lone_boxes_are_clusters_where_that_is_wanted(data: list[str]) -> None:
    words = [*data, "--multiple", "--selector", "consensus", "--n", 2, "--json"]
    kept, lone = (from_json(ManyEvaluation, run(*words, "--clusters", text).stdout) for text in ("0.5,2", "0.5,1"))
    boxes = [{r.method: r.boxes for r in found.reports}["consensus"] for found in (kept, lone)]
    assert boxes == [8, 12], "the stray box of the second sample stands alone in each of four pictures"


def test_named_cases_are_evaluated_whatever_their_size_and_number(tmp_path: Path, data: list[str]) -> None:
    (tmp_path / "ids.txt").write_text("# two of them\n4-3\n1-3\n")
    result = run(*data, "--multiple", "--ids", tmp_path / "ids.txt", "--size", "large", "--n", 4, "--json")
    found = from_json(ManyEvaluation, result.stdout)
    assert (found.about["cases"], found.about["size"], found.reports[0].truth) == ("2", "of ids.txt", 3)


def test_cases_without_their_picture_are_left_out_where_that_is_said(tmp_path: Path, data: list[str]) -> None:
    (tmp_path / "2.png").unlink()
    stopped = run(*data, "--multiple", "--n", 4)
    assert stopped.exit_code == 2 and "found no file for 1 of them" in told(stopped)
    result = run(*data, "--multiple", "--n", 4, "--skip-missing", "--json")
    assert from_json(ManyEvaluation, result.stdout).about["cases"] == "3"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clusters", "0.5"], "expected --clusters IOU,MEMBERS"),
        (["--clusters", "0,2"], "expected 0 < iou <= 1 and min_size >= 1, got 0.0 and 2"),
        (["--selector", "mean-box"], "mean-box invents one box for all candidates"),
        (["--rivals", "crop"], "expected no --rivals with --multiple"),
        (["--size", "large"], "two or more objects of a category"),
        (["--ids", "none.txt"], "one id of a case per line at none.txt"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_answers_are_drawn(
    words: list[str], message: str, data: list[str], lvlm: Any
) -> None:
    result = run(*data, "--multiple", *words)
    assert result.exit_code == 2 and message in told(result), result.output
    assert lvlm.asked == 0
