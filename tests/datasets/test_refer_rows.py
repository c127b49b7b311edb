"""Rows of expressions: three forms write one box in three ways and mean the same object."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glintbox.boxes import Size
from glintbox.datasets.refer import expressions_of, referred, source
from glintbox.errors import BadInput
from glintbox.masks import area
from glintbox.records import Sample
from tests.datasets.test_refcoco import DATA, ENTRY, PICTURE, TRUTH

ROW: dict[str, Any] = json.loads((DATA / "vlmr1.json").read_text())[0]
CONTENT = json.loads((DATA / "instances.json").read_text())
[ANNOTATION] = CONTENT["annotations"]
RAW = {
    "raw_anns": json.dumps(ANNOTATION),
    "raw_image_info": json.dumps(CONTENT["images"][0]),
    "sentences": ENTRY["sentences"],
    "bbox": [103.93, 299.99, 238.15, 477.41],
    "split": "train",
}
PLAIN = {
    "file_name": "COCO_train2014_000000581857_16.jpg",
    "bbox": ANNOTATION["bbox"],
    "segmentation": ANNOTATION["segmentation"][0],
    "answer": ["the lady with the blue shirt", "blue shirt"],
}


@pytest.fixture(autouse=True)
def picture(tmp_path: Path) -> Path:
    (tmp_path / "train2014").mkdir()
    path = tmp_path / "train2014" / PICTURE
    Image.new("L", (427, 640)).save(path)
    return path


def rows(folder: Path, *content: object, name: str = "rows.json") -> str:
    path = folder / name
    lines = "\n".join(map(json.dumps, content))
    path.write_text(lines if name.endswith("l") else json.dumps(content))
    return str(path)


def read(folder: Path, *content: object, **options: Any) -> list[Sample]:
    return expressions_of(rows(folder, *content), images=folder / "train2014", **options)


def test_of_the_two_boxes_of_a_row_the_annotation_s_is_the_truth(tmp_path: Path) -> None:
    [sample] = read(tmp_path, ROW)
    assert sample.query == "the lady with the blue shirt"
    assert tuple(sample.truth[0]) == pytest.approx((103.93, 299.99, 238.15, 477.41))
    x, y, width, height = ANNOTATION["bbox"]
    assert tuple(sample.truth[0]) == pytest.approx((x, y, x + width, y + height))
    assert tuple(ROW["bbox_list"][0]) == pytest.approx((x, y, x + width - 1, y + height - 1)), "the other box is not"
    assert (sample.size, sample.mask) == (Size(427, 640), None)


def test_all_forms_mean_the_same_object(tmp_path: Path, picture: Path) -> None:
    found = read(tmp_path, ROW, RAW, PLAIN)
    assert [sample.query for sample in found] == [
        "the lady with the blue shirt",
        *("the lady with the blue shirt", "lady with back to us", "blue shirt"),
        *("the lady with the blue shirt", "blue shirt"),
    ]
    assert len({sample.id for sample in found}) == 6
    for sample in found:
        assert tuple(sample.truth[0]) == pytest.approx(tuple(TRUTH)) and sample.image == picture
        assert sample.size == Size(427, 640)
    masks = [sample.mask for sample in found[1:]]
    assert masks[0] is not None and masks == [masks[0]] * 5 and area(masks[0]) == pytest.approx(14863.6, rel=0.01)


def test_json_lines_are_the_same_rows(tmp_path: Path, picture: Path) -> None:
    path = rows(tmp_path, ROW, RAW, name="rows.jsonl")
    assert expressions_of(path, images=picture.parent) == read(tmp_path, ROW, RAW)
    assert source(path, images=tmp_path).name.startswith("rows-all-")


def test_what_rows_do_not_say_is_unknown(tmp_path: Path) -> None:
    [one] = referred(rows(tmp_path, ROW), images=tmp_path / "train2014")
    assert (one.category, one.kind, one.needs_more) == (None, "", None)


def test_rows_with_splits_are_told_apart(tmp_path: Path) -> None:
    later = RAW | {"split": "val", "sentences": [{"sent": "her"}]}
    assert [one.query for one in read(tmp_path, RAW, later, split="val")] == ["her"]
    assert [one.query for one in read(tmp_path, ROW, later, split="val")] == ["her"], "a row of no split is of none"
    with pytest.raises(BadInput, match=r"got 'test'; they have train, val"):
        read(tmp_path, RAW, later, split="test")
    with pytest.raises(BadInput, match="rows have no split, leave it out"):
        read(tmp_path, ROW, split="val")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"caption": "cup"}, "expected the expressions of a box in row 0 of"),
        (ROW | {"solution": [5, 5, 5, 9]}, "box with an area inside its picture"),
        (ROW | {"solution": [1, 2, 3]}, "expected the expressions of a box in row 0"),
        (ROW | {"width": float("inf")}, "OverflowError"),
        (ROW | {"width": None}, "expected the expressions of a box in row 0"),
        (ROW | {"normal_caption": None}, "texts are due"),
        (ROW | {"image": "lost.jpg"}, r"found no file for 1 of them: .*lost\.jpg"),
        (PLAIN | {"answer": []}, "texts are due"),
        (PLAIN | {"bbox": [1, 2, float("nan"), 4]}, "four finite numbers"),
        (RAW | {"raw_anns": "no JSON"}, "JSONDecodeError"),
        ([1], "expected an object in every row"),
    ],
)
def test_a_row_that_says_no_box_is_refused(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(tmp_path, row)


def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="expected --images DIR, the folder of the pictures"):
        expressions_of(rows(tmp_path, ROW))
    with pytest.raises(BadInput, match="got a JSON of another kind"):
        expressions_of(str(DATA / "instances.json"), images=tmp_path)
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(BadInput, match="expected rows of expressions as JSON"):
        expressions_of("odd.json", images=tmp_path)
    with pytest.raises(BadInput, match="found nothing there"):
        expressions_of("none.jsonl", images=tmp_path)
