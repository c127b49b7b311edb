"""A folder of scenes reads back as the scenes that were drawn, whatever stopped its writing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from glintbox.datasets import scene_folder
from glintbox.datasets.cases import Rule, cases
from glintbox.datasets.coco import read_coco
from glintbox.datasets.expressions import expressions
from glintbox.datasets.scene_folder import kept_or_drawn, write_scenes
from glintbox.datasets.scenes import Scene, draw_scene, scene_seed
from glintbox.errors import BadInput, UnknownName
from glintbox.images import open_image

FIRST = scene_seed("validation", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes; never written into by a test."""
    made = tmp_path_factory.mktemp("scenes")
    write_scenes(made, split="validation", count=4)
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(folder: Path, file: str) -> Any:
    return json.loads((folder / file).read_bytes())


def decoded(counts: list[int], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Run lengths as COCO defines them: from False, down the columns."""
    flat = np.concatenate([np.full(count, k % 2 == 1) for k, count in enumerate(counts)])
    return flat.reshape(size[::-1]).T


def test_what_is_written_is_what_was_drawn(folder: Path) -> None:
    samples = list(cases(read_coco(folder / "instances.json"), folder / "images", Rule("any")))
    for index in range(4):
        scene = draw_scene(scene_seed("validation", index))
        own = [sample for sample in samples if sample.image.stem == f"{scene.seed:08d}"]
        assert {sample.query for sample in own} == {found.label for found in scene.objects}
        for sample in own:
            assert sorted(map(tuple, sample.truth)) == sorted(map(tuple, scene.boxes(sample.query)))
        assert open_image(own[0].image).tobytes() == scene.image.tobytes()


def test_masks_colours_and_areas_are_those_of_the_scene(folder: Path) -> None:
    written = rows(folder, "instances.json")
    for image in written["images"]:
        scene = draw_scene(image["id"])
        own = [row for row in written["annotations"] if row["image_id"] == scene.seed]
        for row, found in zip(own, scene.objects, strict=True):
            size = (image["height"], image["width"])
            assert row["segmentation"]["size"] == list(size)
            assert (decoded(row["segmentation"]["counts"], size) == found.mask).all()
            assert row["area"] == found.mask.sum()
            assert row["color"] == found.color


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools with NumPy 2
def test_the_coco_tools_read_masks_boxes_and_areas(folder: Path) -> None:
    coco = COCO(str(folder / "instances.json"))
    for row in coco.loadAnns(coco.getAnnIds()):
        packed = coco.annToRLE(row)
        assert coco_mask.area(packed) == row["area"]
        assert coco_mask.toBbox(packed).tolist() == row["bbox"]
        scene = draw_scene(row["image_id"])
        assert (coco.annToMask(row) == scene.objects[row["id"] % 100 - 1].mask).all()


def test_expressions_lie_beside_and_name_their_objects(folder: Path) -> None:
    objects = {row["id"]: row for row in rows(folder, "instances.json")["annotations"]}
    told = rows(folder, "expressions.json")
    assert len({row["id"] for row in told}) == len(told) > 4
    for seed in range(FIRST, FIRST + 4):
        scene = draw_scene(seed)
        own = [row for row in told if row["image_id"] == seed]
        for row, one in zip(own, expressions(scene), strict=True):
            assert (row["sentence"], row["kind"], row["needs_more"]) == (one.text, one.kind, one.needs_more)
            assert objects[row["ann_id"]]["image_id"] == seed
            assert objects[row["ann_id"]]["bbox"][:2] == [
                scene.objects[one.target].box.x1,
                scene.objects[one.target].box.y1,
            ]


def test_the_first_scenes_are_the_same_in_every_folder(folder: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, split="validation", count=2)
    few, more = content(tmp_path), content(folder)
    assert {name: few[name] for name in few if name.endswith(".png")}.items() <= more.items()
    short, long = rows(tmp_path, "instances.json")["annotations"], rows(folder, "instances.json")["annotations"]
    assert long[: len(short)] == short
    write_scenes(tmp_path, split="validation", count=4)  # goes on
    assert content(tmp_path) == more


def test_a_whole_picture_is_kept_and_every_other_is_drawn_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(folder)
    pictures = sorted(name for name in whole if name.endswith(".png"))
    for name in pictures:
        (tmp_path / name).parent.mkdir(exist_ok=True)
    broken = bytearray(whole[pictures[1]])
    broken[-40] ^= 1
    (tmp_path / pictures[0]).write_bytes(whole[pictures[0]])
    (tmp_path / pictures[1]).write_bytes(broken)
    (tmp_path / pictures[2]).write_bytes(whole[pictures[2]][:-100])
    Image.new("RGB", (9, 9)).save(tmp_path / pictures[3])
    (tmp_path / "images" / ".left.123.part").write_bytes(b"half")
    drawn: list[int] = []

    def counted(seed: int) -> Scene:
        drawn.append(seed)
        return draw_scene(seed)

    monkeypatch.setattr(scene_folder, "draw_scene", counted)
    write_scenes(tmp_path, split="validation", count=4)
    assert content(tmp_path) == whole
    assert drawn == [FIRST + 1, FIRST + 2, FIRST + 3]


def test_a_renamed_picture_is_not_taken_for_another(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / f"{FIRST + 1:08d}.png"
    odd.write_bytes((folder / "images" / f"{FIRST:08d}.png").read_bytes())
    assert kept_or_drawn(tmp_path, FIRST + 1)["image"]["id"] == FIRST + 1
    assert odd.read_bytes() == (folder / "images" / odd.name).read_bytes()


def test_what_an_older_release_drew_goes_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(scene_folder, "fingerprint", lambda: "older")
        write_scenes(tmp_path, split="validation", count=2)
    before = content(tmp_path)

    def stopped(images: Path, seed: int) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as stop:
        stop.setattr(scene_folder, "kept_or_drawn", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_scenes(tmp_path, split="validation", count=2)
    assert not list(tmp_path.glob("*.json"))
    write_scenes(tmp_path, split="validation", count=2)
    assert content(tmp_path).keys() == before.keys()
    assert rows(tmp_path, "instances.json")["info"]["drawn_by"] == scene_folder.fingerprint()


CHILD = """
import sys
from pathlib import Path
from glintbox.datasets import scene_folder
scene_folder.write_scenes(Path(sys.argv[1]), split="validation", count=int(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_again_and_again_the_folder_becomes_the_same_byte_for_byte(tmp_path: Path) -> None:
    count, killed = 24, tmp_path / "killed"
    write_scenes(tmp_path / "whole", split="validation", count=count)
    words = [sys.executable, "-c", CHILD, str(killed), str(count)]
    kills = 0
    for wanted in (1, 9, 20):
        with subprocess.Popen(words) as child:
            while child.poll() is None and len(list(killed.glob("images/*.png"))) < wanted:
                time.sleep(0.002)
            time.sleep(0.004 * (wanted % 5))
            child.kill()
            kills += child.wait() == -signal.SIGKILL
        assert wanted == 20 or not (killed / "instances.json").exists()
    assert kills >= 2
    assert subprocess.run(words, check=False).returncode == 0
    assert content(killed) == content(tmp_path / "whole")


def test_ticks_come_once_a_scene(folder: Path, tmp_path: Path) -> None:
    ticks: list[int] = []
    write_scenes(tmp_path, split="validation", count=4, tick=lambda: ticks.append(1))
    assert len(ticks) == 4
    assert content(tmp_path) == content(folder)


def test_bad_wishes_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 1 scene, got 0"):
        write_scenes(tmp_path, split="validation", count=0)
    with pytest.raises(BadInput, match=r"at most 1000000 scenes of split 'calibration', got 1000001"):
        write_scenes(tmp_path, split="calibration", count=1_000_001)
    with pytest.raises(UnknownName, match="Did you mean 'validation'"):
        write_scenes(tmp_path, split="validtion", count=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="folder that can be written"):
        write_scenes(tmp_path / "file", split="validation", count=1)
    with pytest.raises(BadInput, match=rf"only the 2 scenes asked for .*found {FIRST + 2:08d}\.png; choose another"):
        write_scenes(folder, split="validation", count=2)
    with pytest.raises(BadInput, match=rf"found {FIRST:08d}\.png"):
        write_scenes(folder, split="calibration", count=4)


def test_a_full_disk_is_told_and_what_is_finished_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path, split="validation", count=1)
    before = content(tmp_path)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scene_folder, "write_whole", full)
    with pytest.raises(BadInput, match=r"No space left on device.*run again to go on"):
        write_scenes(tmp_path, split="validation", count=2)
    assert content(tmp_path) == before
