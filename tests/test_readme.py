"""The README keeps its word: its Python runs, its commands exist, its tree is the tree."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glintbox.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_the_readme_runs(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    printed: list[object] = []
    exec(compile(code, "README.md", "exec"), {"print": lambda *words: printed.extend(words)})
    assert printed, "the example prints something"
    assert all(printed), printed


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines() if "glintbox " in line])
def test_commands_in_the_readme_exist_with_their_options(line: str) -> None:
    words = shlex.split(line.partition("#")[0].split("|")[-1])
    start = next((k for k, word in enumerate(words) if word.rsplit("/", 1)[-1] == "glintbox"), None)
    if start is None:
        return
    names: list[str] = []
    rest = words[start + 1 :]
    while rest and re.fullmatch("[a-z]+", rest[0]) and len(names) < 2:
        names.append(rest.pop(0))
    told = CliRunner().invoke(app, [*names, "--help"])
    assert told.exit_code == 0, told.output
    for option in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{option}\b", told.output), f"{option} is no option of {names}"


def test_the_tree_in_the_readme_is_the_tree() -> None:
    [tree] = re.findall(r"```text\n(src/glintbox/.*?)```", README, flags=re.DOTALL)
    named = set(re.findall(r"\b([a-z_0-9]+)\.py\b", tree))
    real = {path.stem for path in (ROOT / "src" / "glintbox").rglob("*.py") if path.stem != "__init__"}
    assert named == real
