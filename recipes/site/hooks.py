"""What mkdocs does not do by itself: pages from outside docs/, the commands, and pages as Markdown for llms.txt."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from glintbox.cli.main import app

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "recipes/embedded/README.md": "recipes/embedded.md",
    "recipes/embedded/curves.png": "recipes/curves.png",
    "recipes/paper/README.md": "recipes/paper.md",
    "recipes/ray/README.md": "recipes/ray.md",
}
"""Files of the repository that belong to the site, and where they lie in it."""
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)")
SENTENCE = re.compile(r"\n\n(?!#|\||!|>|<|- |\* |```|:::|    )(.+?)(?=\.\s|:?\n\n)", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, those from outside, and a page of all commands."""
    for source, inside in OUTSIDE.items():
        files.append(File.generated(config, inside, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "cli.md", content=commands()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """The page with the links that hold in the site; beside it a copy for llms.txt, and what it is about."""
    told = here(markdown, page.file.src_uri)
    copy = Path(config.site_dir, page.file.src_uri)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(told, encoding="utf-8")
    page.meta["description"] = about(told)
    return told


def here(markdown: str, place: str) -> str:
    """Links of a file of the repository, led to where it lies in the site; others stay, for mkdocs to name."""
    source = {inside: source for source, inside in OUTSIDE.items()}.get(place, f"docs/{place}")

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        inside = OUTSIDE.get(target, target.removeprefix("docs/"))
        return link[1] if inside == target else posixpath.relpath(inside, posixpath.dirname(place))

    return LINK.sub(led, markdown)


def about(markdown: str) -> str:
    """The first sentence of a page, as plain words."""
    found = SENTENCE.search(markdown)
    return " ".join(re.sub(r"\[(.*?)\]\(.*?\)|[*`]", r"\1", found[1]).split()) + "." if found else ""


def commands() -> str:
    """Every command as typer tells it; the line to copy that opens each help text becomes one."""
    command = typer.main.get_command(app)
    told = get_docs_for_click(obj=command, ctx=typer.Context(command), name="glintbox", title="Commands")
    return re.sub(r"(?m)^(#+ .*\n\n)(glintbox .+?)\n\n", r"\1```sh\n\2\n```\n\n", told)
