"""Folder runs: what is finished stays, whatever happens; other settings never mix."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from glintbox import artifacts
from glintbox.errors import BadInput, NoArtifact, SettingMismatch
from glintbox.jobs import Job
from glintbox.records import Coord, Grounding, Head, HeadMap
from glintbox.runs import Failure, Run
from tests.test_records import SETTING, found

JOBS = (Job("a", "a.png", "cup"), Job("b", "b.png", "cup"))


def result() -> Grounding:
    return Grounding("a", "consensus", "rank", (), (), found())


def test_a_finished_job_is_not_pending_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "out", {"n": 10})
    assert run.pending(JOBS) == JOBS
    run.save(result(), picture=b"png")
    assert Run(tmp_path / "out", {"n": 10}).pending(JOBS) == JOBS[1:]
    assert run.picture("a").read_bytes() == b"png"


def test_results_of_other_settings_are_not_mixed_and_the_difference_is_named(tmp_path: Path) -> None:
    Run(tmp_path, {"n": 10, "seed": 0}).save(result(), picture=None)
    with pytest.raises(BadInput, match=r"n: there 10, now 5.*choose another --out"):
        Run(tmp_path, {"n": 5, "seed": 0})


def test_settings_of_a_run_that_finished_nothing_bind_nobody(tmp_path: Path) -> None:
    run = Run(tmp_path, {"heads": "wrong.json"})
    run.finish([Failure("b", "b.png", "empty file")])
    Run(tmp_path, {"heads": "right.json"}).save(result(), picture=None)
    with pytest.raises(BadInput, match=r"heads: there 'right\.json', now 'wrong\.json'"):
        Run(tmp_path, {"heads": "wrong.json"})


def test_what_is_known_later_binds_as_well(tmp_path: Path) -> None:
    run = Run(tmp_path, {"n": 10})
    run.agree({"head map": "abc"})
    run.save(result(), picture=None)
    again = Run(tmp_path, {"n": 10})
    again.agree({"head map": "abc"})
    with pytest.raises(BadInput, match="head map: there 'abc', now 'def'"):
        again.agree({"head map": "def"})


@pytest.mark.parametrize("other", [Job("a", "a.png", "dog"), Job("a", "other/a.png", "cup")])
def test_a_result_of_another_query_or_picture_is_not_taken_for_this_one(tmp_path: Path, other: Job) -> None:
    run = Run(tmp_path, {})
    run.pending(JOBS)
    run.save(result(), picture=None)
    with pytest.raises(BadInput, match=r"holds a result 'a' of picture and query .*a\.png', 'cup'\], now it is"):
        Run(tmp_path, {}).pending((other,))
    assert Run(tmp_path, {}).pending(JOBS) == JOBS[1:]
    assert Run(tmp_path, {}).pending((Job("c", "a.png", "dog"),)) == (Job("c", "a.png", "dog"),)


def test_settings_that_are_no_json_are_refused_where_there_are_results(tmp_path: Path) -> None:
    Run(tmp_path, {}).save(result(), picture=None)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(BadInput, match="got what is no JSON; remove"):
        Run(tmp_path, {})


def test_a_picture_without_its_result_is_not_finished(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    artifacts.write_whole(run.picture("a"), b"png")
    assert run.pending(JOBS) == JOBS


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="expected an output folder that can be written"):
        Run(tmp_path / "file" / "out", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(BadInput, match="expected an output folder that can be written"):
        Run(tmp_path / "out", {})


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, {})
    run.save(result(), picture=b"png")

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadInput, match=r"No space left on device.*finished results are kept"):
        run.save(result(), picture=b"other")
    with pytest.raises(BadInput, match=r"could not write .*failed\.json: .*No space left.*; finished results are kept"):
        run.finish([Failure("b", "b.png", "empty file")])
    monkeypatch.undo()
    assert run.pending(JOBS) == JOBS[1:]
    assert run.picture("a").read_bytes() == b"png"
    assert not list(tmp_path.glob(".*.part"))


def test_failures_are_listed_and_the_list_goes_when_all_is_well(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    run.finish([Failure("b", "b.png", "empty file")])
    assert json.loads((tmp_path / "failed.json").read_text()) == [{"id": "b", "image": "b.png", "why": "empty file"}]
    run.finish([])
    assert not (tmp_path / "failed.json").exists()


def heads() -> HeadMap:
    coords: tuple[Coord, ...] = ("x1", "y1", "x2", "y2")
    return HeadMap(SETTING, "labels", {coord: (Head(0, 1),) for coord in coords})


def test_a_head_map_is_found_in_the_cache_before_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    checkpoint = tmp_path / "model"

    def where() -> Path | None:
        return artifacts.find(artifacts.HEADS_FILE, setting=SETTING, checkpoint=checkpoint)

    assert where() is None
    artifacts.save_heads(heads(), checkpoint / artifacts.HEADS_FILE)
    assert where() == checkpoint / artifacts.HEADS_FILE
    own = artifacts.cache_folder(SETTING) / artifacts.HEADS_FILE
    artifacts.save_heads(heads(), own)
    assert where() == own
    assert artifacts.load_heads(own) == heads()


def test_a_head_map_that_cannot_be_written_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"expected a place for the head map that can be written at .*map\.json, got: "):
        artifacts.save_heads(heads(), tmp_path / "file" / "map.json")


def test_each_setting_of_a_model_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path))
    other = replace(SETTING, pixels="min=1 max=4")
    artifacts.save_heads(heads(), artifacts.cache_folder(SETTING) / artifacts.HEADS_FILE)
    assert artifacts.find(artifacts.HEADS_FILE, setting=SETTING, checkpoint=None) is not None
    assert artifacts.find(artifacts.HEADS_FILE, setting=other, checkpoint=None) is None


def test_an_empty_variable_moves_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert artifacts.cache_root() == Path("~/.cache/glintbox").expanduser()


def test_a_file_that_is_no_head_map_is_refused_with_the_field(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    with pytest.raises(NoArtifact, match="found no file"):
        artifacts.load_heads(path)
    path.write_text('{"setting": 3, "made_by": "x", "heads": {}}')
    with pytest.raises(BadInput, match="a problem at setting"):
        artifacts.load_heads(path)
    path.write_text("not json")
    with pytest.raises(BadInput, match="expected a head map"):
        artifacts.load_heads(path)


def test_an_artefact_of_another_setting_is_refused_and_every_difference_named() -> None:
    other = SETTING.__class__("other", "main", "qwen3_vl", "paper", "default", SETTING.pixels)
    with pytest.raises(SettingMismatch, match=r"model: made under 'tiny', here 'other'; prompt: .*'paper'"):
        artifacts.require_equal(SETTING, other, what="head map")
