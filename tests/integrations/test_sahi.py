"""SAHI's own functions run glintbox on slices of a large picture: boxes come back in pixels of the whole."""

import json

import pytest
from PIL import Image

from glintbox.boxes import Box, Size, iou
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.errors import BadInput
from glintbox.ground import Grounder
from tests.kept import NEAR, NONE, TWO, result

sahi = pytest.importorskip("sahi")
pytestmark = pytest.mark.filterwarnings("ignore")  # of its imports

from glintbox.integrations.sahi import GlintboxDetectionModel, object_predictions  # noqa: E402  # after the skip
from glintbox.records import ScoredBox  # noqa: E402

SLICE = Size(480, 320)
"""px; a scene each."""

FIRST = 40
"""Of four scenes in a row."""


def test_boxes_of_a_slice_are_shifted_into_the_whole_picture() -> None:
    first, second = object_predictions(TWO, category=3, shift=(200, 50), full=(300, 400))
    assert first.get_shifted_object_prediction().bbox.to_xyxy() == [210, 55, 235.5, 70]
    assert (first.category.name, first.category.id, first.score.value) == ("cup", 3, 0.75)
    assert second.get_shifted_object_prediction().bbox.to_xyxy() == [260, 80, 300, 110]
    assert object_predictions(NONE) == []


@pytest.mark.parametrize("kind", ["rank", "none"])
def test_scores_that_hold_within_one_slice_are_refused(kind: str) -> None:
    with pytest.raises(BadInput, match=rf"expected scores of kind iou or agreement, by which .*, got '{kind}' of"):
        object_predictions(result(ScoredBox(NEAR, 0.5, 0), kind=kind))


def test_queries_are_a_list() -> None:
    with pytest.raises(BadInput, match="expected a list of queries, got 'cup'"):
        GlintboxDetectionModel("cup")


def mosaic() -> tuple[Image.Image, str, Box]:
    """Four scenes, 2 x 2; the one at the lower right holds the object to be found, which no other has."""
    whole = Image.new("RGB", (2 * SLICE.width, 2 * SLICE.height))
    scenes = [draw_scene(scene_seed("validation", FIRST + k), size=SLICE, objects=3) for k in range(4)]
    for k, scene in enumerate(scenes):
        whole.paste(scene.image, (k % 2 * SLICE.width, k // 2 * SLICE.height))
    target = max(scenes[3].objects, key=lambda one: one.box.area)
    assert sum(len(scene.boxes(target.label)) for scene in scenes) == 1
    x, y, box = SLICE.width, SLICE.height, target.box
    return whole, target.label, Box(box.x1 + x, box.y1 + y, box.x2 + x, box.y2 + y)


@pytest.mark.slow
def test_sahi_finds_an_object_in_a_slice_of_a_large_picture() -> None:
    from sahi.predict import get_sliced_prediction

    whole, query, truth = mosaic()
    model = GlintboxDetectionModel([query], model=Grounder.from_pretrained(), n=4, selector="consensus")
    found = get_sliced_prediction(
        whole, model, slice_height=SLICE.height, slice_width=SLICE.width, overlap_height_ratio=0,
        overlap_width_ratio=0, perform_standard_pred=False, verbose=0,
    )  # fmt: skip
    boxes = [Box(*one.bbox.to_xyxy()) for one in found.object_prediction_list]
    assert max(iou(box, truth) for box in boxes) > 0.5
    assert {one.category.name for one in found.object_prediction_list} == {query}
    rows = found.to_coco_predictions(image_id=1)
    assert len(rows) == len(boxes) and json.dumps(rows)
