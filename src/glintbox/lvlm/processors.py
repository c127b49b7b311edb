"""The checkpoint's own processor, built without torchvision, and what its image processor does to a picture's geometry.

The geometry is read from the image processor's settings; where a rule is long (which tiles, which canvas) the
processor's own function is asked, so that a grid cannot drift from the pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from transformers.image_processing_utils import select_best_resolution
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract, BadInput


class Tiling(NamedTuple):
    """How many tiles a picture is cut into."""

    rows: int
    cols: int


class Canvas(NamedTuple):
    """A grid of image tokens cut free of padding, and the part of the picture (px) that it covers."""

    rows: int
    cols: int
    region: Box


def load_processor(source: str, config: Any, revision: str | None) -> Any:
    """The processor of a checkpoint (folder or hub name) with its tokenizer, image processor and chat template.

    A template inside tokenizer_config.json goes to the tokenizer alone; the processor, which renders, gets it too.
    """
    processor = without_video(PROCESSOR_MAPPING[type(config)]).from_pretrained(source, revision=revision)
    if processor.chat_template is None:
        processor.chat_template = processor.tokenizer.chat_template
    return processor


def without_video(kind: type[Any]) -> type[Any]:
    """The same processor class with no video part.

    Video processors import torchvision when their module loads, so a class that has one cannot be built without it. A
    processor asks `get_attributes` which parts it has; nothing else changes, with torchvision or without. SmolVLM also
    asks for settings of the video part with every chat, and for a package that says numbers of frames in words; where
    it is not installed digits do.
    """
    if "video_processor" not in kind.get_attributes():
        return kind
    module = sys.modules[kind.__module__]
    if getattr(module, "num2words", str) is None:
        vars(module)["num2words"] = str

    class PicturesOnly(kind):
        video_processor = SimpleNamespace(num_frames=None, fps=None)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in kind.get_attributes() if name != "video_processor"]

        @classmethod
        def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **settings: Any) -> Any:
            parts = iter(args)
            every = [None if name == "video_processor" else next(parts) for name in kind.get_attributes()]
            return super().from_args_and_dict(every, processor_dict, **settings)

    PicturesOnly.__name__ = kind.__name__
    return PicturesOnly


BUDGET = (
    *("size", "crop_size", "do_center_crop", "do_pad", "crop_to_patches", "min_patches", "max_patches"),
    *("max_image_size", "do_image_splitting", "do_pan_and_scan", "high_res_size", "min_size"),
)


def pixel_budget(processor: Any) -> str:
    """The settings that decide how a picture becomes tokens, in one line: two equal lines give equal grids.

    What a processor tells its image processor at each call counts: InternVL's cuts tiles only because it is told to.
    """
    told = getattr(processor, "images_kwargs", {})
    parts = []
    for name in (*BUDGET, "image_grid_pinpoints"):
        value = told.get(name, getattr(processor.image_processor, name, None))
        if name == "image_grid_pinpoints" and value is not None:
            value = "|".join(f"{rows}x{cols}" for rows, cols in value)
        elif value is not None and not isinstance(value, int):
            value = "|".join(f"{key}:{number}" for key, number in sorted(dict(value).items()))
        if value is not None:
            parts.append(f"{name}={value}")
    return " ".join(parts)


def tiled_canvas(image_processor: Any, image: Size) -> Tiling:
    """Tiles of a picture as the image processor's own module lays them out (it prefers the nearest aspect ratio)."""
    rule = getattr(sys.modules[type(image_processor).__module__], "get_optimal_tiled_canvas", None)
    if rule is None:
        raise BadContract(f"expected an image processor that cuts tiles, got {type(image_processor).__name__}")
    size = image_processor.size
    limits = image_processor.min_patches, image_processor.max_patches
    cols, rows = rule((image.height, image.width), (size["height"], size["width"]), *limits)
    return Tiling(rows, cols)


def cropped_region(image_processor: Any, image: Size) -> Box:
    """What a square image processor shows of a picture, in its pixels: a centre crop, or more than all, padded.

    Raises:
        BadContract: settings that resize or pad in a way that is not known here.
    """
    seen, left, top = image, 0, 0
    if getattr(image_processor, "do_pad", None):
        if not hasattr(image_processor, "pad_to_square"):
            raise BadContract(f"expected padding to a square or none, got do_pad of {type(image_processor).__name__}")
        side = max(image)
        seen, left, top = Size(side, side), (side - image.width) // 2, (side - image.height) // 2
    resized = _resized(dict(image_processor.size), seen) if image_processor.do_resize else seen
    crop = resized
    if getattr(image_processor, "do_center_crop", None):
        crop = Size(image_processor.crop_size["width"], image_processor.crop_size["height"])
    x1, y1 = (resized.width - crop.width) // 2, (resized.height - crop.height) // 2
    step_x, step_y = seen.width / resized.width, seen.height / resized.height
    right, below = (x1 + crop.width) * step_x, (y1 + crop.height) * step_y
    return Box(x1 * step_x - left, y1 * step_y - top, right - left, below - top)


