"""Files of at most 300 lines and functions of at most 40, so that each tells one story."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "glintbox"
FILE, FUNCTION = 300, 40


def too_long(text: str) -> list[str]:
    """Names of what is too long; a function's lines count from its `def`, docstring included."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{f.name}: {lines} lines" for f in functions if (lines := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION]
    return long + [f"file: {lines} lines" for lines in [len(text.splitlines())] if lines > FILE]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_are_short(path: Path) -> None:
    assert too_long(path.read_text(encoding="utf-8")) == []


def test_this_test_can_fail() -> None:
    assert too_long("def f():\n" + "    x = 1\n" * 40) == ["f: 41 lines"]
    assert too_long("def f():\n" + "    x = 1\n" * 39) == []
    assert too_long("x = 1\n" * 301) == ["file: 301 lines"]
