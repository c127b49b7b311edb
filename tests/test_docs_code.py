"""Pages of the docs keep their word: commands parse, Python runs, the schema is the record's."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from glintbox.cli.main import app
from glintbox.records import HeadMap, from_json, to_json
from tests.kept import TWO
from tests.lvlm.served import Service
from tests.sets import IMAGE
from tests.test_first_run import parsed

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(page: str) -> list[str]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("glintbox ")]


@pytest.mark.parametrize("line", commands("exports.md") + commands("headmap.md"))
def test_every_command_parses(line: str) -> None:
    assert parsed(line)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the blocks of exports.md read."""
    (tmp_path / "examples").symlink_to(DOCS.parent / "examples")
    size = {"width": IMAGE.width, "height": IMAGE.height}
    box = TWO.boxes[0].box
    row = {"id": 1, "image_id": 1, "category_id": 7, "iscrowd": 0, "area": box.area}
    corners = {"bbox": [box.x1, box.y1, box.width, box.height]}
    truth = {
        "info": {},
        "images": [{"id": 1, "file_name": "a.png", **size}],
        "categories": [{"id": 7, "name": "cup"}],
        "annotations": [row | corners],
    }
    (tmp_path / "instances_val2017.json").write_text(json.dumps(truth))
    result = {"image_id": 1, "category_id": 7, "score": 0.5, "score_kind": "iou"}
    (tmp_path / "results.json").write_text(json.dumps([result | corners]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other tools' imports
@pytest.mark.parametrize("code", blocks("exports.md", "python"))
def test_python_of_the_exports_page_runs(code: str, place: Path) -> None:
    for tool in ("supervision", "sahi"):
        if f"to_{tool}" in code or f"from {tool}" in code:
            pytest.importorskip(tool)
    printed: list[object] = []
    exec(compile(code, "exports.md", "exec"), {"print": lambda *words: printed.extend(words)})
    assert printed and all(len(word) if hasattr(word, "__len__") else word for word in printed), printed


def test_the_schema_on_the_page_is_that_of_the_record_and_of_the_command() -> None:
    _, shown = blocks("headmap.md", "json")
    assert json.loads(shown) == TypeAdapter(HeadMap).json_schema()
    done = CliRunner().invoke(app, ["heads", "schema"])
    assert json.loads(done.stdout) == json.loads(shown)


def test_the_file_on_the_page_is_a_head_map() -> None:
    shown, _ = blocks("headmap.md", "json")
    read = from_json(HeadMap, shown)
    assert read.heads["x1"][0] == (14, 24) and json.loads(shown).items() <= json.loads(to_json(read)).items()


@pytest.mark.slow
def test_python_of_the_remote_page_runs(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    [code] = blocks("remote.md", "python")
    usual = '"http://127.0.0.1:8000/v1"'
    assert code.count(usual) == 1
    printed: list[Any] = []
    exec(compile(code.replace(usual, repr(service.url)), "remote.md", "exec"), {"print": lambda *a: printed.extend(a)})
    assert printed[0] == "consensus" and len(printed[1][0][0]) == 4
    assert len(service.seen()) >= 2, "the server was asked, greedy and samples"
