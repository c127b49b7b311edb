"""A Grounding in other tools' formats means there what it means here: round trips through the tools themselves."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from glintbox.boxes import Box, Size
from glintbox.datasets.coco import Picture
from glintbox.errors import BadInput, MissingExtra, UnknownName
from glintbox.exports import (
    SCORE_KINDS,
    bbox_2d,
    coco_results,
    fiftyone_detections,
    hugging_face,
    label_studio_task,
    to_fiftyone,
    to_supervision,
)
from glintbox.masks import decode, encode
from glintbox.metrics import average_precision, best_iou
from glintbox.parsing import read_response
from glintbox.records import Grounding, Response, ScoredBox
from glintbox.runs import Kept
from tests.kept import ANNOTATIONS, BARE, FAR, KEPT, MASKED, NEAR, NONE, TWO, mask, result
from tests.sets import FRAME, IMAGE


def test_every_kind_of_score_is_explained() -> None:
    kinds = Grounding.__annotations__["score_kind"]
    assert set(SCORE_KINDS) == {word.strip(" '\"") for word in kinds[kinds.index("[") + 1 : -1].split(",")}


def test_coco_results_have_the_ids_of_the_annotations_and_every_box() -> None:
    rows = coco_results(KEPT, ANNOTATIONS)
    assert [(row["image_id"], row["category_id"], row["score"], row["score_kind"]) for row in rows] == [
        (40, 7, 0.75, "iou"), (40, 7, 0.5, "iou"), (42, 7, 1.0, "none"), (43, 7, 0.25, "share"),
    ]  # fmt: skip
    assert rows[0]["bbox"] == [10, 5, 25.5, 15] and rows[1]["bbox"] == [60, 30, 40, 30]
    assert coco_results(KEPT[2:3], ANNOTATIONS, unscored=0.5)[0]["score"] == 0.5


def test_a_picture_is_found_by_the_end_of_its_path() -> None:
    deep = ANNOTATIONS._replace(pictures={1: Picture("x/a.png", IMAGE), 2: Picture("y/a.png", IMAGE)})
    assert coco_results([Kept(TWO, "/data/y/a.png")], deep)[0]["image_id"] == 2
    with pytest.raises(BadInput, match=r"expected z/a.png among the 2 pictures .*found none .*are they of this split"):
        coco_results([Kept(TWO, "z/a.png")], deep)


def test_what_the_annotations_do_not_have_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"unknown category 'cups'. Did you mean 'cup'"):
        coco_results([Kept(result(query="cups"), "a.png")], ANNOTATIONS)
    turned = ANNOTATIONS._replace(pictures={1: Picture("a.png", Size(60, 100))})
    with pytest.raises(BadInput, match=r"expected 60x100 px for a.png, as its annotations say, got 100x60; are they"):
        coco_results([Kept(TWO, "a.png")], turned)
    with pytest.raises(BadInput, match="expected the picture of 'a', which this format names, got a result alone"):
        coco_results([Kept(TWO, None)], ANNOTATIONS)


def instances(folder: Path, truth: dict[int, Box]) -> Path:
    """A COCO file with one cup in each picture."""
    content = {
        "info": {},
        "images": [{"id": id, "file_name": p.file, "width": 100, "height": 60} for id, p in PICTURES.items()],
        "categories": [{"id": 7, "name": "cup"}],
        "annotations": [
            {"id": id, "image_id": id, "category_id": 7, "iscrowd": 0, "area": box.area,
             "bbox": [box.x1, box.y1, box.width, box.height]}
            for id, box in truth.items()
        ],
    }  # fmt: skip
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


PICTURES = {k: Picture(f"{k}.png", IMAGE) for k in range(1, 31)}
ONE_CUP = ANNOTATIONS._replace(pictures=PICTURES, names={7: "cup"})


def detections() -> tuple[list[Kept], dict[int, Box]]:
    """Thirty pictures with one cup each; the better the score, the more often the box is right; one is not found."""
    random = np.random.default_rng(0)
    kept, truth = [], {}
    for k, score in enumerate(random.permutation(30) / 30, start=1):
        x, y = random.uniform(0, 60), random.uniform(0, 30)
        truth[k] = Box(x, y, x + 30, y + 20)
        shift = random.uniform(0, 4) if random.random() < score else 20
        boxes = () if k == 9 else (ScoredBox(Box(x + shift, y, x + shift + 30, y + 20), float(score), 0),)
        kept.append(Kept(result(*boxes, id=str(k)), f"{k}.png"))
    return kept, truth


def ap50(truth: Any, found: Any, evaluation: Callable[..., Any]) -> float:
    judged = evaluation(truth, found, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return float(judged.stats[1])


def test_ap_is_the_same_by_both_coco_tools_and_ours_but_for_its_101_steps(tmp_path: Path) -> None:
    import faster_coco_eval as fast

    kept, truth = detections()
    path, rows = instances(tmp_path, truth), coco_results(kept, ONE_CUP)
    slow, quick = COCO(str(path)), fast.COCO(str(path))
    by_coco = ap50(slow, slow.loadRes(rows), COCOeval)
    by_fast = ap50(quick, quick.loadRes(rows), fast.COCOeval_faster)
    assert by_fast == pytest.approx(by_coco, abs=1e-9)
    boxes = [[box.box for box in one.result.boxes] for one in kept]
    hits = [best_iou(some, [true]) >= 0.5 for some, true in zip(boxes, truth.values(), strict=True)]
    ours = average_precision(hits, [one.result.boxes[0].score if one.result.boxes else None for one in kept])
    assert 0.3 < ours < 0.9
    assert by_coco == pytest.approx(ours, abs=0.02)


def test_masks_go_to_coco_and_are_read_there(tmp_path: Path) -> None:
    coco = COCO(str(instances(tmp_path, {})))
    read = coco.loadRes(coco_results([Kept(MASKED, "3.png")], ONE_CUP))
    [row] = read.loadAnns(read.getAnnIds())
    assert (read.annToMask(row).astype(bool) == decode(mask())).all()
    assert row["image_id"] == 3 and row["bbox"] == [10, 5, 25.5, 15]


def test_fiftyone_boxes_are_shares_of_the_picture() -> None:
    first, second = fiftyone_detections(TWO)
    assert first["bounding_box"] == pytest.approx([0.1, 5 / 60, 0.255, 0.25])
    assert second["bounding_box"] == pytest.approx([0.6, 0.5, 0.4, 0.5])
    assert (first["label"], first["confidence"], first["score_kind"]) == ("cup", 0.75, "iou")
    assert "confidence" not in fiftyone_detections(BARE)[0] and fiftyone_detections(NONE) == []
    [masked] = fiftyone_detections(MASKED)
    assert masked["mask"].shape == (15, 26) and masked["mask"].sum() == decode(mask()).sum()


def test_fiftyone_takes_them() -> None:
    pytest.importorskip("fiftyone")
    [one] = to_fiftyone(MASKED).detections
    assert one.bounding_box == pytest.approx([0.1, 5 / 60, 0.255, 0.25])
    assert (one.label, one.confidence, one["score_kind"]) == ("cup", 0.25, "share")
    assert one.mask.sum() == decode(mask()).sum()
    assert to_fiftyone(BARE).detections[0].confidence is None


CONFIG = """<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="label" toName="image"><Label value="cup"/><Label value="dog"/></RectangleLabels>
</View>"""


def test_label_studio_regions_are_percent_with_scores_and_a_picture_without_boxes_stays() -> None:
    task = label_studio_task(TWO, "a.png")
    [prediction] = task["predictions"]
    value = prediction["result"][0]["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([10, 5 / 0.6, 25.5, 25])
    assert [region["score"] for region in prediction["result"]] == [0.75, 0.5] and prediction["score"] == 0.75
    assert {(r["original_width"], r["original_height"]) for r in prediction["result"]} == {(100, 60)}
    assert prediction["model_version"] == "tiny acs-learned (iou)"
    empty = label_studio_task(NONE, "b.png")
    assert empty["data"]["image"] == "b.png" and empty["predictions"][0]["result"] == []
    bare = label_studio_task(BARE, "c.png")["predictions"][0]
    assert "score" not in bare and "score" not in bare["result"][0]


@pytest.mark.parametrize("one", [TWO, NONE, BARE, MASKED], ids=lambda one: one.id)
def test_label_studio_takes_them(one: Grounding) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    [prediction] = label_studio_task(one, "a.png")["predictions"]
    assert interface.LabelInterface(CONFIG).validate_prediction(prediction, return_errors=True) == []


def test_supervision_takes_them() -> None:
    supervision = pytest.importorskip("supervision")
    two = to_supervision(TWO)
    assert isinstance(two, supervision.Detections)
    assert two.xyxy.tolist() == [list(NEAR), list(FAR)] and two.confidence.tolist() == [0.75, 0.5]
    assert two.data["class_name"].tolist() == ["cup", "cup"] and two[1:].data["score_kind"].tolist() == ["iou"]
    masked = to_supervision(MASKED)
    assert (masked.mask[0] == decode(mask())).all()
    assert to_supervision(BARE).confidence is None and to_supervision(BARE).mask is None
    assert len(to_supervision(NONE)) == 0
    assert len(supervision.Detections.merge([two, two])) == 4
    assert len(two.with_nms(0.5)) == 2


@pytest.mark.parametrize(("name", "make"), [("supervision", to_supervision), ("fiftyone", to_fiftyone)])
def test_a_tool_that_is_not_there_is_named_with_how_to_get_it(
    name: str, make: Callable[[Grounding], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtra, match=rf'{name} is not installed; run: pip install "glintbox\[{name}\]"'):
        make(TWO)


def test_the_hugging_face_shape_tells_no_score_where_there_is_none() -> None:
    assert hugging_face(TWO)[0] == {
        "score": 0.75, "label": "cup", "box": {"xmin": 10, "ymin": 5, "xmax": 35.5, "ymax": 20},
    }  # fmt: skip
    assert hugging_face(BARE)[0]["score"] is None and hugging_face(NONE) == []


@pytest.mark.parametrize(
    ("frame", "written"),
    [
        ("pixels", [10, 5, 35.5, 20]),
        ("1000", [100, 83.333333, 355, 333.333333]),
        ("1", [0.1, 0.083333, 0.355, 0.333333]),
        ("model", [100, 83.333333, 355, 333.333333]),
    ],
)
def test_bbox_2d_is_in_the_frame_that_was_named(frame: str, written: list[float]) -> None:
    first = bbox_2d(TWO, frame)[0]
    assert first == {"bbox_2d": pytest.approx(written), "label": "cup", "score": 0.75}


def test_bbox_2d_is_read_back_by_the_parser() -> None:
    assert "score" not in bbox_2d(BARE)[0]
    text = json.dumps(bbox_2d(TWO, "1000"))
    answer = Response(text, source="given", ended="stop", ids=(), spans=())
    _, read = read_response(answer, 0, frame=FRAME, image=IMAGE)
    assert [list(c.box) for c in read] == [pytest.approx(list(NEAR)), pytest.approx(list(FAR))]
    with pytest.raises(UnknownName, match=r"unknown frame 'pixel'. Did you mean 'pixels'"):
        bbox_2d(TWO, "pixel")


def test_a_mask_at_the_picture_s_edge_keeps_its_pixels() -> None:
    pixels = np.zeros((60, 100), dtype=bool)
    pixels[40:60, 70:100] = True
    edge = replace(MASKED, boxes=(ScoredBox(FAR, 0.5, None, encode(pixels)),))
    assert fiftyone_detections(edge)[0]["mask"].shape == (30, 40)
    assert fiftyone_detections(edge)[0]["mask"].sum() == 600
