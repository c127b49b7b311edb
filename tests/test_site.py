"""The site of the documentation: built strictly, whole, and without anything from another host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from mkdocs.utils.yaml import yaml_load

import glintbox
from glintbox.cli.main import app
from recipes.site.hooks import OUTSIDE, about, commands, here

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CONFIG = yaml_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
PAGES |= {page for page in OUTSIDE.values() if page.endswith(".md")} | {"cli.md"}


def built(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    told = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=told, capture_output=True, text=True)


class Loads(HTMLParser):
    """What a browser fetches for a page, beside what a reader may click."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = re.findall(r"url\([\"']?(.*?)[\"']?\)", page)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster") + (("href",) if tag in {"link", "use", "image"} else ())
        self.found += [value for name, value in attrs if name in names and value]


def from_elsewhere(text: str) -> list[str]:
    return [url for url in Loads(text).found if re.match(r"(\w+:)?//", url) and not url.startswith("data:")]


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = built(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    linked = re.findall(
        r"^- \[.+\]\((.+?)\): .", (tmp_path / "llms.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert {re.sub(r"\.html$", ".md", page) for page in linked} == PAGES and len(linked) == len(PAGES)
    assert all((tmp_path / page).stat().st_size > 100 for page in linked)
    files = [path for end in ("html", "css") for path in tmp_path.rglob(f"*.{end}")]
    assert {
        str(path.relative_to(tmp_path)): found for path in files if (found := from_elsewhere(path.read_text()))
    } == {}
    reference = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "api").glob("*.html"))
    assert [name for name in glintbox.__all__ if not re.search(rf'id="glintbox\.[\w.]+\.{name}"', reference)] == []


@pytest.mark.slow
def test_links_that_lead_nowhere_and_pages_that_are_not_in_the_nav_stop_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    links = ["[a](b.md)", "[a](#nowhere)", "[a](../README.md)", "![a](b.png)", "[a](/b.md)"]
    (tmp_path / "docs" / "index.md").write_text("\n\n".join(["# A page", *links]))
    (tmp_path / "docs" / "alone.md").write_text("# Another\n")
    own = "docs_dir: docs\nnav: [index.md]\nplugins: []\nhooks: []\nextra_templates: []\n"
    (tmp_path / "mkdocs.yml").write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\n{own}")
    done = built(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0 and done.stderr.count("WARNING") == len(links) + 1, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.b/c.js">', '<link href="//a.b/c.css">', '<img srcset="https://a.b/c.png 2x">',
        "<style>a { b: url('http://a.b/c.woff') }</style>",
    ],
)  # fmt: skip
def test_what_is_loaded_from_elsewhere_is_seen(text: str) -> None:
    assert len(from_elsewhere(text)) == 1
    assert (
        from_elsewhere('<a href="https://a.b">a</a><img src="a.png"><i style="b: url(data:image/png;base64,//)">') == []
    )


def leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from leaves(part)


def test_every_page_is_in_the_nav_once() -> None:
    listed = list(leaves(CONFIG["nav"]))
    assert set(listed) ^ PAGES == set() and len(listed) == len(PAGES)


def test_every_result_is_on_the_page_of_results() -> None:
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "results" / "index.md").read_text(encoding="utf-8"))
    results = {path.relative_to(DOCS / "results").as_posix() for path in (DOCS / "results").rglob("*.md")}
    assert {*linked, "index.md"} == results and len(linked) == len(set(linked))


def names(command: Any, *above: str) -> Iterator[str]:
    for name, part in getattr(command, "commands", {}).items():
        yield " ".join((*above, name))
        yield from names(part, *above, name)


def test_every_command_has_a_section_that_opens_with_a_line_to_copy() -> None:
    told = commands()
    every = set(names(typer.main.get_command(app), "glintbox"))
    assert set(re.findall(r"^##+ `(.+)`$", told, flags=re.MULTILINE)) == every and len(every) > 25
    groups = {name for name in every if any(other.startswith(f"{name} ") for other in every)}
    for name in every - groups:
        assert re.search(rf"^##+ `{name}`\n\n```sh\n.*{name}", told, flags=re.MULTILINE), name


def test_links_lead_to_where_files_lie_in_the_site() -> None:
    assert here("[a](docs/web.md#b) ![c](docs/images/d.png) [e](https://f) [g](#h)", "index.md") == (
        "[a](web.md#b) ![c](images/d.png) [e](https://f) [g](#h)"
    )
    assert here("[a](../../docs/acs.md) ![b](curves.png)", "recipes/embedded.md") == "[a](../acs.md) ![b](curves.png)"
    assert (
        here("[a](../recipes/embedded/README.md#b) [c](results/d.md)", "acs.md")
        == "[a](recipes/embedded.md#b) [c](results/d.md)"
    )
    assert here("[a](../../README.md)", "results/index.md") == "[a](../index.md)"
    assert here("[a](../src/b.py) [c](../LICENSE)", "acs.md") == "[a](../src/b.py) [c](../LICENSE)"


def test_a_page_is_about_its_first_sentence() -> None:
    assert about("# A\n\n```sh\nb\n```\n\n| c |\n\nThe [d](e.md) of `f`\nis *g*. More.\n") == "The d of f is g."
    assert about("# A\n\nThese are:\n\n- b. c\n") == "These are." and about("# A\n") == ""
