"""Pages that explain keep their word: commands parse, Python runs, numbers and messages are the code's."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from glintbox.boxes import Box, Size
from glintbox.cli.main import app
from glintbox.geometry import CoordFrame
from glintbox.lvlm.families import FAMILIES
from glintbox.lvlm.grids import padded_square
from glintbox.records import Selector
from glintbox.selectors import Given
from tests.selectors.test_selectors import BOXES, random_set
from tests.sets import a_set, boxes_of, permuted
from tests.test_docs import names_in
from tests.test_docs_code import DOCS, blocks
from tests.test_first_run import parsed

ROOT = DOCS.parent
PAGES = (
    *("how-it-works.md", "choosing-a-selector.md", "coordinates.md", "add-a-model.md", "add-a-selector.md"),
    *("troubleshooting.md", "glossary.md", "newcomer.md"),
)


def run(page: str) -> tuple[dict[str, Any], str]:
    """All Python of a page in one namespace, as a reader runs it: the names that it leaves, and what it printed."""
    said: list[str] = []
    names: dict[str, Any] = {"print": lambda *words: said.append(" ".join(map(str, words)))}
    for code in blocks(page, "python"):
        before = len(said)
        exec(compile(code, page, "exec"), names)
        assert len(said) > before or "\ndef " in code, f"a block of {page} that shows nothing"
    return names, "\n".join(said) + "\n"


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


LINES = {line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()}


@pytest.mark.parametrize("line", sorted(line for line in LINES if line.startswith("glintbox ")))
def test_every_command_parses(line: str) -> None:
    assert parsed(line)


@pytest.mark.slow
@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("page", ["how-it-works.md", "choosing-a-selector.md"])
def test_python_of_the_pages_runs(page: str) -> None:
    assert run(page)[1]


@pytest.mark.slow
@pytest.mark.usefixtures("at_root")
def test_frames_print_what_the_page_shows() -> None:
    assert run("coordinates.md")[1].endswith(blocks("coordinates.md", "text")[1])


def test_the_family_on_the_page_is_the_one_in_the_table() -> None:
    assert run("add-a-model.md")[1] == blocks("add-a-model.md", "text")[0] + "True\n"


def test_the_views_on_the_page_are_those_of_the_code() -> None:
    def body(source: str) -> str:
        [made] = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
        return "\n".join(map(ast.unparse, made.body))

    assert body(blocks("add-a-model.md", "python")[1]) == body(inspect.getsource(padded_square))


def test_answers_parse_to_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [answer] = re.findall(r"echo '(.*)' > answer.txt", blocks("coordinates.md", "sh")[0])
    Path("answer.txt").write_text(answer)
    lines = [line for line in blocks("coordinates.md", "sh")[0].splitlines() if line.startswith("glintbox")]
    said = "".join(CliRunner().invoke(app, line.split()[1:]).stdout for line in lines)
    assert said == blocks("coordinates.md", "text")[0]


def test_the_factors_on_the_page_are_those_of_the_resized_picture() -> None:
    """1316 x 728 is worked out by hand in lvlm/test_processors.py."""
    image = Size(1920, 1080)
    box = CoordFrame(Size(1316, 728), Box.whole(image)).box((0, 0, 1, 1), image)
    assert box is not None
    assert f"factor {box.x2:.2f} × {box.y2:.2f}" in (DOCS / "coordinates.md").read_text(encoding="utf-8")


def test_the_table_of_frames_names_every_family_with_its_units() -> None:
    text = (DOCS / "coordinates.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    told = {name: units.strip() for names, units in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(FAMILIES)
    for name, units in told.items():
        assert re.match(rf"{units.split(' (')[0]}\b", FAMILIES[name].units), name


@pytest.mark.slow
@pytest.mark.usefixtures("at_root")
def test_the_selector_on_the_page_keeps_the_laws_that_the_page_names() -> None:
    names = run("add-a-selector.md")[0]
    mine: Selector = names["mine"]
    made: Selector = names["_image_share"]("image-share", Given(None, None, None, multiple=False))
    found = random_set(0)
    for one in (mine, made):
        chosen = one.choose(found)
        assert [box.candidate for box in chosen] != [0] and len(chosen) == 1
        assert boxes_of(one.choose(permuted(found, [3, 1, 5, 0, 2, 4]))) == boxes_of(chosen)
        assert one.choose(a_set([], greedy=BOXES[:1])) == ()
        assert chosen[0].score is not None and 0 <= chosen[0].score <= 1


@pytest.mark.parametrize("page", ["add-a-model.md", "add-a-selector.md", "how-it-works.md"])
def test_tests_and_files_that_a_page_names_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for file, name in re.findall(r"`(test_\w+\.py)::(\w+)`", text):
        assert name in names_in(f"lvlm/{file}"), f"{file}::{name}"
    for path in re.findall(r"`((?:src|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_laws_that_are_named_for_selectors_are_tests() -> None:
    text = (DOCS / "add-a-selector.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) == 4 and named <= names_in("selectors/test_selectors.py")


# --- numbers ---------------------------------------------------------------------------------------------------------


def measured(name: str) -> dict[str, dict[str, float]]:
    """Acc@0.5 and its difference to greedy at T = 0.5, %, by method."""
    reports = json.loads((DOCS / "results" / f"{name}.json").read_text())["numbers"]["reports"]
    return {one["method"]: one for one in reports if one["temperature"] == 0.5}


def cell(report: dict[str, Any]) -> tuple[str, str]:
    """Accuracy and difference as the table writes them."""
    share, gain, (low, high) = report["acc_at_50"], report["gain"], report["gain_interval"]
    words = f"{100 * gain:+.1f}"
    told = "-" if report["method"] == "greedy" else words if low <= 0 <= high else f"**{words}**"
    return f"{100 * share:.1f}", told


def test_the_table_of_selectors_is_what_was_measured() -> None:
    text = (DOCS / "choosing-a-selector.md").read_text(encoding="utf-8")
    [table] = re.findall(r"\| \| style a .*?\n\|---.*?\n(.*?)\n\n", text, flags=re.DOTALL)
    a, b = measured("table2"), measured("transfer")
    reported = dict(re.findall(r"^\| ([\w-]+) \| (?:-|0\.5 \(chosen\)) \|.*\| ([\d.]*) \|[^|]*\|[^|]*\|[^|]*\|$",
                               (DOCS / "results" / "table2.md").read_text(), flags=re.MULTILINE))  # fmt: skip
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in table.splitlines()]
    assert {row[0] for row in rows} == set(a) - {"acs-free, heads by labels"}
    for name, *numbers in rows:
        assert numbers == [*cell(a[name]), *cell(b[name]), reported[name]], name


# --- messages --------------------------------------------------------------------------------------------------------


def messages() -> list[str]:
    """Every text in the code, with a gap for each value that is filled in."""
    found = []
    for path in (ROOT / "src" / "glintbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def quoted() -> list[str]:
    """What the first column of the tables quotes."""
    lines = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    return [quote for line in lines if line.startswith("| ") for quote in re.findall("`([^`]+)`", line.split(" | ")[0])]


def said(quote: str, known: list[str]) -> bool:
    """Whether some message has all parts of a quotation in their order."""
    pattern = re.compile(".*?".join(re.escape(part.strip()) for part in quote.split("…")), flags=re.DOTALL)
    return any(pattern.search(message) for message in known)


def test_every_quoted_message_is_one_of_the_code() -> None:
    known = messages()
    assert len(quoted()) > 30
    assert [quote for quote in quoted() if not said(quote, known)] == []


def test_a_message_that_nobody_says_would_be_noticed() -> None:
    known = messages()
    assert not said("expected a prompt of … tokens about …", known)
    assert said("expected a prompt of … tokens for …", known)


# --- glossary --------------------------------------------------------------------------------------------------------


def test_every_name_in_the_glossary_is_one_of_the_code() -> None:
    """Classes, fields and functions; `a.b` is looked for by its parts."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "glintbox").rglob("*.py"))
    for name in re.findall(r"`([A-Za-z_][\w.]*)`", text):
        for part in name.removesuffix(".py").split("."):
            stem = re.search(rf"\b{part}\b", code) or [*(ROOT / "src" / "glintbox").rglob(f"{part}.py")]
            assert stem, name


