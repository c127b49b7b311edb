"""lmms-eval's own functions ask, read and score: what comes back is the selected box in the frame of each task."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.errors import BadInput
from tests.integrations.seen import CUP, a_grounder, picture
from tests.web.scripted_page import HIGH, WIDE

pytest.importorskip("lmms_eval")
pytestmark = pytest.mark.filterwarnings("ignore")  # of its imports

from lmms_eval.api.instance import Instance  # noqa: E402  # after the skip
from lmms_eval.models.registry_v2 import ModelRegistryV2  # noqa: E402
from lmms_eval.tasks.groundingme import utils as stated  # noqa: E402
from lmms_eval.tasks.refcoco import utils_rec as comprehension  # noqa: E402
from lmms_eval.tasks.refcoco_grounding import utils as location  # noqa: E402

from glintbox.integrations.lmms_eval import GlintboxModel  # noqa: E402

X, Y, W, H = CUP.x1, CUP.y1, CUP.width, CUP.height


def a_model(**options: Any) -> GlintboxModel:
    return GlintboxModel(grounder=a_grounder(), n=2, selector="consensus", **options)


def asked(model: GlintboxModel, doc: dict[str, Any], text: str, visuals: Any) -> str:
    """The model's answer to one document, asked as lmms-eval asks."""
    [told] = asked_of_all(model, [doc], [text], visuals)
    return told


def asked_of_all(model: GlintboxModel, docs: list[dict[str, Any]], texts: list[str], visuals: Any) -> list[str]:
    model.task_dict = {"task": {"val": docs}}
    settings = {"max_new_tokens": 512, "until": ["ASSISTANT:"]}
    words = [(text, settings, visuals, number, "task", "val") for number, text in enumerate(texts)]
    metadata = {"task": "task", "doc_id": 0, "repeats": 1}
    return model.generate_until([Instance("generate_until", one, 0, metadata=metadata) for one in words])


def a_doc(expression: Any) -> dict[str, Any]:
    return {"image": picture(), "answer": expression, "description": expression, "question_id": "7", "id": "7"}


def test_comprehension_is_scored_in_fractions() -> None:
    doc = a_doc("the red cup") | {"bbox": [X / WIDE, Y / HIGH, (X + W) / WIDE, (Y + H) / HIGH]}
    text = comprehension.refcoco_bbox_rec_doc_to_text(doc)
    told = asked(a_model(), doc, text, comprehension.refcoco_bbox_rec_doc_to_visual)
    scores = comprehension.refcoco_bbox_rec_process_result(doc, [told])
    assert comprehension.refcoco_bbox_rec_iou([scores["refcoco_IoU"]]) == pytest.approx(1, abs=1e-4)


def test_location_is_scored_in_pixels() -> None:
    doc = a_doc(["the red cup"]) | {"bbox": [X, Y, W, H]}
    text = location.refcoco_grounding_doc_to_text(doc)
    told = asked(a_model(), doc, text, location.refcoco_grounding_doc_to_visual)
    scores = location.refcoco_grounding_process_result(doc, [told])["refcoco_grounding_IoU"]
    assert location.refcoco_grounding_iou([scores]) == pytest.approx(1, abs=1e-4)
    assert scores["pred"] == scores["pred_boxes"][0], "the reading as pixels, not the one as thousandths, is the better"


@pytest.mark.parametrize(("expression", "kind"), [("the red cup", "Spatial"), ("dog", "Rejection")])
def test_groundingme_is_scored_in_pixels_and_knows_no(expression: str, kind: str) -> None:
    doc = a_doc(expression) | {"bbox": list(CUP), "width": WIDE, "height": HIGH}
    doc |= {"subtask_l1": kind, "subtask_l2": "Counting"}
    told = asked(a_model(), doc, stated.groundingme_doc_to_text(doc), stated.groundingme_doc_to_visual)
    assert stated.groundingme_process_result(doc, [told])["groundingme_IoU"]["iou"] == pytest.approx(1)


def test_the_selector_chooses_and_what_cannot_be_read_is_no_box() -> None:
    doc = a_doc("the red cup")
    text, visuals = comprehension.refcoco_bbox_rec_doc_to_text(doc), comprehension.refcoco_bbox_rec_doc_to_visual
    assert asked(a_model(), doc, text, visuals) == "[0.100000, 0.100000, 0.300000, 0.400000]"
    mud = a_doc("mud")
    told = asked(a_model(), mud, comprehension.refcoco_bbox_rec_doc_to_text(mud), visuals)
    assert told == "Somewhere, I am sure."
    assert comprehension.parse_float_sequence_within(told) == [0, 0, 0, 0]


def test_answers_of_batches_come_back_in_order() -> None:
    docs = [a_doc(expression) for expression in ("mud", "the red cup", "dog")]
    texts = [comprehension.refcoco_bbox_rec_doc_to_text(doc) for doc in docs]
    told = asked_of_all(a_model(batch_size=2), docs, texts, comprehension.refcoco_bbox_rec_doc_to_visual)
    assert told == ["Somewhere, I am sure.", "[0.100000, 0.100000, 0.300000, 0.400000]", "There is none."]


def test_lmms_eval_knows_the_name_by_the_entry_point() -> None:
    told = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    [(name, value)] = told["project"]["entry-points"]["lmms_eval.models"].items()
    registry = ModelRegistryV2()
    registry.register_manifest(EntryPoint(name, value, "lmms_eval.models").load()())
    assert registry.get_model_class("glintbox") is GlintboxModel


@pytest.mark.slow
def test_the_model_in_the_box_is_built_from_words_and_scored() -> None:
    made = GlintboxModel.create_from_arg_string("n=2,temperature=0.5,selector=consensus", {"batch_size": 1})
    assert made.options == {"n": 2, "temperature": 0.5, "selector": "consensus"}
    scene = draw_scene(scene_seed("validation", 15))
    [box] = scene.boxes("owl")
    doc = {"image": scene.image, "answer": "owl", "question_id": "15", "bbox": [box.x1, box.y1, box.width, box.height]}
    told = asked(made, doc, location.refcoco_grounding_doc_to_text(doc), location.refcoco_grounding_doc_to_visual)
    scores = location.refcoco_grounding_process_result(doc, [told])["refcoco_grounding_ACC@0.5"]
    assert location.refcoco_grounding_acc05([scores]) == 1


def test_what_is_no_single_picture_or_other_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = a_doc("the red cup")
    text = comprehension.refcoco_bbox_rec_doc_to_text(doc)
    for visuals, told in (([picture()] * 2, "PngImageFile, PngImageFile"), (["clip.mp4"], "str"), ([], "nothing")):
        with pytest.raises(BadInput, match=f"expected one picture, got {told}; glintbox takes no videos"):
            asked(a_model(), doc, text, lambda _, visuals=visuals: visuals)
    with pytest.raises(BadInput, match="expected a prompt that asks for the box of an expression"):
        asked(a_model(), doc, "What is this?", comprehension.refcoco_bbox_rec_doc_to_visual)
    with pytest.raises(BadInput, match="expected a task that generates text, got likelihoods"):
        a_model().loglikelihood([])
    with pytest.raises(BadInput, match="expected a task that is asked in one round, got several"):
        a_model().generate_until_multi_round([])
    with pytest.raises(BadInput, match=r"expected one process and a number for --batch_size, got 1 and 'auto'; --off"):
        a_model(batch_size="auto")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="expected one process and a number for --batch_size, got 2 and 1"):
        a_model()
