"""One entry per model family: the units it writes boxes in, its image tokens as named grids, what its inputs must hold.

Every function here takes the inputs of one picture as the processor made them (`ids` among them as "input_ids"), the
picture's size, the processor and the model's configuration; it reads settings from these and assumes none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract, UnknownName
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.processors import Canvas, cropped_region, tiled_canvas, unpadded_canvas

Inputs = Mapping[str, Tensor]


class Family(NamedTuple):
    """How one model family writes boxes and sees pictures.

    frame, views: see `glintbox.geometry`. units: what `frame` says, in words. needs: inputs without which the model
    runs on, wrongly or not at all. checkpoints: hub names to try. view_names: the names that `views` always gives,
    "default" first. prompt: name of its default prompt. coordinate_token: whether the first token of a coordinate says
    something of its value ("0.12" starts with "0").
    """

    frame: Callable[[Inputs, Size, Any, Any], CoordFrame]
    views: Callable[[Inputs, Size, Any, Any], dict[str, View]]
    units: str
    needs: tuple[str, ...]
    checkpoints: tuple[str, ...]
    view_names: tuple[str, ...] = ("default",)
    prompt: str = "paper"
    coordinate_token: Literal["first_digit", "first_significant_digit"] = "first_digit"


def per_mille(inputs: Inputs, image: Size, processor: Any, config: Any) -> CoordFrame:
    """The model writes 0..1000 over the whole picture, whatever its size."""
    return CoordFrame(Size(1000, 1000), Box.whole(image))


def resized_pixels(inputs: Inputs, image: Size, processor: Any, config: Any) -> CoordFrame:
    """The model writes pixels of the picture as it was resized for it, not of the original."""
    _, rows, cols = inputs["image_grid_thw"][0].tolist()
    patch = config.vision_config.patch_size
    return CoordFrame(Size(cols * patch, rows * patch), Box.whole(image))


def unit_square(inputs: Inputs, image: Size, processor: Any, config: Any) -> CoordFrame:
    """The model writes 0..1 over the whole picture."""
    return CoordFrame(Size(1, 1), Box.whole(image))


def unit_square_of_seen(inputs: Inputs, image: Size, processor: Any, config: Any) -> CoordFrame:
    """The model writes 0..1 over what the processor shows it: a centre crop, or the picture padded to a square."""
    return CoordFrame(Size(1, 1), cropped_region(processor.image_processor, image))


def image_columns(inputs: Inputs, config: Any) -> Int[Tensor, " token"]:
    """Prompt positions that hold image tokens, in order (separators that use the image token's id among them)."""
    return (inputs["input_ids"][0] == config.image_token_id).nonzero()[:, 0]


def patch_grid(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """One view, any grid: merged patches in row-major order over the whole picture."""
    _, rows, cols = inputs["image_grid_thw"][0].tolist()
    merge = config.vision_config.spatial_merge_size
    grid = TokenGrid(rows // merge, cols // merge, Box.whole(image))
    return {"default": View(image_columns(inputs, config), grid)}


def thumbnail_and_tiles(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """The whole picture small (last; the only tile where there is one), and its tiles stitched."""
    columns, side = image_columns(inputs, config), math.isqrt(processor.image_seq_length)
    tiles = inputs["pixel_values"].shape[0]
    whole = Box.whole(image)
    thumbnail = View(columns[-side * side :], TokenGrid(side, side, whole))
    if tiles == 1:
        return {"default": thumbnail, "tiles": thumbnail}
    rows, cols = tiled_canvas(processor.image_processor, image)
    if rows * cols != tiles - 1:
        raise BadContract(f"expected {rows} x {cols} tiles and a thumbnail for {image}, got {tiles} pictures")
    stitched = columns[: -side * side].view(rows, cols, side, side).transpose(1, 2).reshape(-1)
    return {"default": thumbnail, "tiles": View(stitched, TokenGrid(rows * side, cols * side, whole))}


def square_grid(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """One square grid over what the processor shows of the picture."""
    pixels = Size(*reversed(inputs["pixel_values"].shape[-2:]))
    region = cropped_region(processor.image_processor, image)
    return {"default": View(image_columns(inputs, config), _tower_grid(pixels, region, config))}


def base_and_unpadded(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """The whole picture squeezed to a square, and the large one cut free of its padding, a newline token per row."""
    pixels = Size(*reversed(inputs["pixel_values"].shape[-2:]))
    columns, base = image_columns(inputs, config), _tower_grid(pixels, Box.whole(image), config)
    canvas = unpadded_canvas(processor.image_processor, image, tile=pixels, cells=base.rows)
    rows, cols = _shrunk(canvas, base, getattr(config, "vision_aspect_ratio", None))
    lines = columns[base.cells :]
    if lines.numel() != rows * (cols + 1):
        raise BadContract(
            f"expected {rows} rows of {cols} image tokens and a newline for {image}, got {lines.numel()} tokens"
        )
    large = View(lines.view(rows, cols + 1)[:, :-1].reshape(-1), TokenGrid(rows, cols, canvas.region))
    return {"default": View(columns[: base.cells], base), "tiles": large}


def _tower_grid(pixels: Size, region: Box, config: Any) -> TokenGrid:
    """Patches of a tower over a picture of `pixels`; what no whole patch covers, at the right and below, is unseen."""
    patch = config.vision_config.patch_size
    rows, cols = pixels.height // patch, pixels.width // patch
    right = region.x1 + region.width * cols * patch / pixels.width
    below = region.y1 + region.height * rows * patch / pixels.height
    return TokenGrid(rows, cols, Box(region.x1, region.y1, right, below))


def _shrunk(canvas: Canvas, base: TokenGrid, limit: str | None) -> tuple[int, int]:
    """Rows and columns after the model has scaled down a grid far above its limit ("anyres_max_9": nine base grids)."""
    if limit is None:
        return canvas.rows, canvas.cols
    ratio = math.sqrt(canvas.rows * canvas.cols / (int(limit.removeprefix("anyres_max_")) * base.cells))
    if ratio <= 1.1:
        return canvas.rows, canvas.cols
    return int(canvas.rows // ratio), int(canvas.cols // ratio)


QWEN_NEEDS = ("pixel_values", "image_grid_thw", "mm_token_type_ids")
BOTH = ("default", "tiles")
LLAVA: Literal["first_significant_digit"] = "first_significant_digit"

FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family(
        per_mille, patch_grid, "0 to 1000", QWEN_NEEDS, ("Qwen/Qwen2-VL-7B-Instruct", "Qwen/Qwen2-VL-2B-Instruct")
    ),
    "qwen2_5_vl": Family(
        resized_pixels,
        patch_grid,
        "pixels of the resized picture",
        QWEN_NEEDS,
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"),
    ),
    "qwen3_vl": Family(
        per_mille, patch_grid, "0 to 1000", QWEN_NEEDS, ("Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3-VL-4B-Instruct")
    ),
    "internvl": Family(
        per_mille,
        thumbnail_and_tiles,
        "0 to 1000",
        ("pixel_values",),
        ("OpenGVLab/InternVL3_5-8B-HF", "OpenGVLab/InternVL3-8B-hf"),
        BOTH,
    ),
    "llava": Family(
        unit_square_of_seen,
        square_grid,
        "0 to 1 of what is shown",
        ("pixel_values",),
        ("llava-hf/llava-1.5-7b-hf",),
        prompt="llava",
        coordinate_token=LLAVA,
    ),
    "llava_next": Family(
        unit_square,
        base_and_unpadded,
        "0 to 1",
        ("pixel_values", "image_sizes"),
        ("llava-hf/llava-v1.6-mistral-7b-hf",),
        BOTH,
        prompt="llava",
        coordinate_token=LLAVA,
    ),
    "llava_onevision": Family(
        unit_square,
        base_and_unpadded,
        "0 to 1",
        ("pixel_values", "image_sizes", "batch_num_images"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf",),
        BOTH,
        prompt="llava",
        coordinate_token=LLAVA,
    ),
}
"""By `config.model_type`; how to add one stands in docs/models.md."""


def family_of(model_type: str) -> Family:
    """The family of a `config.model_type`.

    Raises:
        UnknownName: no such family; the message lists those that there are.
    """
    if model_type not in FAMILIES:
        raise UnknownName("model type", model_type, FAMILIES)
    return FAMILIES[model_type]


def checked_views(family: Family, inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """The views of one picture, each with one token per cell and every token an image token.

    Raises:
        BadContract: an input is missing, or a grid does not fit the tokens.
    """
    missing = [name for name in family.needs if name not in inputs]
    if missing:
        raise BadContract(f"expected {', '.join(family.needs)} from the processor, got no {', '.join(missing)}")
    views = family.views(inputs, image, processor, config)
    for name, (columns, grid) in views.items():
        if columns.numel() != grid.cells or torch.unique(columns).numel() != grid.cells:
            raise BadContract(
                f"expected {grid.rows} x {grid.cols} = {grid.cells} image tokens in view {name!r} of a picture of "
                f"{image.width} x {image.height}, got {columns.numel()}"
            )
    return views
