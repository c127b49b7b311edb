"""COCO and Objects365 as they unpack: by word, by folder, by split; and what is said where something is missing."""

import json
import shutil
from pathlib import Path

import pytest

from glintbox.datasets.folders import LAYOUTS
from glintbox.datasets.resolve import annotations_of, data_name, resolve
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample
from tests.datasets import test_objects365
from tests.datasets.test_coco import FACTS


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with COCO's validation split and Objects365's, in the official layouts; empty files as pictures."""
    coco, objects = tmp_path / "coco", tmp_path / "objects365"
    (coco / "annotations").mkdir(parents=True)
    shutil.copy(FACTS, coco / "annotations" / "instances_val2017.json")
    (coco / "val2017").mkdir()
    for picture in json.loads(FACTS.read_bytes())["images"]:
        (coco / "val2017" / picture["file_name"]).touch()
    (objects / "val" / "patch8").mkdir(parents=True)
    (objects / "val" / "patch8" / "objects365_v1_00411425.jpg").touch()
    (objects / "val" / "objects365_v2_00900256.jpg").touch()
    test_objects365.written(objects / "val")
    monkeypatch.setenv("GLINTBOX_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path / "objects365")
    return tmp_path


def cases(dataset: object, split: str | None = None, purpose: str = "validation", size: str = "small") -> list[Sample]:
    return resolve(str(dataset), images=None, split=split, limit=None, size=size, default_split=purpose)


def test_a_word_and_its_folder_are_the_same_data(root: Path) -> None:
    assert len(cases("coco")) == 40 and cases("coco") == cases(root / "coco") == cases("coco", "val2017")
    assert [sample.id for sample in cases("objects365", size="any")] == [
        "411425-13",
        "411425-24",
        "900256-24",
    ]
    for word, stem in (("coco", "instances_val2017-"), ("objects365", "zhiyuan_objv2_val-")):
        assert data_name(word, split=None) == data_name(str(root / word), split=None)
        assert data_name(word, split=None).startswith(stem)


def test_a_folder_here_goes_before_the_folder_of_all_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLINTBOX_DATA")
    monkeypatch.chdir(root)
    assert len(cases("coco")) == 40


def test_learning_and_measuring_take_their_own_splits(root: Path) -> None:
    with pytest.raises(
        BadInput, match=r"annotations of split 'train2017' in .*coco at annotations/instances_train2017"
    ):
        cases("coco", purpose="calibration")
    with pytest.raises(BadInput, match=r"annotations of split 'train' in .*objects365 at"):
        cases("objects365", purpose="train")
    shutil.copy(FACTS, root / "coco" / "annotations" / "instances_train2017.json")
    assert len(annotations_of("coco", split="train2017").pairs) > 100, "annotations alone can be counted"
    with pytest.raises(
        BadInput, match=r"pictures of split 'train2017' in .* at train2017 or images/train2017, found none"
    ):
        cases("coco", "train2017")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_purpose_has_a_split_that_exists(layout: str) -> None:
    assert set(LAYOUTS[layout].purposes.values()) <= set(LAYOUTS[layout].splits)
    assert {"train", "calibration", "validation", "test"} == set(LAYOUTS[layout].purposes)


def test_what_is_not_there_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match=r"split 'val'.* Known: train2014, train2017, val2014, val2017"):
        cases("coco", "val")
    with pytest.raises(BadInput, match=r"expected scenes, COCO or Objects365 in .*, found no instances\.json"):
        cases(root)
    with pytest.raises(BadInput, match=r"--images only with a COCO file, got .: the pictures lie in .*coco as well"):
        resolve("coco", images=Path(), split=None, limit=None)
    shutil.rmtree(root / "coco")
    with pytest.raises(BadInput, match=r"folder 'coco' here or in .*coco and found none; name its folder or its JSON"):
        cases("coco")
    monkeypatch.delenv("GLINTBOX_DATA")
    with pytest.raises(BadInput, match="GLINTBOX_DATA, which is not set, and found none"):
        cases("coco")
    with pytest.raises(UnknownName, match=r"dataset 'objekts365'. Did you mean 'objects365'"):
        cases("objekts365")
