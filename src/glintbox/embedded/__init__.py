"""The model in the box: an ordinary checkpoint folder that ships with the package, and where it lies."""

from __future__ import annotations

from pathlib import Path

NAME = "embedded"
"""What to write instead of a hub name or folder to get the model in the box."""


def folder() -> Path:
    """The checkpoint folder: weights, tokenizer, processor, configs and head map."""
    return Path(__file__).parent / "qwen3_vl_scenes"


def source(name: str | Path) -> str | Path:
    """A hub name or folder as it is, and the model in the box for its name."""
    return folder() if str(name) == NAME else name
