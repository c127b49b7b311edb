"""What a COCO file says, and every way in which it can disappoint: refused by name, or left out and counted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from glintbox.boxes import Box, Size
from glintbox.datasets.coco import CLIPPED, CROWDS, LEFT_OUT, NO_AREA, OUTSIDE, Annotations, Marked, Pair, read_coco
from glintbox.errors import BadInput

FACTS = Path(__file__).parents[1] / "data" / "coco" / "instances.json"


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


def read(folder: Path, *boxes: Sequence[float], crowd: int = -1) -> Annotations:
    return read_coco(written(folder, *boxes, crowd=crowd))


def test_a_real_file_is_read_whole() -> None:
    found = read_coco(FACTS)
    assert (len(found.pictures), len(found.names)) == (28, 80)
    assert sum(len(marked) for marked in found.pairs.values()) == 355 and found.notes == {CROWDS: 7}
    assert found.split is None and found.names[44] == "bottle"
    [bottle] = found.pairs[Pair(229358, 44)]
    assert tuple(bottle.box) == pytest.approx((198.7, 75.65, 215.79, 118.95)) and bottle.mask == 528.7435
    assert found.pictures[229358] == ("000000229358.jpg", (640, 423))


def test_a_pair_holds_corners_in_pixels_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, [30, 40, 10, 5], [0, 10, 200, 5], crowd=1)
    assert found.pairs == {Pair(7, 3): (Marked(Box(30, 40, 40, 45)), Marked(Box(0, 10, 200, 15), crowd=True))}
    assert found.pictures[7].size == Size(200, 100) and str(Pair(7, 3)) == "7-3"


def test_a_box_that_leaves_its_picture_is_clipped_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, [-3, 90, 10, 20], [190, 5, 10.004, 4])
    first, rounded = (one.box for one in found.pairs[Pair(7, 3)])
    assert (tuple(first), rounded.x2) == ((0, 90, 7, 100), 200), "width is 200, height 100"
    assert found.notes == {CLIPPED: 1}, "a rounded hundredth is no clipping"


@pytest.mark.parametrize(
    ("box", "why"), [([60, 10, 0, 5], NO_AREA), ([60, 10, 4, -1], NO_AREA), ([150, 100, 9, 9], OUTSIDE)]
)
def test_a_pair_with_an_unusable_box_is_left_out_and_counted(tmp_path: Path, box: list[float], why: str) -> None:
    found = read(tmp_path, [30, 40, 10, 5], box)
    assert found.pairs == {} and found.notes == {why: 1, LEFT_OUT: 1}


def test_a_crowd_without_area_harms_nobody(tmp_path: Path) -> None:
    found = read(tmp_path, [30, 40, 10, 5], [60, 10, 0, 5], crowd=1)
    assert len(found.pairs[Pair(7, 3)]) == 1 and LEFT_OUT not in found.notes


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float) -> None:
    with pytest.raises(
        BadInput, match=r"four finite numbers, got .* in annotation 0 in .*; correct it, or take it out"
    ):
        read(tmp_path, [30, 40, value, 5])


def test_three_numbers_are_no_box(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"four finite numbers, got \[1, 2, 3\]"):
        read(tmp_path, [1, 2, 3])


def test_what_is_no_coco_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"COCO instances JSON at .*nowhere\.json, found no file"):
        read_coco(tmp_path / "nowhere.json")
    no_size = '{"images": [{"id": 7, "file_name": "7.jpg"}], "categories": [], "annotations": []}'
    for text in ("", "[]", "{}", '{"images": [{}]}', '{"images": 3}', no_size):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadInput, match=r"expected a COCO instances JSON in .*bad\.json .* got \w+Error"):
            read_coco(tmp_path / "bad.json")


def test_a_picture_without_extent_is_refused(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "7.jpg", "width": 0, "height": 100}]
    with pytest.raises(BadInput, match=r"at least 1 px, got Size\(width=0, height=100\) for picture 7"):
        read_coco(written(tmp_path, [30, 40, 10, 5], images=images))


def test_an_annotation_of_an_unknown_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"annotation 0 in .* of an image or category that is not there"):
        read_coco(written(tmp_path, [30, 40, 10, 5], images=[]))
