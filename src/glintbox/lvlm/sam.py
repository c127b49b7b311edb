"""Masks of a picture from boxes or rough masks, by SAM, SAM 2 or the tracker of SAM 3, all without torchvision.

SAM scales the long side to its square and pads at the right and below; the others stretch the picture onto theirs. All
that is known here of a picture is how large it is shown and on how large a canvas, read from what was made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad
from transformers import AutoConfig, AutoModelForMaskGeneration, SamImageProcessorPil, ViTImageProcessorPil
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm import loading, placing
from glintbox.lvlm.source import model_type_of, opening, source_of
from glintbox.masks import decode, encode
from glintbox.records import Rle

LOGIT = 10.0
"""What a mask prompt says of a pixel that is in it (else minus this): SAM 2's own scale for masks without logits."""


class Sam(NamedTuple):
    """A mask model ready to be prompted, in evaluation mode, without gradients.

    id: a hub name with its commit, or a folder's name with a hash of what is in it: other weights, another id.
    """

    model: Any
    image_processor: Any
    id: str


class Shown(NamedTuple):
    """A picture as the model gets it: how large it is (px), in the left upper corner of how large a canvas (px)."""

    pixels: Float[Tensor, "1 rgb=3 y x"]
    size: Size
    canvas: Size


def _stretching(side: int, mean: Sequence[float], std: Sequence[float]) -> Callable[[Mapping[str, Any]], Any]:
    """What SAM 2's and SAM 3's own image processors do, which cannot be imported without torchvision."""
    own: dict[str, Any] = {"size": {"height": side, "width": side}, "image_mean": list(mean), "image_std": list(std)}
    return lambda settings: ViTImageProcessorPil(**{**own, **settings})


