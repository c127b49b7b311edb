"""`import glintbox` is light, and its public names are those that were promised."""

import subprocess
import sys

import pytest

import glintbox

HEAVY = ("torch", "transformers", "matplotlib", "gradio", "starlette", "typer", "scipy", "PIL", "numpy", "pydantic")


def loaded_by(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_glintbox_loads_nothing_heavy() -> None:
    assert loaded_by("import glintbox") == set()


def test_this_test_can_fail() -> None:
    assert loaded_by("import glintbox.images") == {"PIL", "numpy"}


def test_the_public_names_are_these_and_each_can_be_had() -> None:
    names = ["Box", "CandidateSet", "GlintboxError", "Grounder", "Grounding", "HeadMap", "Selector", "Size"]
    assert glintbox.__all__ == names
    assert [getattr(glintbox, name).__name__ for name in names] == names


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Grunder'; public names: Box, CandidateSet"):
        glintbox.Grunder  # noqa: B018  # the attribute access is the test
