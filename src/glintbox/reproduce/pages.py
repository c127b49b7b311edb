"""A table or figure on paper: Markdown, the same numbers as JSON, pictures."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from glintbox.artifacts import write_whole
from glintbox.draw import Figure, save_figure
from glintbox.errors import BadInput
from glintbox.records import to_json

REPORTED = "Columns headed *reported* are the paper's numbers for its models and data; everything else is *measured*."


@dataclass(frozen=True, slots=True)
class Page:
    """One result. about: what it was measured on; parts: paragraphs and tables; numbers: the same for programs.

    figures: by file name without ending; the first one is shown first.
    """

    name: str
    title: str
    about: Mapping[str, str]
    parts: Sequence[str]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a page's JSON holds."""

    name: str
    title: str
    about: Mapping[str, str]
    numbers: Mapping[str, Any]


def markdown(page: Page) -> str:
    """The page as Markdown; pictures are named beside it, what it was measured on stands last."""
    about = "\n".join(f"- {name}: {value}" for name, value in page.about.items())
    pictures = [f"![{page.title}]({name}.png)" for name in page.figures]
    return "\n\n".join([f"# {page.title}", *page.parts, *pictures, "## Measured on", about]) + "\n"


def write(page: Page, out: Path) -> tuple[str, ...]:
    """Write a page's files and return their names.

    Raises:
        BadInput: they cannot be written.
    """
    files = {f"{page.name}.md": markdown(page).encode()}
    if page.numbers:
        record = Numbers(page.name, page.title, page.about, page.numbers)
        files[f"{page.name}.json"] = to_json(record, indent=1).encode() + b"\n"
    files |= {f"{name}.png": _png(figure) for name, figure in page.figures.items()}
    try:
        for name, content in files.items():
            write_whole(out / name, content)
    except OSError as error:
        raise BadInput(f"could not write {page.name} into {out}: {error}; what it is made from is kept") from error
    return tuple(files)


def commit() -> str:
    """The commit of the code that runs, with + where it was changed since; "none" where it is no clone."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        told = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # else the folder lies in somebody else's clone
        return git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "--", str(folder.parent)))
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _png(figure: Figure) -> bytes:
    """A picture of 256 colours: a third of the bytes, and hardly to be told apart."""
    buffer, small = io.BytesIO(), io.BytesIO()
    save_figure(figure, buffer)
    Image.open(buffer).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()
