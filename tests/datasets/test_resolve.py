"""A DATASET word leads to the cases it names: the same from the cache and from a folder, and never another split's."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from glintbox.datasets import scene_folder
from glintbox.datasets.cases import SIZES
from glintbox.datasets.resolve import annotations_of, data_name, resolve
from glintbox.datasets.scene_folder import fingerprint, write_scenes
from glintbox.datasets.scenes import SPLITS, Scene, draw_scene, scene_seed
from glintbox.errors import BadInput, UnknownName
from glintbox.images import open_image
from glintbox.records import Sample
from tests.datasets.test_coco import written


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cases(dataset: object, **options: Any) -> list[Sample]:
    return resolve(str(dataset), **({"images": None, "split": None, "limit": None} | options))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six validation scenes, as a user makes them."""
    path = tmp_path_factory.mktemp("made") / "scenes"
    write_scenes(path, split="validation", count=6, tick=lambda: None)
    return path


def plain(sample: Sample) -> tuple[object, ...]:
    return sample.id, sample.query, sample.size, sample.truth


@pytest.mark.parametrize(
    ("size", "instances"), [*((size, number) for size in SIZES for number in ("one", "any")), ("any", "many")]
)
def test_the_word_scenes_and_a_folder_of_the_same_seeds_give_the_same_cases(
    folder: Path, size: str, instances: str
) -> None:
    there = cases(folder, size=size, instances=instances)
    drawn = cases("scenes", split="validation", size=size, instances=instances, limit=len(there))
    assert list(map(plain, drawn)) == list(map(plain, there))
    assert all(
        open_image(a.image).tobytes() == open_image(b.image).tobytes() for a, b in zip(drawn, there, strict=True)
    )


def test_scenes_are_drawn_as_far_as_they_are_needed_and_only_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[int] = []
    few = cases("scenes", split="calibration", limit=2, tick=lambda: ticks.append(1))
    assert len(few) == 2 and len(list(cache.rglob("*.png"))) <= len(ticks) + 1
    drawn: list[int] = []

    def counted(seed: int) -> Scene:
        drawn.append(seed)
        return draw_scene(seed)

    monkeypatch.setattr(scene_folder, "draw_scene", counted)
    fingerprint.cache_clear()
    more = cases("scenes", split="calibration", limit=6)
    assert more[:2] == few and len(more) == 6
    assert not set(drawn) & {int(sample.image.stem) for sample in few}
    assert all(scene_seed("calibration", 0) <= int(sample.image.stem) for sample in more)


def test_sizes_are_shares_of_the_picture() -> None:
    for size, share in SIZES.items():
        for sample in cases("scenes", size=size, limit=4, instances="any"):
            for box in sample.truth:
                assert share is None or share.low <= box.area / (sample.size.width * sample.size.height) <= share.high


def test_one_case_per_picture_by_the_published_rule(folder: Path) -> None:
    every, one_each = cases(folder, size="any"), cases(folder, size="any", one_per_image=True)
    assert len({sample.image for sample in every}) == len(one_each) < len(every)
    for sample in one_each:
        own = [other for other in every if other.image == sample.image]
        digest = sha256(sample.image.name.encode()).digest()[:8]
        assert sample == own[int.from_bytes(digest, "big") % len(own)]
    assert cases(folder, size="any", one_per_image=True, limit=2) == one_each[:2]


def test_another_release_draws_into_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cases("scenes", limit=1)
    monkeypatch.setattr(scene_folder, "draw_scene", lambda seed: replace(draw_scene(seed + 1), seed=seed))
    fingerprint.cache_clear()
    try:
        assert cases("scenes", limit=1)[0].image.parent != here[0].image.parent
        (tmp_path / "art").mkdir()
        (tmp_path / "art" / "sprites.webp").write_bytes(b"other art")
        repainted = data_name("scenes", split=None)
        monkeypatch.setattr(scene_folder, "ART", tmp_path / "art")
        fingerprint.cache_clear()
        assert data_name("scenes", split=None) != repainted
    finally:
        fingerprint.cache_clear()


def test_a_name_tells_the_content(folder: Path, tmp_path: Path) -> None:
    assert data_name("scenes", split=None) == f"scenes-validation-{fingerprint()}"
    assert data_name("scenes", split=None, default_split="train") == f"scenes-train-{fingerprint()}"
    name = data_name(str(folder), split="validation")
    assert name.startswith("scenes-") and name == data_name(str(folder), split=None)
    path = written(tmp_path, [0, 0, 10, 10])
    first = data_name(str(path), split=None)
    assert first.startswith("instances-") and first == data_name(str(written(tmp_path, [0, 0, 10, 10])), split=None)
    assert first != data_name(str(written(tmp_path, [0, 0, 10, 11])), split=None)
    with pytest.raises(BadInput, match=r"instances JSON or a folder at .*none\.json, found nothing"):
        data_name(str(tmp_path / "none.json"), split=None)


def test_a_coco_file_gives_its_own_cases(tmp_path: Path) -> None:
    path = written(tmp_path, [10, 20, 10, 10])
    [sample] = cases(path, images=tmp_path)
    assert plain(sample)[:2] == ("7-3", "cup") and sample.image == tmp_path / "7.jpg"


