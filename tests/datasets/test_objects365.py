"""Objects365 becomes plain COCO: every object once, names as one says them, pictures where they unpack."""

import json
from pathlib import Path
from typing import Any

import pytest

from glintbox.datasets.cases import Rule, cases, fitting
from glintbox.datasets.coco import CLIPPED, CROWDS, ODD, Pair, read_coco
from glintbox.datasets.objects365 import REPEATED, as_coco, is_objects365, spoken
from tests.datasets.test_coco import FACTS


def row(category: int, *box: float, **marks: int) -> dict[str, Any]:
    marks = {"iscrowd": 0, "isfake": 0, "isreflected": 0} | marks
    return {"image_id": 411425, "category_id": category, "bbox": list(box), "area": box[2] * box[3], **marks}


CONTENT: dict[str, Any] = {
    "images": [
        {"id": 411425, "file_name": "images/v1/patch8/objects365_v1_00411425.jpg", "height": 512, "width": 683},
        {"id": 900256, "file_name": "objects365_v2_00900256.jpg", "height": 300, "width": 400},
    ],
    "categories": [{"id": 13, "name": "Cabinet/shelf"}, {"id": 24, "name": "Flower"}, {"id": 1, "name": "Person"}],
    "annotations": [
        {"id": 1, **row(24, 476.0251464693, -0.7644653568, 97.2178, 55.9161)},
        {"id": 2, **row(13, 466.4938964953, 64.682861312, 40.5, 30.25)},
        {"id": 3, **row(13, 466.4938964953, 64.682861312, 40.5, 30.25)},
        {"id": 4, **row(1, 10, 20, 30, 40)},
        {"id": 5, **row(1, 100, 20, 30, 40, isfake=1)},
        {"id": 6, **row(1, 200, 20, 90, 40, iscrowd=1)},
        {"id": 7, **row(24, 10, 20, 30, 40), "image_id": 900256},
    ],
}
"""Made up in the form of the published file: nothing of it is copied but its peculiarities."""


def written(folder: Path) -> Path:
    path = folder / "zhiyuan_objv2_val.json"
    path.write_text(json.dumps(CONTENT))
    return path


def test_an_object_counts_once_however_often_it_is_written(tmp_path: Path) -> None:
    found = read_coco(written(tmp_path))
    assert len(found.pairs[Pair(411425, 13)]) == 1 and found.notes[REPEATED] == 1
    again, repeats = as_coco(as_coco(CONTENT)[0])
    assert repeats == {REPEATED: 0} and again == as_coco(CONTENT)[0]


def test_what_is_met_is_counted(tmp_path: Path) -> None:
    assert read_coco(written(tmp_path)).notes == {REPEATED: 1, CLIPPED: 1, CROWDS: 1, ODD: 1}


def test_it_is_told_by_the_names_of_its_pictures() -> None:
    assert is_objects365(CONTENT) and not is_objects365(json.loads(FACTS.read_bytes()))
    assert not any(map(is_objects365, ([], {}, {"images": []}, {"images": [3]}, {"images": [{"id": 1}]})))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Person", "person"),
        ("Cabinet/shelf", "cabinet or shelf"),
        ("Monitor/TV", "monitor or TV"),
        ("SUV", "SUV"),
        ("Cigar/Cigarette ", "cigar or cigarette"),
        ("Tape Measur/ Ruler", "tape measur or ruler"),
        ("Formula 1 ", "formula 1"),
        ("Other Balls", "other balls"),
    ],
)
def test_names_are_as_one_says_them(name: str, said: str) -> None:
    assert spoken(name) == said == spoken(said)


def test_depicted_things_are_things_unless_that_is_refused(tmp_path: Path) -> None:
    found = read_coco(written(tmp_path))
    assert [str(pair) for pair, _ in fitting(found, Rule("many"))] == ["411425-1"]
    assert [str(pair) for pair, _ in fitting(found, Rule("many", odd="refused"))] == []


@pytest.mark.parametrize("place", ["patch8", "images/v1/patch8", "v1/patch8", "."])
def test_pictures_are_found_where_the_archives_unpack(tmp_path: Path, place: str) -> None:
    where = tmp_path / "val" / place / "objects365_v1_00411425.jpg"
    bare = tmp_path / "val" / "patch17" / "objects365_v2_00900256.jpg"
    for path in (where, bare):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {sample.id: sample for sample in cases(read_coco(written(tmp_path)), tmp_path / "val", Rule())}
    assert found["411425-13"].image.resolve() == where.resolve() and found["411425-13"].query == "cabinet or shelf"
    assert found["900256-24"].image == bare, "older files name no patch"
