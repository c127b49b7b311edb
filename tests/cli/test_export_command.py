"""`glintbox export`: one file, and what is not in it is said."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.cli.main import app
from tests.kept import folder
from tests.sets import IMAGE


@pytest.fixture
def found(tmp_path: Path) -> Path:
    return folder(tmp_path / "found")


def export(*words: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def annotations(place: Path) -> Path:
    images = [
        {"id": k, "file_name": f"{name}.png", "width": IMAGE.width, "height": IMAGE.height}
        for k, name in enumerate("abcd")
    ]
    names = [{"id": 7, "name": "cup"}, {"id": 3, "name": "dog"}]
    place.write_text(json.dumps({"images": images, "categories": names, "annotations": []}))
    return place


def test_failures_and_what_was_not_found_are_named(found: Path, tmp_path: Path) -> None:
    done = export(found, "--to", "csv", "--out", tmp_path / "all.csv")
    assert done.exit_code == 0 and done.stdout == ""
    assert "not in it, failed: e (pictures/e.png): empty file" in done.stderr
    assert "not in it, not done yet: f" in done.stderr
    assert "without a box: b (1 of 1 answers see none, 0 unreadable)" in done.stderr
    assert "scores of 1 results: iou, the IoU with the true box" in done.stderr
    assert "csv of 4 results lies in" in done.stderr
    assert (tmp_path / "all.csv").read_text().count("\n") == 6


def test_coco_says_what_its_scores_are_worth(found: Path, tmp_path: Path) -> None:
    ids = annotations(tmp_path / "instances.json")
    done = export(found, "--to", "coco", "--annotations", ids, "--out", tmp_path / "coco.json", "--unscored", "0.5")
    assert done.exit_code == 0, done.stderr
    assert "1 boxes have no score; COCO demands one, so 0.5 stands there" in done.stderr
    assert "warning: AP ranks boxes of all pictures by score, and scores of kind share were not made" in done.stderr
    rows = json.loads((tmp_path / "coco.json").read_text())
    assert [(row["image_id"], row["score"]) for row in rows] == [(0, 0.75), (0, 0.5), (2, 0.5), (3, 0.25)]


def test_what_cannot_be_is_refused(found: Path, tmp_path: Path) -> None:
    out = tmp_path / "file" / "all.csv"
    assert "unknown format 'coc'. Did you mean 'coco'?" in export(found, "--to", "coc", "--out", out).stderr
    assert "add --annotations instances.json" in export(found, "--to", "coco", "--out", out).stderr
    (tmp_path / "file").write_text("")
    done = export(found, "--to", "csv", "--out", out)
    assert done.exit_code == 2 and "expected a file that can be written at" in done.stderr
