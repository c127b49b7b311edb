"""A second look: what it is shown, and that everything lies in pixels of the whole picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Resampling
from typer.testing import CliRunner

from benchmarks import zoom as benchmark
from glintbox.boxes import Box, Size
from glintbox.cli.main import app
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.ground import Grounder
from glintbox.lvlm.api import LVLM, Answered
from glintbox.records import Grounding, Sampling, from_json
from glintbox.rivals import moved, window
from glintbox.zoom import Zoomed, placed
from tests.lvlm.tiny import picture
from tests.test_rivals import SIZE, Seen

SCENE = Path(__file__).parents[1] / "examples" / "images" / "scene-15-owl.jpg"
FIRST = "[[500, 500, 550, 600]]"
"""Of 1000 x 1000 over a picture of 80 x 60: 40, 30, 44, 36."""


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 19), st.integers(1, 19))
def test_a_box_of_the_part_lies_where_it_lies_in_the_picture(x: int, y: int, wide: int, high: int) -> None:
    made = Seen("").prompt(picture(*SIZE), "cup", id="a")
    made = replace(made, frame=CoordFrame(Size(100, 80), Box(8, 0, 72, 60)))  # a centre crop
    part, written = Box(20, 15, 60, 45), (x, y, x + wide, y + high)
    near = made.frame.box(written, SIZE)
    whole = placed(made, part).frame.box(written, SIZE)
    assert near is not None and whole is not None
    assert tuple(whole) == pytest.approx(tuple(moved(near, Box.whole(SIZE), part)))


def test_cells_of_every_view_lie_in_the_part() -> None:
    made = Seen("").prompt(picture(*SIZE), "cup", id="a")
    columns = made.views["default"].columns
    made = replace(made, views={"default": View(columns, TokenGrid(6, 8, Box.whole(SIZE)))})
    grid = placed(made, Box(20, 15, 60, 45)).views["default"].grid
    assert tuple(grid.region) == (20, 15, 60, 45)
    assert tuple(grid.cell(0, 0)) == (20, 15, 25, 20) and tuple(grid.cell(5, 7)) == (55, 40, 60, 45)


def test_the_second_look_is_at_the_enlarged_part_and_its_boxes_are_of_the_whole_picture() -> None:
    image, seen = picture(*SIZE), Seen(FIRST, "[[250, 500, 500, 750]]")
    result = Grounder(Zoomed(seen))(image, "cup", n=1)
    part = window(Box(40, 30, 44, 36), SIZE)
    assert tuple(part) == (22, 18, 62, 48)
    shown = image.resize(image.size, Resampling.BICUBIC, box=(part.x1, part.y1, part.x2, part.y2))
    assert np.array_equal(np.asarray(seen.pictures[1]), np.asarray(shown)) and len(seen.pictures) == 2
    assert result.found.image == SIZE and result.found.timing["look"] > 0
    assert "zoom: asked about the part [22, 18, 62, 48] around greedy's first box" in result.found.notes
    assert tuple(result.boxes[0].box) == pytest.approx((22 + 10, 18 + 15, 22 + 20, 18 + 22.5))


def test_where_the_first_look_finds_nothing_the_whole_picture_is_asked_about() -> None:
    image, seen = picture(*SIZE), Seen("[]", "[[250, 500, 500, 750]]")
    result = Grounder(Zoomed(seen))(image, "cup", n=1)
    assert np.array_equal(np.asarray(seen.pictures[1]), np.asarray(image))
    assert tuple(result.boxes[0].box) == pytest.approx((20, 30, 40, 45))
    assert "zoom: greedy found no box, so the whole picture was asked about" in result.found.notes


def test_several_temperatures_are_drawn_about_one_part() -> None:
    zoomed = Zoomed(Seen(FIRST, "[[250, 500, 500, 750]]", "[[0, 0, 500, 500]]"))
    prompt = zoomed.prompt(picture(*SIZE), "cup", id="a")
    samplings = [Sampling(n=1, temperature=t, greedy_too=False) for t in (0.5, 1.0)]
    [parts] = zoomed.answer_together([prompt], samplings, None)
    assert [len(part.responses) for part in parts] == [1, 1]
    assert all(isinstance(part, Answered) and part.timing["look"] > 0 for part in parts)
    assert isinstance(zoomed, LVLM)


def test_two_prompts_of_one_name_each_tell_their_own_look_and_nothing_is_kept() -> None:
    zoomed = Zoomed(Seen(FIRST, "[]", "[[0, 0, 500, 500]]", "[[0, 0, 500, 500]]"))
    prompts = [zoomed.prompt(picture(*SIZE), "cup", id="a") for _ in range(2)]
    notes = [answered.notes[-1] for answered in zoomed.answer(prompts, Sampling(n=1, greedy_too=False), None)]
    assert ["asked about the part" in note for note in notes] == [True, False]
    assert not zoomed._looks


@pytest.mark.slow
def test_the_command_zooms_draws_and_keeps_it_apart_from_results_without(tmp_path: Path) -> None:
    words = ["ground", str(SCENE), "--query", "owl", "--n", "2", "--selector", "acs-free"]
    plain, near = (
        from_json(Grounding, CliRunner().invoke(app, [*words, *zoom, "--json"]).stdout.encode())
        for zoom in ([], ["--zoom"])
    )
    with Image.open(SCENE) as image:
        whole = Box.whole(Size(*image.size))
    assert plain.found.frame.region == whole
    assert near.found.frame.region.width == pytest.approx(whole.width / 2)
    assert near.found.image == plain.found.image and near.boxes
    out = ["--out", str(tmp_path / "found")]
    assert CliRunner().invoke(app, [*words, "--zoom", *out]).exit_code == 0
    assert (tmp_path / "found" / "scene-15-owl.png").is_file()
    other = CliRunner().invoke(app, [*words, *out])
    assert other.exit_code == 2 and "zoom: there True, now False" in " ".join(other.stderr.split())
    several = CliRunner().invoke(app, [*words, "--zoom", "--multiple"])
    assert several.exit_code == 2 and "leave out one of --zoom and --multiple" in " ".join(several.stderr.split())


@pytest.mark.slow
def test_what_it_brings_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--cases", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:6]] == ["greedy", "consensus", "acs-free", "acs-learned"]
    assert lines[-1].startswith("2 cases, T = 0.5; a case takes")
