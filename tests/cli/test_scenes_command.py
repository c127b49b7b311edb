"""`glintbox scenes` as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glintbox.cli.main import app
from glintbox.datasets import art


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["scenes", *(str(word) for word in words)])


def test_make_writes_pictures_boxes_and_expressions(tmp_path: Path) -> None:
    made = run("make", tmp_path / "out", "--split", "calibration", "--n", "2")
    assert made.exit_code == 0, made.output
    assert "2 scenes of split calibration" in made.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "expressions.json",
        "images",
        "instances.json",
    ]
    written = json.loads((tmp_path / "out" / "instances.json").read_bytes())
    assert len(written["images"]) == 2 == len(list((tmp_path / "out" / "images").iterdir()))


@pytest.mark.parametrize("words", [[], ["--expressions"]])
def test_a_sheet_is_a_picture(tmp_path: Path, words: list[str]) -> None:
    made = run("sheet", tmp_path / "new" / "sheet.png", "--n", "3", *words)
    assert made.exit_code == 0, made.output
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 300


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["make", "out", "--n", "0"], "at least 1 scene, got 0"),
        (["make", "out", "--n", "1000001"], "at most 1000000 scenes of split 'validation', got 1000001"),
        (["make", "out", "--split", "tset"], "Did you mean 'test'"),
        (["make", "file", "--n", "1"], "expected a folder that can be written"),
        (["sheet", "out.png", "--n", "0"], "expected 1 to 400 scenes on a sheet, got 0"),
        (["sheet", "file/out.png", "--n", "1"], "expected a picture that can be written"),
        (["sheet", "out.png", "--split", "tset"], "Did you mean 'test'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    failed = run(*words)
    assert failed.exit_code == 2
    assert told in failed.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("damage", ["missing", "half", "json"])
def test_damaged_art_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    for path in art.FOLDER.glob("sprites-*"):
        shutil.copy(path, tmp_path)
    if damage == "missing":
        (tmp_path / "sprites-a.webp").unlink()
    elif damage == "half":
        whole = (tmp_path / "sprites-a.webp").read_bytes()
        (tmp_path / "sprites-a.webp").write_bytes(whole[: len(whole) // 2])
    else:
        (tmp_path / "sprites-a.json").write_text("{")
    monkeypatch.setattr(art, "FOLDER", tmp_path)
    art.sprites.cache_clear()
    try:
        failed = run("sheet", tmp_path / "sheet.png", "--n", "1")
    finally:
        art.sprites.cache_clear()
    assert failed.exit_code == 2, failed.output
    assert "expected the drawings sprites-a.webp and sprites-a.json" in failed.output
    assert "install glintbox again" in failed.output
