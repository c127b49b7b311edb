"""Calibration finds the heads that look, from labels alone, and survives being stopped."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.calibrate import calibrate, kept_sets, labelled_sets
from glintbox.collect import fill
from glintbox.errors import BadInput
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM, _Answered
from glintbox.maps import image_share
from glintbox.records import COORDS, Sample, Sampling, Watch, to_json
from glintbox.store import Store, StoreCard, StoreWriter

TRUTH = Box(16, 12, 32, 24)
SCRIPT = Script(
    "", ("[200, 200, 400, 400]", "[200, 200, 400, 380]", "[350, 350, 600, 600]", "[320, 350, 700, 600]"), TRUTH
)


def forget(work: Path, number: int) -> None:
    """Take the line of a case out of the one index there is."""
    [index] = work.glob("*.jsonl")
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(line for line in lines if f'"case-{number}"'.encode() not in line))


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


def card(lvlm: ScriptedLVLM) -> StoreCard:
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    return StoreCard(setting, Sampling(n=4), "made up", ())


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
    forget(tmp_path / "work", 5)
    again = calibrate(lvlm, samples, tick=lambda: None, **options)  # type: ignore[arg-type]
    assert to_json(again) == to_json(calibrated)
    assert lvlm.asked == 13


def test_a_full_disk_keeps_the_finished_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, lvlm, work = cases(tmp_path, 3), Counting({"cup": SCRIPT}), tmp_path / "work"
    options = dict(sampling=Sampling(n=4), work=work, data="made up", tick=lambda: None)
    sync, left = os.fsync, [None] * 4  # two per case: its bytes and its line

    def full(file: int) -> None:
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        sync(file)

    with monkeypatch.context() as disk, pytest.raises(BadInput, match=r"case case-2 in .*No space.*run again to go on"):
        disk.setattr(os, "fsync", full)
        calibrate(lvlm, samples, **options)  # type: ignore[arg-type]
    assert Store(work).ids == ("case-0", "case-1")
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
    options = dict(card=card(lvlm), work=tmp_path / "work", tick=lambda: None)
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
    with StoreWriter(tmp_path / "work", card(lvlm)) as other:

        def tick() -> None:
            if not other.done:
                fill(lvlm, samples[1:], other, tick=lambda: None)

        made = labelled_sets(lvlm, samples, card=card(lvlm), work=tmp_path / "work", tick=tick)
        assert [labelled.found.id for labelled in made] == ["case-0", "case-1", "case-2"]
    assert len(list((tmp_path / "work").glob("*.jsonl"))) == 2


def test_maps_that_the_card_names_are_kept_and_come_with_the_sets(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 2), ScriptedLVLM({"cup": SCRIPT})
    wanted = replace(card(lvlm), heads=SHARP[1:3])
    sets = list(labelled_sets(lvlm, samples, card=wanted, work=tmp_path / "work", tick=lambda: None))
    for labelled in sets:
        maps, stats = labelled.found.maps, labelled.found.stats
        assert maps is not None and stats is not None and maps.heads == SHARP[1:3]
        assert stats.heads == lvlm.card.all_heads()
        place = [stats.heads.index(head) for head in maps.heads]
        torch.testing.assert_close(image_share(maps.values), stats.share[:, :, place], rtol=1e-3, atol=0)
    again = list(labelled_sets(lvlm, samples, card=wanted, work=tmp_path / "work", tick=lambda: None))
    assert [to_json(one) for one in again] == [to_json(one) for one in sets]
    with pytest.raises(BadInput, match=r"expected the answers to case case-9 in .*, found none; run again"):
        list(kept_sets([replace(samples[0], id="case-9")], tmp_path / "work"))


def test_answers_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 2), ScriptedLVLM({"cup": SCRIPT})
    options = dict(work=tmp_path / "work", data="made up", tick=lambda: None)
    with pytest.raises(BadInput, match="label more pictures"):
        calibrate(lvlm, samples, sampling=Sampling(n=4), **options)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="answers of another setting or sampling"):
        calibrate(lvlm, samples, sampling=Sampling(n=3), **options)  # type: ignore[arg-type]


def test_damaged_answers_are_named(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 1), ScriptedLVLM({"cup": SCRIPT})
    options = dict(card=card(lvlm), work=tmp_path / "work", tick=lambda: None)
    list(labelled_sets(lvlm, samples, **options))  # type: ignore[arg-type]
    [path] = (tmp_path / "work").glob("*.bin")
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 255]) + whole[101:])
    with pytest.raises(BadInput, match=r"expected case case-0 in .*\.bin as it was written, .* collect again"):
        list(labelled_sets(lvlm, samples, **options))  # type: ignore[arg-type]
