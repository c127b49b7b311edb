"""RefCOCO as it unpacks: the annotation is the truth, the picture is the annotation's, partitions are told apart."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from glintbox.boxes import Box, Size
from glintbox.datasets.refer import expressions_of, referred, source
from glintbox.errors import BadInput, UnknownName
from glintbox.masks import area, tight_box
from glintbox.records import Sample

DATA = Path(__file__).parents[1] / "data" / "refcoco"
ENTRY: dict[str, Any] = json.loads((DATA / "refs_unc.json").read_text())[0]
PICTURE = "COCO_train2014_000000581857.jpg"
TRUTH = Box(103.93, 299.99, 238.15, 477.41)


def unpacked(root: Path, word: str = "refcoco", **refs: list[dict[str, Any]]) -> Path:
    """The real entry in the official layout, in protocol 0 as it was published, and an empty file as its picture."""
    folder = root / word
    folder.mkdir()
    shutil.copy(DATA / "instances.json", folder)
    for partition, entries in (refs or {"unc": [ENTRY]}).items():
        (folder / f"refs({partition}).p").write_bytes(pickle.dumps(entries, 0))
    (root / "coco" / "train2014").mkdir(parents=True, exist_ok=True)
    (root / "coco" / "train2014" / PICTURE).touch()
    return folder


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLINTBOX_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    return tmp_path


def told(sample: Sample) -> tuple[str, str]:
    return sample.id, sample.query


def test_every_sentence_is_a_case_and_its_truth_is_the_annotation(root: Path) -> None:
    unpacked(root)
    found = referred("refcoco", split="train")
    assert [told(one.sample) for one in found] == [
        ("581857-0", "the lady with the blue shirt"),
        ("581857-1", "lady with back to us"),
        ("581857-2", "blue shirt"),
    ]
    for one in found:
        [box] = one.sample.truth
        assert tuple(box) == pytest.approx(tuple(TRUTH))
        assert one.sample.size == Size(427, 640)
        assert one.sample.image == root / "coco" / "train2014" / PICTURE, "the entry's own name ends in _16.jpg"
        assert (one.category, one.kind, one.needs_more, one.ignore) == ("person", "", False, None)
        assert one.share == pytest.approx(134.22 * 177.42 / (427 * 640))


def test_the_mask_is_the_annotations_polygon(root: Path) -> None:
    unpacked(root)
    mask = expressions_of("refcoco", split="train", limit=1)[0].mask
    assert mask is not None and mask.size == Size(427, 640)
    assert area(mask) == pytest.approx(14863.6, rel=0.01)
    tight = tight_box(mask)
    assert tight is not None
    assert max(abs(a - b) for a, b in zip(tight, TRUTH, strict=True)) <= 1


def test_a_word_and_its_folder_are_the_same_data(root: Path) -> None:
    folder = unpacked(root, "refcoco+")
    assert expressions_of("refcoco+", split="train") == expressions_of(str(folder), split="train")
    name = source("refcoco+", split="train").name
    assert name.startswith("refcoco+-unc-train-") and name == source(str(folder), split="train").name


def test_the_partitions_of_refcocog_are_told_apart(root: Path) -> None:
    def entry(split: str, sent: str) -> dict[str, Any]:
        return ENTRY | {"split": split, "sentences": [{"sent": sent, "sent_id": 7}]}

    refs = {"google": [entry("val", "by google")], "umd": [entry("val", "by umd"), entry("test", "umd's test")]}
    unpacked(root, "refcocog", **refs)
    assert [sample.query for sample in expressions_of("refcocog")] == ["by umd"]
    assert [sample.query for sample in expressions_of("refcocog", split="umd-test")] == ["umd's test"]
    assert [sample.query for sample in expressions_of("refcocog", split="google-val")] == ["by google"]
    assert "google-val" in source("refcocog", split="google-val").name
    with pytest.raises(UnknownName, match=r"unknown split 'test'. Known: val"):
        expressions_of("refcocog", split="google-test")
    with pytest.raises(UnknownName, match=r"unknown partition 'unc'. Known: google, umd"):
        expressions_of("refcocog", split="unc-val")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(root: Path) -> None:
    splits = [ENTRY | {"split": split} for split in ("train", "val", "testA", "testB")]
    unpacked(root, unc=splits)
    assert len(expressions_of("refcoco")) == len(expressions_of("refcoco", split="testB")) == 3
    assert len(expressions_of("refcoco", default_split="calibration")) == 3
    with pytest.raises(UnknownName, match=r"split 'testC'. Did you mean 'test[AB]'\? Known: testA, testB, train, val"):
        expressions_of("refcoco", split="testC")


def test_others_of_the_category_make_more_than_the_category_needed(root: Path) -> None:
    folder = unpacked(root)
    content = json.loads((folder / "instances.json").read_text())
    [annotation] = content["annotations"]
    crowd = annotation | {"id": 5, "iscrowd": 1}
    for others, needs_more in (([crowd], False), ([crowd, annotation | {"id": 6}], True)):
        (folder / "instances.json").write_text(json.dumps(content | {"annotations": [annotation, *others]}))
        assert {one.needs_more for one in referred("refcoco", split="train")} == {needs_more}


def test_a_sample_is_drawn_by_ids_and_only_its_masks_are_made(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [ENTRY | {"sentences": [{"sent": f"lady {k}", "sent_id": k}]} for k in range(40)]
    unpacked(root, unc=entries)
    made: list[object] = []
    monkeypatch.setattr("glintbox.datasets.referred.from_polygons", lambda *_: made.append(1))
    drawn = expressions_of("refcoco", split="train", sample=6, seed=1)
    assert len(drawn) == len(made) == 6
    assert drawn == expressions_of("refcoco", split="train", sample=6, seed=1)
    assert drawn != expressions_of("refcoco", split="train", sample=6, seed=2)
    assert set(drawn) <= set(expressions_of("refcoco", split="train", sample=9, seed=1))
    ids = [drawn[3].id, drawn[0].id]
    assert [one.id for one in expressions_of("refcoco", split="train", ids=ids)] == [drawn[0].id, drawn[3].id]
    with pytest.raises(BadInput, match="got 1 that are none: 581857-99"):
        expressions_of("refcoco", split="train", ids=["581857-99"])


def test_a_sample_is_drawn_of_those_that_fit_the_size(root: Path) -> None:
    content = json.loads((DATA / "instances.json").read_text())
    [large] = content["annotations"]
    small = large | {"id": 5, "bbox": [10, 10, 40, 40]}  # 0.6 % of the picture
    entries = [
        ENTRY | {"ann_id": id, "sentences": [{"sent": f"lady {k}", "sent_id": 2 * k + (id == 5)} for k in range(20)]}
        for id in (large["id"], 5)
    ]
    folder = unpacked(root, unc=entries)
    (folder / "instances.json").write_text(json.dumps(content | {"annotations": [large, small]}))
    drawn = referred("refcoco", split="train", sample=15, size="small")
    assert len(drawn) == 15 and {one.sample.truth for one in drawn} == {(Box(10, 10, 50, 50),)}
    assert len(referred("refcoco", split="train", sample=15, size="small", limit=4)) == 4
    with pytest.raises(BadInput, match="expected to draw 1 to 20 of 20 cases, got 21"):
        referred("refcoco", split="train", sample=21, size="small")


def spoil(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"][0] |= changes
    (folder / "instances.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [10, 20, 0, 5]}, r"box with an area inside its picture of 427x640 px, got \[10, 20, 0, 5\]"),
        ({"bbox": [500, 20, 9, 5]}, "box with an area inside its picture"),
        ({"bbox": [10, 20, 5]}, "bbox of four finite numbers"),
        ({"segmentation": [[1, 2, 3, 4]]}, "polygon"),
        ({"segmentation": {"size": [640, 427], "counts": [5, 6]}}, "run lengths"),
        ({"image_id": 3}, r"expected annotation 1719310 in .*KeyError: 3; do expressions and annotations belong"),
        ({"id": 4}, "expected annotation 1719310"),
    ],
)
def test_an_annotation_without_a_true_box_is_refused(root: Path, changes: dict[str, Any], message: str) -> None:
    spoil(unpacked(root), **changes)
    with pytest.raises(BadInput, match=message):
        expressions_of("refcoco", split="train")


def test_a_crowd_s_run_lengths_are_a_mask_too(root: Path) -> None:
    spoil(unpacked(root), segmentation={"size": [640, 427], "counts": [640, 10, 426 * 640 - 10]})
    mask = expressions_of("refcoco", split="train", limit=1)[0].mask
    assert mask is not None and area(mask) == 10


@pytest.mark.parametrize(
    "entries",
    [
        {"ann_id": 3},
        [{"ann_id": 3}],
        [ENTRY | {"sentences": [{"raw": "lady"}]}],
        [ENTRY | {"ann_id": "1"}],
        [ENTRY | {"sentences": 5}],
        7,
    ],
)
def test_entries_of_another_shape_are_refused(root: Path, entries: Any) -> None:
    folder = unpacked(root)
    (folder / "refs(unc).p").write_bytes(pickle.dumps(entries, 2))
    with pytest.raises(BadInput, match=r"expected a list of expressions in .*refs\(unc\)\.p"):
        expressions_of("refcoco", split="train")


def test_what_is_not_there_is_said(root: Path) -> None:
    with pytest.raises(BadInput, match="expected a folder 'refcoco' here or in"):
        expressions_of("refcoco")
    folder = unpacked(root)
    (root / "coco" / "train2014" / PICTURE).unlink()
    with pytest.raises(BadInput, match=rf"pictures of 3 cases, found no file for 3 of them: .*{PICTURE}"):
        expressions_of("refcoco", split="train")
    shutil.rmtree(root / "coco")
    with pytest.raises(BadInput, match=r"expected COCO's train2014 pictures at .*or name their folder with --images"):
        expressions_of("refcoco", split="train")
    (root / PICTURE).touch()
    assert len(expressions_of("refcoco", split="train", images=root)) == 3
    (folder / "instances.json").unlink()
    with pytest.raises(BadInput, match="expected the annotations beside the expressions"):
        expressions_of("refcoco", split="train")


def test_an_empty_expression_is_refused(root: Path) -> None:
    unpacked(root, unc=[ENTRY | {"sentences": [{"sent": "  ", "sent_id": 0}]}])
    with pytest.raises(BadInput, match=r"expected an expression for annotation 1719310 .*got an empty one"):
        expressions_of("refcoco", split="train")
