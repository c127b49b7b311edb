"""`glintbox data` as a user runs it: counts that can be asserted, ids that name the cases of a sample."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.cli.main import app
from glintbox.datasets.draws import read_ids
from glintbox.datasets.resolve import resolve
from tests.datasets.test_coco import FACTS, written


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_the_known_forty_are_counted_and_can_be_asserted() -> None:
    result = run("counts", FACTS, "--expect", 40)
    assert result.exit_code == 0, result.stderr
    assert "28 pictures, 80 categories, 355 annotations" in result.stdout and "7 crowd annotations" in result.stdout
    [first] = [line for line in result.stdout.splitlines() if "box" in line and "ignored" in line][:1]
    assert first.split("│")[-2].strip() == "40"


def test_another_number_fails_with_what_was_expected_and_what_came() -> None:
    result = run("counts", FACTS, "--expect", 2225)
    assert result.exit_code == 2 and "expected 2225 small cases of" in told(result) and "got 40" in told(result)
    assert "two or more" in result.stdout, "the counts are printed all the same"
    assert run("counts", FACTS, "--multiple", "--expect", 4).exit_code == 0


def test_counts_are_json_where_that_is_wanted() -> None:
    found = json.loads(run("counts", FACTS, "--size", "large", "--json").stdout)
    assert found["sets"]["one"]["large"] == 29 == found["variants"][0]["cases"]
    assert found["variants"][0] == {
        "instances": "one", "area": "box", "crowd": "ignored", "odd": "counted", "ends": True, "cases": 29,
    }  # fmt: skip


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    result = run("counts", written(tmp_path, [10, 20, 10, 10], [150, 100, 5, 5]))
    assert "1 annotations outside their picture" in result.stdout and "1 pairs left out" in result.stdout


def test_a_sample_is_written_and_names_the_same_cases_again(tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.txt" for name in ("first", "again", "other"))
    for path, seed in ((first, 3), (again, 3), (other, 4)):
        result = run("ids", FACTS, path, "--sample", 12, "--seed", seed)
        assert result.exit_code == 0 and f"12 of 40 cases written to {path}" in told(result)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    assert "# objects: exactly one\n# size: small\n# sample: 12 of 40 cases, seed 3\n" in first.read_text()
    for picture in json.loads(FACTS.read_bytes())["images"]:
        (tmp_path / picture["file_name"]).touch()
    cases = resolve(str(FACTS), images=tmp_path, split=None, limit=None, size="large", ids=read_ids(first))
    assert [sample.id for sample in cases] == list(read_ids(first)), "--size does not matter then"


def test_all_ids_or_the_first_can_be_written(tmp_path: Path) -> None:
    assert run("ids", FACTS, tmp_path / "all.txt", "--multiple", "--size", "any").exit_code == 0
    assert run("ids", FACTS, tmp_path / "few.txt", "--multiple", "--size", "any", "--limit", 3).exit_code == 0
    every = read_ids(tmp_path / "all.txt")
    assert len(every) == 52 and read_ids(tmp_path / "few.txt") == every[:3]


def test_ids_of_scenes_are_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    assert run("ids", "scenes", tmp_path / "ids.txt", "--split", "calibration", "--limit", 2).exit_code == 0
    assert all(10_000_000 <= int(id.partition("-")[0]) < 11_000_000 for id in read_ids(tmp_path / "ids.txt"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["counts", FACTS, "--size", "smal"], "Did you mean 'small'"),
        (["counts", "scenes"], "scenes, which have no end"),
        (["counts", "cocoa"], "Did you mean 'coco'"),
        (["ids", FACTS, "out.txt", "--sample", "41"], "expected to draw 1 to 40 of 40 cases, got 41"),
        (["ids", FACTS, "out.txt", "--sample", "0"], "Invalid value for '--sample'"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    words: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 2 and message in told(result) and not Path("out.txt").exists()
