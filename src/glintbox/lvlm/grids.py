"""How one picture becomes image tokens and written units: one function per way to see it.

Every function here takes the inputs of one picture as the processor made them (`ids` among them as "input_ids"), the
picture's size, the processor and the model's configuration; it reads settings from these and assumes none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jaxtyping import Int
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.processors import Canvas, Tiling, cropped_region, fitted_region, tiled_canvas, unpadded_canvas

Inputs = Mapping[str, Tensor]


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
    """The whole picture small (last; the only tile where there is one), and its tiles stitched: InternVL."""
    columns, side = image_columns(inputs, config), math.isqrt(processor.image_seq_length)
    tiles = inputs["pixel_values"].shape[0]
    tiling = Tiling(0, 0) if tiles == 1 else tiled_canvas(processor.image_processor, image)
    return _stitched(columns, side, tiling, tiles, image)


def tiles_and_whole(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """The same with words between the tiles, whose number the image processor itself tells: Idefics3, SmolVLM."""
    columns, side = image_columns(inputs, config), math.isqrt(processor.image_seq_len)
    tiles = inputs["pixel_values"].shape[1]
    _, rows, cols = processor.image_processor.get_number_of_image_patches(image.height, image.width)
    return _stitched(columns, side, Tiling(rows, cols), tiles, image)


def _stitched(columns: Int[Tensor, " token"], side: int, tiling: Tiling, tiles: int, image: Size) -> dict[str, View]:
    """The last tile, which shows the whole picture, and those before it as one grid; without them, the last twice."""
    whole, (rows, cols) = Box.whole(image), tiling
    if rows * cols + 1 != tiles:
        raise BadContract(f"expected {rows} x {cols} tiles and a thumbnail for {image}, got {tiles} pictures")
    thumbnail = View(columns[-side * side :], TokenGrid(side, side, whole))
    if tiles == 1:
        return {"default": thumbnail, "tiles": thumbnail}
    stitched = columns[: -side * side].view(rows, cols, side, side).transpose(1, 2).reshape(-1)
    return {"default": thumbnail, "tiles": View(stitched, TokenGrid(rows * side, cols * side, whole))}


def squeezed_square(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """One square grid over the whole picture, squeezed; crops that may follow it are not read: Gemma 3, PaliGemma."""
    side = math.isqrt(processor.image_seq_length)
    columns = image_columns(inputs, config)[: side * side]
    return {"default": View(columns, TokenGrid(side, side, Box.whole(image)))}


def square_grid(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """One square grid over what the processor shows of the picture."""
    pixels = Size(*reversed(inputs["pixel_values"].shape[-2:]))
    region = cropped_region(processor.image_processor, image)
    return {"default": View(image_columns(inputs, config), _tower_grid(pixels, region, config))}


def padded_square(inputs: Inputs, image: Size, processor: Any, config: Any) -> dict[str, View]:
    """One square grid over the whole picture, scaled to fit and padded: DeepSeek-VL."""
    pixels = Size(*reversed(inputs["pixel_values"].shape[-2:]))
    region = fitted_region(processor.image_processor, image)
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
