"""SAM, SAM 2 and SAM 3's tracker: boxes and masks land where they should, also in wide and tall pictures."""

from __future__ import annotations

import copy
import functools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm.sam import LOGIT, SAMS, Sam, load_sam, sam_masks
from glintbox.masks import area, decode, encode, mask_iou, tight_box
from glintbox.records import Rle
from tests.lvlm.tiny import picture

WIDE, TALL = Size(300, 130), Size(90, 240)
SIDES = {"sam": 128, "sam2": 128, "sam3_tracker": 112}
KINDS = tuple(SIDES)
LOW = 32  # px, side of what these tiny models draw


def tiny_config(kind: str) -> Any:
    side, patch = SIDES[kind], SIDES[kind] // 8
    common: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    levels = {"fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}
    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [side, side],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 2, 2],
        "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [3],
    }
    plain = common | {"image_size": side, "patch_size": patch, "window_size": 4, "global_attn_indexes": [1]}
    vision: dict[str, dict[str, Any]] = {
        "sam": plain | {"output_channels": 32, "num_pos_feats": 16, "mlp_dim": 64},
        "sam2": levels | {"backbone_config": hiera, "backbone_channel_list": [64, 32, 16, 8]},
        "sam3_tracker": levels | {"backbone_config": plain | {"model_type": "sam3_vit_model", "intermediate_size": 64}},
    }
    prompts = {"hidden_size": 32, "image_size": side, "patch_size": patch, "mask_input_channels": 8}
    return transformers.AutoConfig.for_model(
        kind,
        vision_config=vision[kind],
        prompt_encoder_config=prompts | ({"image_embedding_size": 8} if kind == "sam" else {}),
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2, "mlp_dim": 32, "iou_head_hidden_dim": 32},
    )


def settings(kind: str) -> dict[str, Any]:
    """What preprocessor_config.json of such a checkpoint says; the rest is left to the class."""
    side = SIDES[kind]
    if kind == "sam":
        return {"size": {"longest_edge": side}, "pad_size": {"height": side, "width": side}}
    return {"size": {"height": side, "width": side}}


