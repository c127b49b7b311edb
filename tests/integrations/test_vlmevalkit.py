"""VLMEvalKit's own datasets ask and score: what comes back is the selected box in the frame of each."""

import base64
import csv
from pathlib import Path
from typing import Any

import pytest

from glintbox.errors import BadInput
from tests.integrations.seen import CUP, a_grounder
from tests.web.scripted_page import HIGH, WIDE, a_picture

pytest.importorskip("vlmeval", reason="VLMEvalKit, or what it imports, is not installed", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore")  # of its imports

import torch  # noqa: E402  # after the skip
from vlmeval.config import supported_VLM  # noqa: E402
from vlmeval.dataset.groundingme import PROMPT_TEMPLATE, normalize_bbox, parse_bbox  # noqa: E402
from vlmeval.dataset.refcoco import RefCOCODataset  # noqa: E402
from vlmeval.inference import infer_data_job  # noqa: E402

from glintbox.integrations.vlmevalkit import GlintboxVLM, register  # noqa: E402

torch.set_grad_enabled(True)  # which importing vlmeval turns off for all that runs in this process

ASKS = "Please provide the bounding box coordinate of the region this sentence describes: <ref>{}</ref>"


@pytest.fixture
def picture(tmp_path: Path) -> str:
    (tmp_path / "7.png").write_bytes(a_picture())
    return str(tmp_path / "7.png")


def a_model() -> Any:
    return GlintboxVLM(grounder=a_grounder(), n=2, selector="consensus")


def message(picture: str, text: str) -> list[dict[str, str]]:
    return [{"type": "image", "value": picture}, {"type": "text", "value": text}]


def test_refcoco_is_asked_inferred_and_scored_by_vlmevalkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMUData", str(tmp_path))
    monkeypatch.setattr(RefCOCODataset, "DATASET_MD5", {})
    truth = [CUP.x1 / WIDE, CUP.y1 / HIGH, CUP.x2 / WIDE, CUP.y2 / HIGH]
    image = base64.b64encode(a_picture("JPEG")).decode()
    rows = [
        {"index": k, "image": image, "question": ASKS.format(words), "answer": str(truth), "category": "RefCOCO val"}
        for k, words in enumerate(("the red cup", "mud"))
    ]
    with (tmp_path / "RefCOCO.tsv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        table.writeheader()
        table.writerows(rows)
    dataset = RefCOCODataset("RefCOCO")
    out = tmp_path / "out"
    out.mkdir()
    infer_data_job(a_model(), str(out), "glintbox", dataset)
    [kept] = out.glob("glintbox_RefCOCO.*")
    summary = dataset.evaluate(str(kept)).set_index("Split")
    assert summary.loc["RefCOCO_val", "Precision@1"] == 50, "the cup is found, mud is no box"
    assert summary.loc["RefCOCO_val", "Average IoU"] == pytest.approx(0.5, abs=0.001)


def test_groundingme_reads_pixels_and_a_plain_no(picture: str) -> None:
    told = a_model().generate(
        message(picture, PROMPT_TEMPLATE.format(description="the red cup")), dataset="GroundingME"
    )
    assert parse_bbox(told) == list(CUP) != normalize_bbox(parse_bbox(told), WIDE, HIGH)
    no = a_model().generate(message(picture, PROMPT_TEMPLATE.format(description="dog")), dataset="GroundingME")
    assert no == '{"bbox_2d": null}' and parse_bbox(no) == [0, 0, 0, 0]


def test_a_registered_name_builds_the_model() -> None:
    register("glintbox-of-a-test", n=3, selector="smallest", grounder=a_grounder())
    made = supported_VLM.pop("glintbox-of-a-test")()
    assert isinstance(made, GlintboxVLM) and made.options == {"n": 3, "selector": "smallest"}


def test_what_is_no_single_picture_or_other_work_is_refused(picture: str) -> None:
    model, text = a_model(), ASKS.format("the red cup")
    with pytest.raises(BadInput, match="expected one picture and a text, got image, image, text; glintbox takes no"):
        model.generate_inner([{"type": "image", "value": picture}, *message(picture, text)])
    with pytest.raises(BadInput, match="expected one picture and a text, got video, text"):
        model.generate_inner([{"type": "video", "value": "clip.mp4"}, {"type": "text", "value": text}])
    with pytest.raises(BadInput, match="expected a prompt that asks for the box of an expression"):
        model.generate_inner(message(picture, "What is this?"))