_SAM_2 = _stretching(1024, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
_SAM_3 = _stretching(1008, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SAMS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "sam": lambda settings: SamImageProcessorPil(**settings),
    "sam2": _SAM_2,
    "sam2_video": _SAM_2,
    "sam3_tracker": _SAM_3,
    "sam3_video": _SAM_3,
}
"""By `config.model_type`: the image processor of a checkpoint's settings. Video models are used on one picture."""


def load_sam(
    name_or_folder: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
) -> Sam:
    """Load a mask model: a hub name ("facebook/sam2.1-hiera-large") or a checkpoint folder; options as `loading.load`.

    Raises:
        BadInput, OutOfMemory: as `loading.load`.
        UnknownName: no mask model that takes boxes; the message lists the model types that do.
        BadContract: weights that do not fill the model.
    """
    place, kind = placing.device_of(device), loading.dtype_of(dtype)
    source = source_of(name_or_folder, revision)
    model_type = model_type_of(source)
    if model_type not in SAMS:
        raise UnknownName("model type of a mask model", model_type, SAMS)
    with opening("a configuration and image processor settings", source):
        config = AutoConfig.from_pretrained(source.place, revision=source.commit)
        settings, _ = ViTImageProcessorPil.get_image_processor_dict(source.place, revision=source.commit)
    with opening("weights", source):
        model = loading.weights_of(source, config, AutoModelForMaskGeneration, dtype=loading.own_dtype(config, kind))
    ready = placing.moved(model, place, source.id).eval().requires_grad_(False)
    id = source.id if source.commit is None else f"{source.id}@{source.commit}"
    return Sam(ready, SAMS[model_type](settings), id)


@torch.no_grad()
def sam_masks(
    image: Image,
    boxes: Sequence[Box],
    *,
    model: Sam | str | Path,
    device: str | torch.device = "auto",
    prompt: str = "box",
    masks: Sequence[Rle] = (),
) -> list[Rle]:
    """One mask per box, in pixels of the picture (upright, RGB), in the boxes' order.

    model: what `load_sam` gives, or a name or folder, which is then loaded on `device` for this call. prompt: "box"
    (localization heads, section 3.3) or "mask", which takes `masks`, one per box, instead; "both" gives both. A mask
    prompt says in or out with `LOGIT` at the model's low resolution.

    Raises:
        BadInput: an unknown prompt, or masks that are missing or of another picture; and as `load_sam`.
        BadContract: a canvas of another size than the model's, or logits that are not finite.
    """
    size = Size(*image.size)
    _check(size, boxes, prompt, masks)
    if not boxes:
        return []
    sam = model if isinstance(model, Sam) else load_sam(model, device=device)
    shown = _shown(sam, image)
    weights = sam.model
    embedded = weights.get_image_embeddings(shown.pixels.to(weights.device, weights.dtype))
    found = []
    for number, box in enumerate(boxes):
        told: dict[str, Tensor] = {}
        if prompt != "mask":
            told["input_boxes"] = _box_prompt(box, size, shown).to(weights.device)
        if prompt != "box":
            low = Size(*(4 * side for side in reversed(weights.prompt_encoder.image_embedding_size)))
            told["input_masks"] = _mask_prompt(masks[number], shown, low).to(weights.device, weights.dtype)
        output = weights(image_embeddings=embedded, multimask_output=False, **told)
        found.append(_in_picture(output.pred_masks[0, 0, :1].float(), size, shown))
    return found


def _check(size: Size, boxes: Sequence[Box], prompt: str, masks: Sequence[Rle]) -> None:
    if prompt not in ("box", "mask", "both"):
        raise BadInput(f"expected a prompt by box, mask or both, got {prompt!r}")
    if prompt != "box" and len(masks) != len(boxes):
        raise BadInput(f"expected one mask for each of {len(boxes)} boxes, got {len(masks)}; or prompt by box")
    for mask in masks:
        if mask.size != size:
            raise BadInput(f"expected masks of a picture of {tuple(size)} px, got one of {tuple(mask.size)}")


def _shown(sam: Sam, image: Image) -> Shown:
    made = sam.image_processor(image, return_tensors="pt")
    pixels: Tensor = made["pixel_values"]
    canvas = Size(*reversed(pixels.shape[-2:]))
    side = sam.model.prompt_encoder.input_image_size
    if tuple(canvas) != (side, side):
        raise BadContract(f"expected a canvas of {side} x {side} px for {sam.id}, got {canvas.width} x {canvas.height}")
    sizes = made.get("reshaped_input_sizes")  # of SAM alone, whose canvas is padded
    size = canvas if sizes is None else Size(*reversed([int(length) for length in sizes[0]]))
    return Shown(pixels, size, canvas)


def _box_prompt(box: Box, image: Size, shown: Shown) -> Float[Tensor, "1 1 xyxy=4"]:
    """A box in pixels of the canvas, float32 whatever the model's dtype: bfloat16 rounds 1000 px to four of them."""
    step_x, step_y = shown.size.width / image.width, shown.size.height / image.height
    x1, y1, x2, y2 = box
    return torch.tensor([[[x1 * step_x, y1 * step_y, x2 * step_x, y2 * step_y]]])


def _mask_prompt(mask: Rle, shown: Shown, low: Size) -> Float[Tensor, "1 1 y x"]:
    """A mask of the picture as logits over the canvas, `low` px large."""
    picture = torch.from_numpy(decode(mask).copy()).float()[None, None]
    small = _resized(picture, shown.size)
    padded = pad(small, (0, shown.canvas.width - shown.size.width, 0, shown.canvas.height - shown.size.height))
    return LOGIT * (2 * _resized(padded, low) - 1)


def _resized(picture: Float[Tensor, "1 1 old_y old_x"], to: Size) -> Float[Tensor, "1 1 y x"]:
    return interpolate(picture, (to.height, to.width), mode="bilinear", align_corners=False, antialias=True)


def _in_picture(logits: Float[Tensor, "1 y x"], image: Size, shown: Shown) -> Rle:
    """Where the logits are above 0, enlarged to the picture; padding is cut off first."""
    if not bool(logits.isfinite().all()):
        raise BadContract("expected finite mask logits, got NaN or infinity; load the mask model in float32")
    drawn = logits[None]
    if shown.size != shown.canvas:
        drawn = interpolate(drawn, (shown.canvas.height, shown.canvas.width), mode="bilinear", align_corners=False)
        drawn = drawn[..., : shown.size.height, : shown.size.width]
    drawn = interpolate(drawn, (image.height, image.width), mode="bilinear", align_corners=False)
    return encode((drawn[0, 0] > 0).cpu().numpy())