def _resized(size: Mapping[str, int], seen: Size) -> Size:
    """Size of a picture after the image processor's resize."""
    if "height" in size and "width" in size:
        return Size(size["width"], size["height"])
    if "shortest_edge" not in size:
        raise BadContract(f"expected a size by shortest edge or by height and width, got {dict(size)}")
    short = size["shortest_edge"]
    long = int(short * max(seen) / min(seen))
    return Size(short, long) if seen.width <= seen.height else Size(long, short)


def fitted_region(image_processor: Any, image: Size) -> Box:
    """The square that an image processor makes of a picture, in its pixels: scaled to fit, then padded on both sides.

    No side is scaled below `min_size` px. Of two resolutions the higher one, which is made first, decides.

    Raises:
        BadContract: settings that pad in a way that is not known here.
    """
    if not (image_processor.do_resize and getattr(image_processor, "do_pad", False)):
        raise BadContract(f"expected resizing and padding of {type(image_processor).__name__}, got one of them off")
    side = dict(getattr(image_processor, "high_res_size", None) or image_processor.size)["height"]
    wide, high = (max(round(length * (side / max(image))), image_processor.min_size) for length in image)
    left, top = (side - wide) // 2, (side - high) // 2
    step_x, step_y = image.width / wide, image.height / high
    return Box(-left * step_x, -top * step_y, (side - left) * step_x, (side - top) * step_y)


def unpadded_canvas(image_processor: Any, image: Size, *, tile: Size, cells: int) -> Canvas:
    """The grid that is left of a tiled and padded picture once the model has cut the padding off.

    tile: px of one tile; cells: tokens per side of it. A token row that is padding by less than its full height stays,
    so the region may leave the picture by a part of a cell (LLaVA-NeXT, `unpad_image`). Where patches do not divide the
    tile (SigLIP: 27 x 14 of 384 px), cells are taken as evenly spread over it, at most half a cell off.

    Raises:
        BadInput: a picture so narrow that the model cuts all of it off.
    """
    target_high, target_wide = select_best_resolution((image.height, image.width), image_processor.image_grid_pinpoints)
    rows, cols = target_high // tile.height * cells, target_wide // tile.width * cells
    off_rows = off_cols = 0
    if image.width / image.height > cols / rows:
        off_rows = (rows - int(round(image.height * (cols / image.width), 7))) // 2
    else:
        off_cols = (cols - int(round(image.width * (rows / image.height), 7))) // 2
    if rows == 2 * off_rows or cols == 2 * off_cols:
        raise BadInput(f"expected a picture less narrow than {image.width} x {image.height}: its large grid is empty")
    filled = _fitted(image, Size(target_wide, target_high))
    left, top = (target_wide - filled.width) // 2, (target_high - filled.height) // 2
    step_x, step_y = image.width / filled.width, image.height / filled.height
    wide, high = tile.width / cells, tile.height / cells
    x1, x2 = off_cols * wide - left, (cols - off_cols) * wide - left
    y1, y2 = off_rows * high - top, (rows - off_rows) * high - top
    region = Box(x1 * step_x, y1 * step_y, x2 * step_x, y2 * step_y)
    return Canvas(rows - 2 * off_rows, cols - 2 * off_cols, region)


def _fitted(image: Size, target: Size) -> Size:
    """Size of a picture scaled to fit into `target`, rounded up to whole pixels."""
    scale_x, scale_y = target.width / image.width, target.height / image.height
    if scale_x < scale_y:
        return Size(target.width, min(math.ceil(image.height * scale_x), target.height))
    return Size(min(math.ceil(image.width * scale_y), target.width), target.height)


def refuse_extreme_shape(image: Size, limit: float = 200.0) -> None:
    """Refuse what no processor here can resize: a picture more than `limit` times as long as wide."""
    if max(image) > limit * min(image):
        raise BadInput(
            f"expected a picture at most {limit:.0f} times as long as wide, got {image.width}x{image.height}"
        )
