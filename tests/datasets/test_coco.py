"""COCO cases: the known forty, and every way in which a file can disappoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from glintbox.boxes import Size
from glintbox.datasets.coco import coco_samples
from glintbox.errors import BadInput

FACTS = Path(__file__).parents[1] / "data" / "coco"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Empty files under the names of the pictures: only their being there is asked."""
    for picture in json.loads((FACTS / "instances.json").read_bytes())["images"]:
        (tmp_path / picture["file_name"]).touch()
    return tmp_path


def written(folder: Path, *boxes: Sequence[float], crowd: int = -1, **changes: Any) -> Path:
    """A COCO file of one 200 x 100 picture, 7.jpg, with the given boxes of category 3, "cup"."""
    content = {
        "images": [{"id": 7, "file_name": "7.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 3, "name": "cup"}, {"id": 4, "name": "dog"}],
        "annotations": [
            {"id": k, "image_id": 7, "category_id": 3, "bbox": box, "iscrowd": int(k == crowd)}
            for k, box in enumerate(boxes)
        ],
    } | changes
    (folder / "7.jpg").touch()
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_the_forty_known_small_single_objects_are_found(pictures: Path) -> None:
    known = json.loads((FACTS / "single_small.json").read_bytes())
    found = {sample.id: sample for sample in coco_samples(FACTS / "instances.json", pictures)}
    assert len(found) == 40 == len(known)
    for id, category, corners in known:
        assert found[id].query == category
        assert list(found[id].truth[0]) == pytest.approx(corners, abs=0.01) and len(found[id].truth) == 1
        assert found[id].image.is_file() and found[id].size.width >= 400


def test_the_order_is_by_image_then_category_and_a_limit_takes_the_first(pictures: Path) -> None:
    every = [sample.id for sample in coco_samples(FACTS / "instances.json", pictures)]
    assert every == sorted(every, key=lambda id: tuple(map(int, id.split("-"))))
    assert [sample.id for sample in coco_samples(FACTS / "instances.json", pictures, limit=3)] == every[:3]


def test_several_objects_and_any_size_give_more(pictures: Path) -> None:
    facts = FACTS / "instances.json"
    several = [len(s.truth) for s in coco_samples(facts, pictures, single=False)]
    assert len(several) > 40 and several.count(1) == 40
    assert len(list(coco_samples(facts, pictures, area=None))) > 40


def test_bounds_of_the_area_are_included_and_it_is_the_boxs(tmp_path: Path) -> None:
    for box, count in (([5, 5, 10, 2], 1), ([5, 5, 10, 20], 1), ([5, 5, 9, 2], 0), ([5, 5, 10, 21], 0)):
        facts = written(tmp_path, box)
        assert len(list(coco_samples(facts, tmp_path))) == count, box


def test_a_sample_holds_corners_in_pixels(tmp_path: Path) -> None:
    (sample,) = coco_samples(written(tmp_path, [30, 40, 10, 5]), tmp_path)
    assert tuple(sample.truth[0]) == (30, 40, 40, 45)
    assert (sample.id, sample.query, sample.size) == ("7-3", "cup", Size(200, 100))


def test_a_crowd_is_no_object(tmp_path: Path) -> None:
    small, other = [30, 40, 10, 5], [60, 10, 10, 5]
    assert len(list(coco_samples(written(tmp_path, small, other, crowd=1), tmp_path))) == 1
    assert len(list(coco_samples(written(tmp_path, small, other), tmp_path))) == 0
    assert len(list(coco_samples(written(tmp_path, small, crowd=0), tmp_path))) == 0


def test_a_pair_with_a_box_without_area_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = written(tmp_path, [30, 40, 10, 5], [60, 10, 0, 5])
    assert list(coco_samples(facts, tmp_path, single=False)) == []
    assert caplog.messages == ["left out 1 of 1 pairs: a box without area"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float) -> None:
    with pytest.raises(BadInput, match=r"four finite numbers, got .* in annotation 0"):
        coco_samples(written(tmp_path, [30, 40, value, 5]), tmp_path)


def test_three_numbers_are_no_box(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"four finite numbers, got \[1, 2, 3\]"):
        coco_samples(written(tmp_path, [1, 2, 3]), tmp_path)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    facts = written(tmp_path, [30, 40, 10, 5])
    (tmp_path / "7.jpg").unlink()
    with pytest.raises(BadInput, match=r"expected the picture .*7\.jpg, found no file; are the pictures"):
        list(coco_samples(facts, tmp_path))


def test_what_is_no_coco_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"COCO instances JSON at .*nowhere\.json, found no file"):
        coco_samples(tmp_path / "nowhere.json", tmp_path)
    no_size = '{"images": [{"id": 7, "file_name": "7.jpg"}], "categories": [], "annotations": []}'
    for text in ("", "[]", "{}", '{"images": [{}]}', no_size):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadInput, match=r"expected a COCO instances JSON in .*bad\.json .* got \w+Error"):
            coco_samples(tmp_path / "bad.json", tmp_path)


def test_a_picture_without_extent_is_refused(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "7.jpg", "width": 0, "height": 100}]
    with pytest.raises(BadInput, match=r"at least 1 px, got Size\(width=0, height=100\) for picture 7"):
        coco_samples(written(tmp_path, [30, 40, 10, 5], images=images), tmp_path)


def test_an_annotation_of_an_unknown_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"annotation 0 in .* of an image or category that is not there"):
        coco_samples(written(tmp_path, [30, 40, 10, 5], images=[]), tmp_path)


def test_options_out_of_range_are_refused(tmp_path: Path) -> None:
    facts = written(tmp_path, [30, 40, 10, 5])
    with pytest.raises(BadInput, match=r"low <= high <= 1, got \(0\.1, 0\.01\)"):
        coco_samples(facts, tmp_path, area=(0.1, 0.01))
    with pytest.raises(BadInput, match="limit >= 1, got 0"):
        coco_samples(facts, tmp_path, limit=0)
    with pytest.raises(BadInput, match="expected a folder of pictures at"):
        coco_samples(facts, tmp_path / "none")