# --- the notebook ----------------------------------------------------------------------------------------------------

NOTEBOOK = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(one["source"]) for one in NOTEBOOK["cells"] if one["cell_type"] == "code"]


def test_the_notebook_is_stored_without_outputs() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({one["id"] for one in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    code = [one for one in NOTEBOOK["cells"] if one["cell_type"] == "code"]
    assert all(one["outputs"] == [] and one["execution_count"] is None for one in code)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its cells in order: a Jupyter kernel would bring some thirty packages for the same Python."""
    monkeypatch.chdir(tmp_path)
    Path("images").symlink_to(ROOT / "examples" / "images")
    printed: list[object] = []
    names: dict[str, Any] = {"print": lambda *words: printed.extend(words)}
    shown = [shows(cell, names) for cell in CELLS]
    sizes = [one.size for one in shown if hasattr(one, "size")]
    assert sizes[0] == (288, 288) and len(sizes) == 3 and min(sizes[1]) > 300, sizes
    assert printed[-1] is True and Path("owl.json").is_file()


def shows(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line where that is an expression, which a notebook shows."""
    *before, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        exec(compile(code, "quickstart.ipynb", "exec"), names)
        return None
    exec(compile(ast.Module(before, []), "quickstart.ipynb", "exec"), names)
    return eval(compile(ast.Expression(last.value), "quickstart.ipynb", "eval"), names)
