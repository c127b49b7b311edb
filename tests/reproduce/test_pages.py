"""A page on disk: Markdown, JSON and pictures of the same name, or a message."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from glintbox.errors import BadInput
from glintbox.metrics import Interval
from glintbox.reproduce.pages import Page, commit, markdown, write

PAGE = Page("table9", "Table 9", {"split": "none", "seeds": "0"}, ["Words.", "| a |\n| --- |\n| 1 |"], {"a": 1})


def test_what_it_was_measured_on_stands_last() -> None:
    assert markdown(PAGE) == (
        "# Table 9\n\nWords.\n\n| a |\n| --- |\n| 1 |\n\n## Measured on\n\n- split: none\n- seeds: 0\n"
    )


def test_numbers_lie_beside_the_words_and_pictures_are_named(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    page = Page("fig9", "Figure 9", {}, ["Words."], {"b": Interval(0.25, 0.5)}, {"fig9": figure, "more": figure})
    assert write(page, tmp_path / "out") == ("fig9.md", "fig9.json", "fig9.png", "more.png")
    assert "![Figure 9](fig9.png)" in (tmp_path / "out" / "fig9.md").read_text()
    assert json.loads((tmp_path / "out" / "fig9.json").read_text())["numbers"] == {"b": [0.25, 0.5]}
    with Image.open(tmp_path / "out" / "more.png") as picture:
        assert picture.format == "PNG"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BadInput, match=r"could not write table9 into .*out"):
        write(PAGE, tmp_path / "out")


def test_the_commit_is_a_word() -> None:
    assert commit().rstrip("+").isalnum()
