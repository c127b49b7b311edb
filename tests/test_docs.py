"""What the documents and the mutants say of tests is true: each row of a table names tests, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
TRAPS = (DOCS / "traps.md").read_text(encoding="utf-8")
FEATURES = (DOCS / "features.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows(text: str) -> list[str]:
    """The rows of all tables, without heading and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [line for k, line in enumerate(lines) if "|---|" not in "".join(lines[k : k + 2])]


def names_in(file: str) -> set[str]:
    """Names of the test functions of a file below tests/; empty where there is no such file."""
    path = TESTS / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def missing(row: str) -> list[str]:
    """Tests that a row names and that do not exist, or that it names none."""
    named = NAMED.findall(row.split("|")[3])
    return [f"{file}::{name}" for file, name in named if name not in names_in(file)] if named else ["no test"]


@pytest.mark.parametrize("row", rows(TRAPS), ids=lambda row: row.split("|")[1].strip()[:60])
def test_every_trap_names_tests_that_exist(row: str) -> None:
    assert row.count("|") == 4
    assert missing(row) == []


@pytest.mark.parametrize("row", rows(FEATURES), ids=lambda row: row.split("|")[1].strip()[:60])
def test_every_feature_names_tests_that_exist_or_is_not_done(row: str) -> None:
    assert row.count("|") == 4
    _, _, has, shown, _ = row.split("|")
    assert has.strip().startswith("*not done*:") if shown.strip() == "-" else missing(row) == []


@pytest.mark.parametrize("page, least", [(TRAPS, 60), (FEATURES, 50)], ids=["traps", "features"])
def test_nothing_is_listed_twice(page: str, least: int) -> None:
    names = [row.split("|")[1].strip() for row in rows(page)]
    assert len(set(names)) == len(names) > least


def test_every_mutant_names_a_test_that_exists() -> None:
    mutants = ast.parse((TESTS / "lvlm" / "test_mutations.py").read_text(encoding="utf-8"))
    told = [ast.get_docstring(node) for node in mutants.body if isinstance(node, ast.FunctionDef)]
    named = [re.match(r"Breaks (test_\w+\.py)::(\w+)(…?)", text or "") for text in told]
    assert len(named) > 10
    for text, found in zip(told, named, strict=True):
        assert found is not None, text
        file, name, cut = found.groups()
        assert any(test == name or (cut and test.startswith(name)) for test in names_in(f"lvlm/{file}")), text


def test_this_test_can_fail() -> None:
    table = "| a | b | c |\n|---|---|---|\n| x | y | `test_docs.py::test_nothing` |\n| z | y | soon |\n"
    assert [missing(row) for row in rows(table)] == [["test_docs.py::test_nothing"], ["no test"]]
    assert missing("| x | y | `test_docs.py::test_this_test_can_fail`, `none.py::test_a` |") == ["none.py::test_a"]
