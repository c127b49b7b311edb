"""ReasonSeg: polygons become a target and what is ignored; every instruction is a case."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.datasets.refer import expressions_of, referred, source
from glintbox.errors import BadInput, UnknownName, UnreadableImage
from glintbox.masks import decode

WIDE = Size(60, 40)


def square(label: str, x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    corners = [[x1 + 0.4, y1 + 0.4], [x2 + 0.4, y1 + 0.4], [x2 + 0.4, y2 + 0.4], [x1 + 0.4, y2 + 0.4]]
    return {"label": label, "labels": [label], "shape_type": "polygon", "points": corners}


def put(folder: Path, name: str, *shapes: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", WIDE).save(folder / f"{name}.jpg")
    content = {"text": ["what one drinks from"], "is_sentence": False, "shapes": shapes} | changes
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json"


@pytest.fixture
def val(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLINTBOX_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    return tmp_path / "reasonseg" / "val"


def test_every_instruction_is_a_case_and_the_box_holds_all_of_the_target(val: Path) -> None:
    put(val, "b", square("target", 2, 3, 10, 12), square("target", 30, 20, 40, 30), text=["cups", "the two cups"])
    put(val, "a", square("target", 2, 3, 10, 12), is_sentence=True)
    found = referred("reasonseg")
    assert [(one.sample.id, one.sample.query, one.kind) for one in found] == [
        ("a-0", "what one drinks from", "long"),
        ("b-0", "cups", "short"),
        ("b-1", "the two cups", "short"),
    ]
    assert [one.sample.truth[0] for one in found] == [Box(2, 3, 11, 13)] + 2 * [Box(2, 3, 41, 31)]
    mask = found[2].sample.mask
    assert mask is not None and mask.size == WIDE
    expected = np.zeros((40, 60), dtype=bool)
    expected[3:13, 2:11] = expected[20:31, 30:41] = True  # corners cut to whole pixels, outlines in
    assert (decode(mask) == expected).all()
    assert {(one.category, one.needs_more, one.ignore) for one in found} == {(None, None, None)}


def test_smaller_polygons_lie_on_larger_ones_and_flags_mean_nothing(val: Path) -> None:
    shapes = [square("Ignore_1", 12, 12, 17, 17), square("target", 10, 10, 29, 29), square("FLAG", 0, 0, 59, 39)]
    put(val, "a", *shapes, square("ignore", 0, 5, 49, 39), square("target", 14, 14, 15, 15))
    [one] = referred("reasonseg")
    mask, ignore = one.sample.mask, one.ignore
    assert mask is not None and ignore is not None
    target, ignored = decode(mask), decode(ignore)
    assert not (target & ignored).any()
    assert target[11, 11] and ignored[13, 13] and target[14, 14] and ignored[6, 1] and not (target | ignored)[2, 55]
    assert int(target.sum()) == 400 - 36 + 4 and int(ignored.sum()) == 50 * 35 - 400 + 36 - 4


def test_splits_lie_in_folders_here_or_one_below(val: Path, tmp_path: Path) -> None:
    put(val, "a", square("target", 1, 1, 9, 9))
    put(tmp_path / "other" / "ReasonSeg" / "train", "b", square("target", 1, 1, 9, 9))
    assert [one.id for one in expressions_of(str(tmp_path / "other"), split="train")] == ["b-0"]
    assert [one.id for one in expressions_of(str(tmp_path / "other"), default_split="calibration")] == ["b-0"]
    name = source("reasonseg").name
    assert name.startswith("reasonseg-val-")
    put(val, "a", square("target", 1, 1, 9, 8))
    assert source("reasonseg").name != name
    with pytest.raises(BadInput, match="ReasonSeg's split 'test' in"):
        expressions_of("reasonseg", split="test")
    with pytest.raises(UnknownName, match=r"split 'testA'. Did you mean 'test'"):
        expressions_of("reasonseg", split="testA")
    with pytest.raises(BadInput, match=r"--images only with a COCO file"):
        expressions_of("reasonseg", images=tmp_path)


def test_a_picture_turned_by_its_exif_is_upright(val: Path) -> None:
    put(val, "a", square("target", 1, 30, 9, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", WIDE).save(val / "a.jpg", exif=exif)
    [sample] = expressions_of("reasonseg")
    assert sample.size == Size(40, 60) and sample.truth == (Box(1, 30, 10, 51),)


def test_some_files_are_in_the_encoding_of_windows(val: Path) -> None:
    path = put(val, "a", square("target", 1, 1, 9, 9))
    content = json.loads(path.read_text()) | {"text": ["the girl’s cup"]}
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode("cp1252"))
    assert expressions_of("reasonseg")[0].query == "the girl’s cup"


@pytest.mark.parametrize(
    ("shapes", "changes", "message"),
    [
        ([square("ignore", 1, 1, 9, 9)], {}, "expected a target with an area"),
        ([square("target", 70, 50, 80, 60)], {}, "expected a target with an area"),
        ([], {}, "expected a target with an area"),
        ([{"label": "target", "points": []}], {}, "expected a target with an area"),
        ([square("target", 1, 1, 9, 9)], {"text": []}, "expected a list of instructions"),
        ([square("target", 1, 1, 9, 9)], {"text": "cup"}, "expected a list of instructions"),
        ([square("target", 1, 1, 9, 9)], {"text": [" "]}, "expected an expression"),
        ([square("target", 1, 1, 9, 9)], {"shapes": 4}, "expected a JSON of ReasonSeg in"),
        ([{"label": "target", "points": [[1e999, 2]]}], {}, "OverflowError"),
        ([{"label": "target"}], {}, r"expected a JSON of ReasonSeg in .*KeyError: 'points'"),
    ],
)
def test_what_has_no_target_is_refused(val: Path, shapes: Any, changes: Any, message: str) -> None:
    put(val, "a", *shapes, **changes)
    with pytest.raises(BadInput, match=message):
        expressions_of("reasonseg")


def test_a_picture_that_is_not_there_is_said(val: Path) -> None:
    put(val, "a", square("target", 1, 1, 9, 9))
    put(val, "b", square("target", 1, 1, 9, 9))
    (val / "a.jpg").unlink()
    with pytest.raises(BadInput, match=r"found no file for 1 of them: .*a\.jpg"):
        expressions_of("reasonseg")
    assert [one.id for one in expressions_of("reasonseg", skip_missing=True)] == ["b-0"]
    (val / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"a\.jpg: expected a picture"):
        expressions_of("reasonseg")
    (val / "a.json").write_text("{")
    with pytest.raises(BadInput, match="expected a JSON of ReasonSeg"):
        expressions_of("reasonseg")