@functools.cache
def tiny_sam(kind: str) -> Sam:
    """A random model of the real class whose masks depend on picture and prompt."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForMaskGeneration.from_config(tiny_config(kind))
        for weight in model.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=1.4 * weight[0].numel() ** -0.5)
    return Sam(model.eval().requires_grad_(False), SAMS[kind](settings(kind)), kind)


def drawing(sam: Sam, told: list[dict[str, Tensor]]) -> Sam:
    """The same model with a decoder that draws its prompt: the box, or the mask itself."""
    side = sam.model.prompt_encoder.input_image_size

    def draw(image_embeddings: Any, multimask_output: bool, **prompt: Tensor) -> SimpleNamespace:
        told.append(prompt)
        logits = torch.full((LOW, LOW), -1.0)
        if "input_boxes" in prompt:
            x1, y1, x2, y2 = (round(float(value) * LOW / side) for value in prompt["input_boxes"][0, 0])
            logits[y1:y2, x1:x2] = 1.0
        else:
            logits = prompt["input_masks"][0, 0]
        return SimpleNamespace(pred_masks=logits[None, None, None])

    class Drawing(SimpleNamespace):
        __call__ = staticmethod(draw)

    model = sam.model
    kept = {"device": model.device, "dtype": model.dtype, "prompt_encoder": model.prompt_encoder}
    return sam._replace(model=Drawing(get_image_embeddings=lambda pixels: pixels, **kept))


@pytest.mark.parametrize(
    ("kind", "image", "lands"),
    [
        ("sam", Size(640, 400), (20, 10, 60, 50)),  # long side 640 -> 128: a fifth
        ("sam", Size(400, 640), (20, 10, 60, 50)),
        ("sam2", Size(640, 400), (20, 16, 60, 80)),  # 128 / 640 and 128 / 400
        ("sam2", Size(400, 640), (32, 10, 96, 50)),
        ("sam3_tracker", Size(560, 448), (20, 12.5, 60, 62.5)),  # 112 / 560 and 112 / 448
    ],
)
def test_a_box_prompt_lands_where_the_picture_shows_it(kind: str, image: Size, lands: tuple[float, ...]) -> None:
    told: list[dict[str, Tensor]] = []
    sam_masks(picture(*image), [Box(100, 50, 300, 250)], model=drawing(tiny_sam(kind), told))
    assert told[0]["input_boxes"].flatten().tolist() == pytest.approx(lands)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_in_bfloat16_is_told_its_boxes_unrounded(kind: str) -> None:
    sam, told = tiny_sam(kind), list[dict[str, Tensor]]()
    half = sam._replace(model=copy.deepcopy(sam.model).to(torch.bfloat16))
    for model in (drawing(sam, told), drawing(half, told)):
        sam_masks(picture(*WIDE), BOXES[:1], model=model)
    assert torch.equal(told[0]["input_boxes"], told[1]["input_boxes"])
    by_box, by_both = (
        sam_masks(picture(*WIDE), BOXES[:1], model=half, prompt=p, masks=rough(WIDE)[:1]) for p in ("box", "both")
    )
    assert by_box != by_both and by_box[0].size == WIDE


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_on_the_canvas_comes_back_on_the_picture(kind: str, image: Size) -> None:
    cell_x, cell_y = image.width / LOW, image.height / LOW
    slack = 1.5 * max(image) / LOW
    for box in (Box(0, 0, 10 * cell_x, 12 * cell_y), Box(20 * cell_x, 16 * cell_y, image.width, image.height)):
        (mask,) = sam_masks(picture(*image), [box], model=drawing(tiny_sam(kind), []))
        assert mask.size == image
        found = tight_box(mask)
        assert found is not None
        assert tuple(found) == pytest.approx(tuple(box), abs=slack)


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_prompt_covers_the_same_pixels(kind: str, image: Size) -> None:
    told: list[dict[str, Tensor]] = []
    pixels = np.zeros((image.height, image.width), dtype=bool)
    pixels[image.height // 4 : image.height // 2, image.width // 3 :] = True
    rough = encode(pixels)
    (mask,) = sam_masks(
        picture(*image), [Box(0, 0, 9, 9)], model=drawing(tiny_sam(kind), told), prompt="mask", masks=[rough]
    )
    assert mask_iou(mask, rough) > 0.85
    assert set(told[0]) == {"input_masks"}
    assert told[0]["input_masks"].shape == (1, 1, LOW, LOW)
    assert float(told[0]["input_masks"].max()) == pytest.approx(LOGIT)
    assert float(told[0]["input_masks"].min()) == -LOGIT


BOXES = [Box(20, 30, 80, 90), Box(5, 60, 70, 120)]


def rough(size: Size) -> list[Rle]:
    masks = np.zeros((2, size.height, size.width), dtype=bool)
    masks[0, 30:90, 20:80] = masks[1, 60:120, 5:70] = True
    return [encode(mask) for mask in masks]


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_the_real_classes_have_the_pictures_size_and_depend_on_every_prompt(kind: str, image: Size) -> None:
    sam, shown = tiny_sam(kind), picture(*image)
    by_box = sam_masks(shown, BOXES, model=sam)
    by_mask = sam_masks(shown, BOXES, model=sam, prompt="mask", masks=rough(image))
    by_both = sam_masks(shown, BOXES, model=sam, prompt="both", masks=rough(image))
    every = [*by_box, *by_mask, *by_both]
    assert {mask.size for mask in every} == {image}
    assert all(0 < area(mask) < image.width * image.height for mask in every)
    assert len(set(every)) == 6
    assert sam_masks(picture(*image, seed=1), BOXES, model=sam) != by_box


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
def test_masks_of_sam_are_those_of_its_own_processor(image: Size) -> None:
    sam, shown = tiny_sam("sam"), picture(*image)
    processor = transformers.SamProcessor(sam.image_processor)
    inputs = processor(shown, input_boxes=[[list(box) for box in BOXES]], return_tensors="pt")
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    output = sam.model(**inputs, multimask_output=False)
    theirs = sam.image_processor.post_process_masks(output.pred_masks, *sizes)[0][:, 0]
    ours = sam_masks(shown, BOXES, model=sam)
    assert all(np.array_equal(decode(a), b.numpy()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", ["sam2", "sam3_tracker"])
def test_masks_of_the_others_are_what_the_model_draws_enlarged_to_the_picture(kind: str) -> None:
    sam, shown, side = tiny_sam(kind), picture(*WIDE), SIDES[kind]
    pixels = sam.image_processor(shown, return_tensors="pt")["pixel_values"]
    scale = torch.tensor([side / WIDE.width, side / WIDE.height] * 2)
    boxes = torch.tensor([[list(box) for box in BOXES]]) * scale
    drawn = sam.model(pixel_values=pixels, input_boxes=boxes, multimask_output=False).pred_masks[0]
    theirs = interpolate(drawn, (WIDE.height, WIDE.width), mode="bilinear", align_corners=False)[:, 0] > 0
    ours = sam_masks(shown, BOXES, model=sam)
    assert all(np.array_equal(decode(a), b.numpy()) for a, b in zip(ours, theirs, strict=True))


def test_what_a_checkpoint_leaves_open_is_what_its_class_says() -> None:
    for kind, side, mean in (("sam2", 1024, 0.485), ("sam3_tracker", 1008, 0.5)):
        made = SAMS[kind]({})
        assert (made.size["height"], made.size["width"], made.image_mean[0]) == (side, side, mean)
    white = picture(30, 20).point(lambda _: 255)
    pixels = SAMS["sam2"](settings("sam2"))(white, return_tensors="pt")["pixel_values"]
    assert float(pixels[0, 0].mean()) == pytest.approx((1 - 0.485) / 0.229, abs=1e-3)


def saved(folder: Path, kind: str) -> Path:
    tiny_sam(kind).model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings(kind)))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_folder_is_loaded_as_it_was(kind: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / kind, kind)
    again = sam_masks(picture(*WIDE), BOXES, model=folder, device="cpu")
    assert again == sam_masks(picture(*WIDE), BOXES, model=tiny_sam(kind))


def test_another_id_tells_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "model", "sam")
    first = load_sam(folder, device="cpu").id
    assert first.startswith("model@") and first == load_sam(folder, device="cpu").id
    weights = folder / transformers.utils.SAFE_WEIGHTS_NAME
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    assert load_sam(folder, device="cpu").id != first
    commits = ["0123456789abcdef0123456789abcdef01234567", "f" * 40]
    for commit in commits:
        shutil.copytree(folder, tmp_path / "hub" / "models--owner--sam" / "snapshots" / commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    ids = [load_sam("owner/sam", device="cpu", revision=commit).id for commit in commits]
    assert ids == [f"owner/sam@{commit}" for commit in commits]


def test_other_models_and_incomplete_weights_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", "sam2")
    weights = transformers.utils.SAFE_WEIGHTS_NAME
    kept = {name: value for name, value in load_file(folder / weights).items() if "iou_token" not in name}
    save_file(kept, folder / weights, {"format": "pt"})
    with pytest.raises(BadContract, match="expected weights for all of Sam2Model, got none that fit for 1 of them"):
        load_sam(folder, device="cpu")
    (folder / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(UnknownName, match=r"unknown model type of a mask model 'llava'. Known: sam, sam2"):
        load_sam(folder, device="cpu")


def test_prompts_that_do_not_fit_are_refused() -> None:
    sam, shown = tiny_sam("sam"), picture(*WIDE)
    assert sam_masks(shown, [], model=sam) == []
    with pytest.raises(BadInput, match="expected a prompt by box, mask or both, got 'point'"):
        sam_masks(shown, BOXES, model=sam, prompt="point")
    with pytest.raises(BadInput, match="expected one mask for each of 2 boxes, got 0; or prompt by box"):
        sam_masks(shown, BOXES, model=sam, prompt="mask")
    with pytest.raises(BadInput, match=r"expected masks of a picture of \(300, 130\) px, got one of \(90, 240\)"):
        sam_masks(shown, BOXES, model=sam, prompt="mask", masks=rough(TALL))


def test_a_canvas_of_another_size_than_the_models_is_refused() -> None:
    other = tiny_sam("sam2")._replace(image_processor=SAMS["sam2"]({"size": {"height": 64, "width": 64}}))
    with pytest.raises(BadContract, match="expected a canvas of 128 x 128 px for sam2, got 64 x 64"):
        sam_masks(picture(*WIDE), BOXES, model=other)


def test_logits_that_are_not_finite_are_refused() -> None:
    broken = drawing(tiny_sam("sam"), [])
    nan = SimpleNamespace(pred_masks=torch.full((1, 1, 1, LOW, LOW), torch.nan))
    kept = {name: getattr(broken.model, name) for name in ("device", "dtype", "prompt_encoder", "get_image_embeddings")}

    class Broken(SimpleNamespace):
        __call__ = staticmethod(lambda **_: nan)

    with pytest.raises(BadContract, match="expected finite mask logits, got NaN"):
        sam_masks(picture(*WIDE), BOXES, model=broken._replace(model=Broken(**kept)))
