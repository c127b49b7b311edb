"""`glintbox heads ablate` and `compare` as a user runs them, on kept numbers: they load no model."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.artifacts import HEADS_FILE, LOCALIZATION_FILE, save_heads
from glintbox.cli.main import app
from glintbox.records import COORDS, Head, HeadMap, Search, Selection
from tests.text_cases import CARD, GOOD, HEADS, SETTING, STRAY, WIDE, kept


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["heads", *(str(word) for word in words)])


def clean(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def found(tmp_path: Path) -> Path:
    return kept(tmp_path / "found", range(10)).folder


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    return kept(tmp_path / "judged", range(20, 24)).folder


def test_ablations_are_printed_and_written(found: Path, judged: Path, tmp_path: Path) -> None:
    done = run("ablate", "criteria, sigma", found, judged, "--samples", 6, "--draws", 2, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    names = [f"{name}.{kind}" for name in ("criteria", "sigma") for kind in ("csv", "md", "png")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    text = (tmp_path / "out" / "criteria.md").read_text()
    assert text.startswith("# criteria\n\nAcc@0.5") and "| both, fixed |" in text and "| 87.2 | 76.1 |" in text
    assert text.split("\n", 2)[2].strip() in done.stdout and "## sigma" in done.stdout
    lines = (tmp_path / "out" / "sigma.csv").read_text().splitlines()
    assert lines[0].startswith("what,name,heads,size,n,missing,acc_at_50,acc_interval_low,acc_interval_high")
    assert len(lines) == 1 + 6 * 2, "all and large targets"


def test_all_ablations_are_one_word_and_too_few_cases_are_told(found: Path, judged: Path) -> None:
    done = run("ablate", "all", found, judged)
    assert done.exit_code == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("## ")] == [
        "## k", "## sigma", "## kernel", "## tau", "## criteria", "## best", "## part", "## rules",
    ]  # fmt: skip
    assert "holds 10 cases, fewer than 1000" in clean(done.stderr)
    assert "10 cases are in both folders" in clean(run("ablate", "k", found, found).stderr)


def test_what_cannot_be_judged_is_refused(found: Path, judged: Path, tmp_path: Path) -> None:
    bare = kept(tmp_path / "bare", range(3), replace(CARD, maps=False)).folder
    other = kept(tmp_path / "other", range(3), replace(CARD, setting=replace(SETTING, model="another"))).folder
    by_mass = kept(tmp_path / "mass", range(3), replace(CARD, weight="mass")).folder
    for words, message in (
        (("k", found, by_mass), "of one spatial entropy, got area above 1 x mean + 0 and mass above 1 x mean + 0"),
        (("sigme", found, judged), "unknown ablation 'sigme'"),
        (("k", found, bare), "expected the maps of case 000-0"),
        (("k", found, other), "model: made under 'tiny', here 'another'"),
        (("k", tmp_path, judged), "heads find DATASET --by localization"),
    ):
        refused = run("ablate", *words)
        assert refused.exit_code == 2 and message in clean(refused.stderr), refused.stderr


def head_map(heads: tuple[Head, ...], path: Path, frequency: tuple[float, ...] = (0.9, 0.5, 0.1)) -> Path:
    selection = Selection("made up", 9, Search(), (0.1,), HEADS[2:5], frequency, (0.0,) * 3)
    save_heads(HeadMap(SETTING, "by hand", {"text": heads}, selection=selection), path)
    return path


def rows(result: Result) -> list[list[str]]:
    lines = [line for line in result.stdout.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_head_maps_are_compared_at_each_place_that_both_have(tmp_path: Path) -> None:
    one = head_map((GOOD, WIDE, STRAY), tmp_path / "one.json")
    other = head_map((GOOD, HEADS[3], STRAY), tmp_path / "other.json", (0.1, 0.5, 0.9))
    (tmp_path / "folder").mkdir()
    head_map((HEADS[6],), tmp_path / "folder" / LOCALIZATION_FILE)
    done = run("compare", one, other, tmp_path / "folder")
    assert done.exit_code == 0, done.stderr
    assert rows(done) == [
        ["text", "one.json", "other.json", "2 of 3", "-1.00"],
        ["text", "one.json", "folder", "1 of 1", "+1.00"],
        ["text", "other.json", "folder", "1 of 1", "-1.00"],
    ]
    coords = HeadMap(SETTING, "by hand", {coord: (GOOD,) for coord in COORDS})
    for name in ("a", "b"):
        save_heads(coords, tmp_path / name / HEADS_FILE)
    assert [row[0] for row in rows(run("compare", tmp_path / "a", tmp_path / "b"))] == list(COORDS)


def test_kept_numbers_are_compared_too_and_say_how_stable_they_are(found: Path, judged: Path, tmp_path: Path) -> None:
    one = head_map((GOOD, WIDE), tmp_path / "one.json")
    done = run("compare", one, found, judged, "--k", 1, "--samples", 6, "--draws", 2)
    assert done.exit_code == 0, done.stderr
    assert rows(done)[:3] == [
        ["text", "one.json", "found", "1 of 1", rows(done)[0][4]],
        ["text", "one.json", "judged", "1 of 1", rows(done)[1][4]],
        ["text", "found", "judged", "1 of 1", rows(done)[2][4]],
    ]
    assert rows(done)[3:] == [["two draws of 5", "1.00"], ["two draws of 2", "1.00"]]
    assert "stability of found" in done.stdout and "stability of judged" in done.stdout
    alone = run("compare", found, "--k", 1)
    assert alone.exit_code == 0 and "heads in both" not in alone.stdout


def test_maps_of_two_models_are_told_and_one_alone_is_refused(found: Path, tmp_path: Path) -> None:
    one = head_map((GOOD,), tmp_path / "one.json")
    heads = HeadMap(replace(SETTING, model="another"), "by hand", {"text": (GOOD,)})
    save_heads(heads, tmp_path / "other.json")
    done = run("compare", one, tmp_path / "other.json")
    assert done.exit_code == 0 and "of two settings: model: one.json 'tiny', other.json 'another'" in clean(done.stderr)
    alone = run("compare", one)
    assert alone.exit_code == 2 and "expected two head maps to compare" in clean(alone.stderr)
    assert run("compare", one, tmp_path / "none.json").exit_code == 2
