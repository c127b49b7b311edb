"""A folder of scenes reads back as the scenes that were drawn."""

from pathlib import Path

import pytest

from glintbox.datasets.coco import coco_samples
from glintbox.datasets.scene_folder import write_scenes
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.errors import BadInput, UnknownName
from glintbox.images import open_image


def test_what_is_written_is_what_was_drawn(tmp_path: Path) -> None:
    ticks: list[int] = []
    path = write_scenes(tmp_path, split="validation", count=3, tick=lambda: ticks.append(1))
    assert len(ticks) == 3
    samples = list(coco_samples(path, tmp_path / "images", area=None, single=False))
    for index in range(3):
        scene = draw_scene(scene_seed("validation", index))
        own = [sample for sample in samples if sample.image.stem == f"{scene.seed:08d}"]
        assert {sample.query for sample in own} == {found.label for found in scene.objects}
        for sample in own:
            assert sorted(map(tuple, sample.truth)) == sorted(map(tuple, scene.boxes(sample.query)))
        assert open_image(own[0].image).tobytes() == scene.image.tobytes()


def test_another_start_writes_the_same(tmp_path: Path) -> None:
    def written() -> list[bytes]:
        write_scenes(tmp_path, split="test", count=2, tick=lambda: None)
        return [path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))]

    first = written()
    next((tmp_path / "images").iterdir()).write_bytes(b"drawn by an older release")
    assert written() == first


def test_bad_wishes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least 1 scene"):
        write_scenes(tmp_path, split="test", count=0, tick=lambda: None)
    with pytest.raises(UnknownName, match="Did you mean 'validation'"):
        write_scenes(tmp_path, split="validtion", count=1, tick=lambda: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="folder that can be written"):
        write_scenes(tmp_path / "file", split="test", count=1, tick=lambda: None)
