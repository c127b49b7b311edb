"""Calibration finds the heads that look, from labels alone, and survives being stopped."""

import gzip
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.calibrate import calibrate, labelled_sets
from glintbox.errors import BadInput
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM, _Answered
from glintbox.records import COORDS, Sample, Sampling, Watch, to_json

TRUTH = Box(16, 12, 32, 24)
SCRIPT = Script(
    "", ("[200, 200, 400, 400]", "[200, 200, 400, 380]", "[350, 350, 600, 600]", "[320, 350, 700, 600]"), TRUTH
)


class Counting(ScriptedLVLM):
    """Counts the answers it was asked for."""

    asked = 0

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[_Answered]:
        for answered in super().answer(prompts, sampling, watch):
            self.asked += 1
            yield answered


def cases(folder: Path, count: int = 12) -> list[Sample]:
    path = folder / "a.png"
    Image.new("RGB", (80, 60)).save(path)
    return [Sample(f"case-{k}", path, Size(80, 60), "cup", (TRUTH,)) for k in range(count)]


def test_the_heads_that_look_at_the_object_are_found_and_nothing_is_done_twice(tmp_path: Path) -> None:
    samples, sampling, ticks = cases(tmp_path), Sampling(n=4, temperature=1.0), []
    lvlm = Counting({"cup": SCRIPT})
    options = dict(sampling=sampling, work=tmp_path / "work", data="made up", n=3)
    calibrated = calibrate(lvlm, samples, tick=lambda: ticks.append(1), **options)  # type: ignore[arg-type]
    found, every = calibrated
    assert all(set(found.heads[coord]) < set(SHARP) for coord in COORDS)
    assert found.calibration is not None
    assert (found.calibration.high, found.calibration.low) == (24, 24)
    assert (found.calibration.acs_free, found.calibration.consensus) == (1, 1), "both find one of the two good boxes"
    assert found.calibration.sampling == sampling
    assert found.calibration.ids == tuple(f"case-{k}" for k in range(12))
    assert (every.setting, every.data, every.high, every.low) == (found.setting, "made up", 24, 24)
    for coord, row, auc in zip(COORDS, every.delta.tolist(), every.auc.tolist(), strict=True):
        place = [every.heads.index(head) for head in found.heads[coord]]
        assert found.calibration.delta[coord] == tuple(row[k] for k in place) == tuple(sorted(row)[:-4:-1])
        assert min(auc[k] for k in place) == 1, "sharp where the box is good, always"
    assert len(ticks) == lvlm.asked == 12
    (tmp_path / "work" / "case-5.json.gz").unlink()
    again = calibrate(lvlm, samples, tick=lambda: None, **options)  # type: ignore[arg-type]
    assert to_json(again) == to_json(calibrated)
    assert lvlm.asked == 13


def test_a_full_disk_keeps_the_finished_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, lvlm, work = cases(tmp_path, 3), Counting({"cup": SCRIPT}), tmp_path / "work"
    options = dict(sampling=Sampling(n=4), work=work, data="made up", tick=lambda: None)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "case-2" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as disk, pytest.raises(BadInput, match=r"case case-2 in .*No space.*run again to go on"):
        disk.setattr(Path, "write_bytes", full)
        calibrate(lvlm, samples, **options)  # type: ignore[arg-type]
    assert sorted(path.name for path in work.iterdir()) == ["case-0.json.gz", "case-1.json.gz"]
    with pytest.raises(BadInput, match="label more pictures"):
        calibrate(lvlm, samples, **options)  # type: ignore[arg-type]
    assert lvlm.asked == 3 + 1, "only the case that was lost is asked again"


def test_answers_to_other_data_are_not_mixed_in(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 2), ScriptedLVLM({"cup": SCRIPT, "dog": SCRIPT})
    options = dict(sampling=Sampling(n=4), work=tmp_path / "work", data="made up", tick=lambda: None)
    with pytest.raises(BadInput, match="label more pictures"):
        calibrate(lvlm, samples, **options)  # type: ignore[arg-type]
    for other in (replace(samples[1], query="dog"), replace(samples[1], size=Size(60, 80))):
        with pytest.raises(BadInput, match="of other data: name another --work"):
            calibrate(lvlm, [samples[0], other], **options)  # type: ignore[arg-type]


def test_kept_answers_are_labelled_anew(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 2), ScriptedLVLM({"cup": SCRIPT})
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    options = dict(sampling=Sampling(n=4), setting=setting, work=tmp_path / "work", tick=lambda: None)
    list(labelled_sets(lvlm, samples, **options))  # type: ignore[arg-type]
    moved = [replace(sample, truth=(Box(50, 40, 70, 55),)) for sample in samples]
    again = list(labelled_sets(lvlm, moved, **options))  # type: ignore[arg-type]
    assert all(float(labelled.iou.max()) == 0 for labelled in again)


def test_a_picture_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 1), ScriptedLVLM({"cup": SCRIPT})
    Image.new("RGB", (60, 80)).save(samples[0].image)
    with pytest.raises(BadInput, match=r"a\.png to be 80x60 as annotated, got 60x80 upright"):
        calibrate(lvlm, samples, sampling=Sampling(n=4), work=tmp_path / "work", data="made up", tick=lambda: None)


def test_a_folder_that_another_process_fills_meanwhile_mixes_nothing_up(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 3), ScriptedLVLM({"cup": SCRIPT})
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    options = dict(sampling=Sampling(n=4), setting=setting)
    list(labelled_sets(lvlm, samples, work=tmp_path / "there", tick=lambda: None, **options))  # type: ignore[arg-type]

    def tick() -> None:
        shutil.copy(tmp_path / "there" / "case-1.json.gz", tmp_path / "here")

    made = labelled_sets(lvlm, samples, work=tmp_path / "here", tick=tick, **options)  # type: ignore[arg-type]
    assert [labelled.found.id for labelled in made] == ["case-0", "case-1", "case-2"]


def test_answers_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 2), ScriptedLVLM({"cup": SCRIPT})
    options = dict(work=tmp_path / "work", data="made up", tick=lambda: None)
    with pytest.raises(BadInput, match="label more pictures"):
        calibrate(lvlm, samples, sampling=Sampling(n=4), **options)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="answers of another setting or sampling"):
        calibrate(lvlm, samples, sampling=Sampling(n=3), **options)  # type: ignore[arg-type]


def test_a_damaged_file_of_kept_answers_is_named(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 1), ScriptedLVLM({"cup": SCRIPT})
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    options = dict(sampling=Sampling(n=4), setting=setting, work=tmp_path / "work", tick=lambda: None)
    list(labelled_sets(lvlm, samples, **options))  # type: ignore[arg-type]
    path = tmp_path / "work" / "case-0.json.gz"
    whole = path.read_bytes()
    flipped = whole[:100] + bytes([whole[100] ^ 255]) + whole[101:]
    for content in (b"", b"[]", whole[:-9], flipped, gzip.compress(b"{}")):
        path.write_bytes(content)
        with pytest.raises(
            BadInput, match=r"expected kept answers in .*case-0\.json\.gz, got .*; remove the file and run"
        ):
            list(labelled_sets(lvlm, samples, **options))  # type: ignore[arg-type]
