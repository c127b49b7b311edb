"""`glintbox select`: another choice among what `glintbox ground` kept."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox import embedded
from glintbox.artifacts import HEADS_FILE
from glintbox.cli.main import app
from glintbox.ground import grounding
from glintbox.jobs import Job
from glintbox.records import Grounding, from_json, to_json
from glintbox.runs import Failure, Run
from glintbox.selectors import SELECTORS, selector
from tests.selectors.test_selectors import random_set

SCENE = Path(__file__).parents[2] / "examples" / "images" / "scene-15-owl.jpg"
FREE_OF_ARTEFACTS = [name for name in SELECTORS if not name.startswith(("acs", "heads"))]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def read(result: Result) -> list[Grounding]:
    assert result.exit_code == 0, result.stderr
    return [from_json(Grounding, line.encode()) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three jobs: two results, chosen by consensus, and a failure."""
    folder = tmp_path_factory.mktemp("runs") / "found"
    finished = [replace(grounding(random_set(1 + k), selector("consensus")), id=f"p{k}") for k in (0, 1)]
    out = Run(folder, {})
    out.pending([Job(f"p{k}", f"p{k}.png", "cup") for k in range(3)])
    for one in finished:
        out.save(one, picture=None)
    out.finish([Failure("p2", "p2.png", "no picture")])
    return folder


@pytest.mark.parametrize("name", FREE_OF_ARTEFACTS)
def test_every_selector_without_artefacts_chooses_among_what_is_kept(kept: Path, name: str) -> None:
    again = read(run("select", kept, "--selector", name, "--json"))
    before = [from_json(Grounding, (kept / f"p{k}.json").read_bytes()) for k in (0, 1)]
    expected = [grounding(one.found, selector(name)) for one in before]
    assert [(one.method, one.boxes, one.greedy) for one in again] == [
        (one.method, one.boxes, one.greedy) for one in expected
    ]


def test_lines_are_for_people_and_what_changed_and_what_is_missing_is_said(kept: Path) -> None:
    same = run("select", kept)
    assert same.stdout.count("(consensus)") == 2
    assert "0 of 2 results have other boxes than before" in told(same)
    assert "not in it, failed: p2 (p2.png): no picture" in told(same)
    assert "2 of 2 results have other boxes" in told(run("select", kept, "--selector", "smallest"))
    several = read(run("select", kept, "--multiple", "--json"))
    assert all(len(one.boxes) >= 1 for one in several)


def test_what_cannot_be_chosen_again_is_refused(kept: Path, tmp_path: Path) -> None:
    assert "Did you mean 'smallest'" in told(run("select", kept, "--selector", "smalest"))
    free = run("select", kept, "--selector", "acs-free")
    assert free.exit_code == 2 and "acs-free needs a head map" in told(free)
    nothing = run("select", tmp_path)
    assert nothing.exit_code == 2 and "found no result" in told(nothing)


@pytest.mark.slow
def test_choosing_again_gives_what_grounding_with_that_selector_gave(tmp_path: Path) -> None:
    lines, heads = tmp_path / "lines.jsonl", Path(embedded.source(embedded.NAME)) / HEADS_FILE
    words = ["ground", SCENE, "--query", "owl", "--json", "--n", 6, "--temperature", 1.0]
    free = run(*words, "--selector", "acs-free")
    lines.write_text(free.stdout)
    [expected], [again] = read(free), read(run("select", lines, "--selector", "acs-free", "--heads", heads, "--json"))
    assert again.boxes == expected.boxes and again.method == "acs-free" and again.boxes[0].score is not None
    [agreed], [other] = read(run(*words, "--selector", "consensus")), read(run("select", lines, "--json"))
    assert [best.candidate for best in other.boxes] == [best.candidate for best in agreed.boxes]
    text = to_json(again)
    lines.write_text(text + "\n")
    assert run("export", lines, "--to", "csv", "--out", tmp_path / "found.csv").exit_code == 0


def test_results_of_localization_heads_have_nothing_to_choose_among(kept: Path, tmp_path: Path) -> None:
    result = from_json(Grounding, (kept / "p0.json").read_bytes())
    bare = replace(result.found, responses=(), readings=(), candidates=(), stats=None, maps=None)
    (tmp_path / "lines.jsonl").write_text(to_json(replace(result, found=bare)) + "\n")
    done = run("select", tmp_path / "lines.jsonl")
    assert done.exit_code == 2 and "got none with p0; results of glintbox locate cannot be chosen again" in told(done)
