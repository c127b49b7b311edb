"""Pages keep their word: their commands parse, their Python runs, the schema is the record's."""

import json
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from glintbox.cli.main import app
from glintbox.records import HeadMap, from_json, to_json
from tests.kept import TWO
from tests.learnable import a_store
from tests.lvlm.served import Service
from tests.sets import IMAGE
from tests.test_first_run import parsed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("recipes/*/*.md")])
NOT_RUN_HERE = {
    "README.md": "test_readme.py runs it",
    "docs/exports.md": "below, with files that it reads and tools that it needs",
    "docs/first-run.md": "test_first_run.py runs it",
    "docs/regressor.md": "cli/test_train_command.py runs it",
    **dict.fromkeys(
        ("docs/how-it-works.md", "docs/choosing-a-selector.md", "docs/coordinates.md", "docs/add-a-model.md"),
        "test_docs_pages.py runs it",
    ),
    "docs/add-a-selector.md": "test_docs_pages.py runs it",
    "docs/localization-heads.md": "needs the weights of a large model",
    "docs/remote.md": "below, with a server",
}
"""Pages whose Python is not run by the test of all pages, and why."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page of docs/, or of another file by its path from the root, without their indentation."""
    file = ROOT / page if (ROOT / page).is_file() else DOCS / page
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^\1```", file.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(block) for _, block in found]


def commands(page: str) -> list[str]:
    """The commands of glintbox on a page, each on one line."""
    told = [words for script in blocks(page, "sh") for words in simple(script)]
    return [shlex.join(words) for words in told if words[0] == "glintbox"]


def simple(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script, word by word, without comments and variables that are set for one."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for ends, command in groupby(words, lambda word: not word.strip("();<>|&")):
            if not ends and (left := [*dropwhile(re.compile(r"\w+=").match, command)]):
                yield left


def check(words: list[str]) -> None:
    """Raises, or fails, where a command of this project cannot be run as it is written."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    match words:
        case ["glintbox", *_]:
            parsed(shlex.join(words))
        case ["make", target, *_]:
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"no target {target}"
        case ["python", "-m", module, *_]:
            assert find_spec(module), f"no module {module}"
        case ["python" | "sh", file, *_] if "/" in file:
            assert (ROOT / file).is_file(), f"no file {file}"
        case ["pip", "install", *packages]:
            named = re.findall(r"glintbox\[(.*?)\]", " ".join(packages))
            assert {extra for names in named for extra in names.split(",")} <= set(extras), named


SCRIPTS = [(name_of(page), block) for page in PAGES for block in blocks(name_of(page), "sh")]


@pytest.mark.parametrize("page, script", SCRIPTS, ids=lambda text: text[:60])
def test_every_command_can_be_run_as_it_is_written(page: str, script: str) -> None:
    for words in simple(script):
        check(words)


@pytest.mark.parametrize(
    "line",
    [
        "glintbox ground a.jpg --qeury cup", "cat a | glintbox parse --frame", "glintbox env && glintbox heads none",
        "make demos", "python -m benchmarks.none", "python recipes/none.py", 'pip install "glintbox[demo]"',
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_run_is_seen(line: str) -> None:
    with pytest.raises(
        Exception, match=r"[Nn]o such (option|command)|requires an argument|no (target|module|file)|demo|none"
    ):
        for words in simple(line):
            check(words)


def test_words_are_those_of_the_shell() -> None:
    told = "A=1 glintbox env & echo '{\"a\": 1}' |  glintbox parse - # why\nglintbox \\\n  env > file; wait"
    assert list(simple(told)) == [
        ["glintbox", "env"], ["echo", '{"a": 1}'], ["glintbox", "parse", "-"],
        ["glintbox", "env"], ["file"], ["wait"],
    ]  # fmt: skip


@pytest.mark.parametrize("page", [name for page in PAGES if blocks(name := name_of(page), "(?:python|json)")])
def test_python_and_json_are_well_formed(page: str) -> None:
    for code in blocks(page, "python"):
        compile(code, page, "exec")
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [name for page in PAGES if blocks(name := name_of(page), "python") and name not in NOT_RUN_HERE]
)
def test_the_python_of_a_page_runs_in_its_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    a_store(tmp_path / "store")
    names: dict[str, Any] = {"print": lambda *words: None}
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), names)
    assert len(names) > 2


def test_pages_that_are_not_run_are_there_and_have_python() -> None:
    assert all(blocks(page, "python") for page in NOT_RUN_HERE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the blocks of exports.md read."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
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