def test_a_scene_of_another_split_is_refused(folder: Path) -> None:
    seed = scene_seed("validation", 0)
    with pytest.raises(BadInput, match=f"split 'test' in .*got scene {seed} of split 'validation'.*--split validation"):
        cases(folder, split="test")
    with pytest.raises(BadInput, match=r"expected scenes of split 'calibration'"):
        cases(folder, default_split="calibration")
    with pytest.raises(BadInput, match=r"expected scenes of split 'train'"):
        cases(folder / "instances.json", images=folder / "images", split="train")
    assert cases(folder / "instances.json", images=folder / "images", size="any") == cases(folder, size="any")


def test_a_single_forged_id_is_found(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "instances.json").read_bytes())
    content["images"][-1]["id"] = SPLITS["test"].start
    content["annotations"] = []
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="of split 'test'"):
        cases(tmp_path, split="validation")


def test_names_that_mean_nothing_are_refused_with_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UnknownName, match=r"dataset 'scenez'. Did you mean 'scenes'.*COCO instances JSON with --images"
    ):
        cases("scenez")
    with pytest.raises(UnknownName, match=r"size 'smal'. Did you mean 'small'.*any, large, medium, small"):
        cases("scenes", size="smal")
    with pytest.raises(UnknownName, match=r"split 'tests'. Did you mean 'test'"):
        cases("scenes", split="tests")
    with pytest.raises(BadInput, match=r"or a folder at val2017\.json, found nothing there"):
        cases("val2017.json", images=tmp_path)


def test_what_does_not_belong_together_is_refused(folder: Path, tmp_path: Path) -> None:
    path = written(tmp_path, [0, 0, 10, 10])
    with pytest.raises(BadInput, match="expected --images DIR"):
        cases(path)
    with pytest.raises(BadInput, match=r"expected a folder of pictures at .*none"):
        cases(path, images=tmp_path / "none")
    with pytest.raises(BadInput, match="--split only for scenes, got 'test' for"):
        cases(path, images=tmp_path, split="test")
    for dataset in ("scenes", folder):
        with pytest.raises(BadInput, match="--images only with a COCO file"):
            cases(dataset, images=tmp_path)
    with pytest.raises(BadInput, match="limit >= 1, got 0"):
        cases("scenes", limit=0)
    with pytest.raises(BadInput, match=r"exactly one object of a category in .* got none that is large; --size any"):
        cases(path, images=tmp_path, size="large")


def test_a_folder_that_holds_no_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"found no instances\.json.*was stopped, run it again"):
        cases(tmp_path)
    written(tmp_path, [0, 0, 10, 10])
    with pytest.raises(BadInput, match="got other annotations in"):
        cases(tmp_path)


def test_ids_name_the_cases_whatever_their_size(folder: Path, cache: Path) -> None:
    every = cases(folder, size="any", instances="any")
    ids = [sample.id for sample in every[5:1:-2]]
    assert cases(folder, ids=ids) == [every[3], every[5]]
    drawn = cases("scenes", ids=ids)
    assert list(map(plain, drawn)) == [plain(every[3]), plain(every[5])]
    assert len(list(cache.rglob("*.png"))) <= 2, "only scenes with a named case are drawn"
    for odd in ("12000000-1", "x", every[0].id + "99"):
        with pytest.raises(BadInput, match=f"expected 1 ids of cases of .*got 1 that are none: {odd}"):
            cases("scenes", ids=[odd])


def test_missing_pictures_stop_or_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, [10, 20, 10, 10])
    content = json.loads(path.read_bytes())
    content["images"].append(content["images"][0] | {"id": 8, "file_name": "8.jpg"})
    content["annotations"].append(content["annotations"][0] | {"id": 8, "image_id": 8})
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=r"pictures of 2 cases, found no file for 1 of them: .*8\.jpg; .*--skip-missing"):
        cases(path, images=tmp_path)
    assert [sample.id for sample in cases(path, images=tmp_path, skip_missing=True)] == ["7-3"]
    assert caplog.messages == ["left out 1 of 2 cases: their pictures are not there"]


def test_what_is_left_out_of_a_file_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, [10, 20, 10, 10], [150, 100, 5, 5], [10, 20, 0, 10])
    with pytest.raises(BadInput, match=r"expected pictures with two or more objects of a category in .*, got none$"):
        cases(path, images=tmp_path, size="any", instances="many")
    [said] = caplog.messages
    assert said.startswith("left out 1 of 1 pairs of") and "1 annotations without area" in said
    assert "1 annotations outside their picture" in said


def test_scenes_have_no_end_to_be_counted() -> None:
    with pytest.raises(BadInput, match="scenes, which have no end; make a folder"):
        annotations_of("scenes", split=None)


def test_a_cache_that_cannot_be_written_is_refused(cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(BadInput, match="move the cache with GLINTBOX_CACHE"):
        cases("scenes", limit=1)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_draws_the_same_bytes(tmp_path: Path) -> None:
    code = "from glintbox.datasets.resolve import resolve; "
    code += "resolve('scenes', images=None, split='calibration', limit=25, size='any', one_per_image=True)"
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def start(cache: Path) -> subprocess.Popen[bytes]:
        environment = os.environ | {"GLINTBOX_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, "-c", code], env=environment)

    assert start(whole).wait(timeout=120) == 0
    for count in (2, 9):
        child, until = start(cut), time.monotonic() + 60
        while len(list(cut.rglob("*.png"))) < count and time.monotonic() < until and child.poll() is None:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        assert child.wait(timeout=60) == -signal.SIGKILL
    assert start(cut).wait(timeout=120) == 0
    kept = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("[0-9]*.*")}
    assert {path.relative_to(cut): path.read_bytes() for path in cut.rglob("[0-9]*.*")} == kept
    assert len([path for path in kept if path.suffix == ".png"]) >= 25
