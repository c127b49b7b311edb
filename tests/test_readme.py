"""The README keeps its word: its Python runs, its tree is the tree."""

import re
from pathlib import Path

import pytest

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


def test_the_tree_in_the_readme_is_the_tree() -> None:
    [tree] = re.findall(r"```text\n(src/glintbox/.*?)```", README, flags=re.DOTALL)
    named = set(re.findall(r"\b([a-z_0-9]+)\.py\b", tree))
    real = {path.stem for path in (ROOT / "src" / "glintbox").rglob("*.py") if path.stem != "__init__"}
    assert named == real
