"""Processors: what real settings make of a picture, by hand, and which settings are refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import transformers
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.errors import BadContract, BadInput
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.lvlm.families import FAMILIES, checked_views
from glintbox.lvlm.grids import image_columns
from glintbox.lvlm.processors import (
    cropped_region,
    fitted_region,
    pixel_budget,
    refuse_extreme_shape,
    tiled_canvas,
    without_video,
)
from tests.lvlm.tiny import picture, tiny_image_processor, tiny_loaded, tiny_processor

WIDE = Size(300, 130)


class Golden(NamedTuple):
    """A picture and what real settings make of it."""

    model_type: str
    image: Size
    tokens: int
    grids: dict[str, TokenGrid]
    frame: CoordFrame


def golden(model_type: str, image: tuple[int, int], tokens: int, frame: CoordFrame, **grids: TokenGrid) -> Golden:
    return Golden(model_type, Size(*image), tokens, grids, frame)


def whole(width: int, height: int) -> Box:
    return Box(0, 0, width, height)


def written(units: tuple[int, int], region: Box) -> CoordFrame:
    return CoordFrame(Size(*units), region)


REAL: dict[str, dict[str, Any]] = {
    "qwen2_vl": {"min_pixels": 3136, "max_pixels": 1_003_520},
    "qwen2_5_vl": {"min_pixels": 3136, "max_pixels": 1_003_520},
    "qwen3_vl": {"size": {"shortest_edge": 65536, "longest_edge": 16_777_216}, "patch_size": 16},
    "internvl": {"size": {"height": 448, "width": 448}, "min_patches": 1, "max_patches": 12},
    "llava": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "llava_next": {
        "size": {"shortest_edge": 336},
        "crop_size": {"height": 336, "width": 336},
        "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    },
    "llava_onevision": {
        "size": {"height": 384, "width": 384},
        "image_grid_pinpoints": [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)],
    },
    "idefics3": {"size": {"longest_edge": 4 * 364}, "max_image_size": {"longest_edge": 364}},
    "smolvlm": {"size": {"longest_edge": 4 * 512}, "max_image_size": {"longest_edge": 512}},
    "gemma3": {"size": {"height": 896, "width": 896}},
    "glm4v": {},
    "deepseek_vl": {"size": {"height": 384, "width": 384}},
    "deepseek_vl_hybrid": {"size": {"height": 384, "width": 384}, "high_res_size": {"height": 1024, "width": 1024}},
    "paligemma": {"size": {"height": 448, "width": 448}, "image_seq_length": 1024},
}
"""Image processor settings of the released checkpoints (Qwen2.x with the customary budget of 1,280 tokens)."""


def real_config(model_type: str) -> Any:
    """The numbers of a released configuration that geometry depends on; the image token is the tiny tokenizer's."""
    vision: dict[str, Any] = {"patch_size": 16} if model_type == "qwen3_vl" else {}
    if model_type.startswith("deepseek"):
        vision = {"model_type": "siglip_vision_model", "patch_size": 16, "image_size": 384}
    if model_type == "llava_onevision":
        vision = {"model_type": "siglip_vision_model", "patch_size": 14, "image_size": 384}
    token = tiny_loaded(model_type).model.config.image_token_id
    return transformers.AutoConfig.for_model(model_type, vision_config=vision or None, image_token_id=token)


def real_processor(model_type: str) -> Any:
    processor = tiny_processor(model_type, **REAL[model_type])
    if model_type == "internvl":
        processor.image_seq_length = 256
    if model_type in ("idefics3", "smolvlm"):
        processor.image_seq_len = {"idefics3": 169, "smolvlm": 64}[model_type]
    if model_type.startswith("deepseek"):
        processor.num_image_tokens = 576
    if model_type == "gemma3":  # it writes its image tokens down as it is made
        processor = type(processor)(
            processor.image_processor, processor.tokenizer, chat_template=processor.chat_template, image_seq_length=256
        )
    if model_type == "llava_onevision":
        processor.num_image_tokens = 729
    return processor


TABLE = [
    # both sides are rounded to 28 px: 644 x 476, 34 x 46 patches
    golden(
        "qwen2_5_vl", (640, 480), 391, written((644, 476), whole(640, 480)), default=TokenGrid(17, 23, whole(640, 480))
    ),
    golden(
        "qwen2_vl", (480, 640), 391, written((1000, 1000), whole(480, 640)), default=TokenGrid(23, 17, whole(480, 640))
    ),
    # 70 / 28 = 2.5 and 42 / 28 = 1.5 both round to the even 2
    golden("qwen2_5_vl", (70, 42), 4, written((56, 56), whole(70, 42)), default=TokenGrid(2, 2, whole(70, 42))),
    # below the smallest budget: scaled up by sqrt(3136 / 600), sides rounded up
    golden("qwen2_5_vl", (20, 30), 6, written((56, 84), whole(20, 30)), default=TokenGrid(3, 2, whole(20, 30))),
    # above the largest: 1932 x 1092 would be 2,691 tokens; divided by sqrt(1920 * 1080 / 1003520), sides rounded down
    golden(
        "qwen2_5_vl",
        (1920, 1080),
        1222,
        written((1316, 728), whole(1920, 1080)),
        default=TokenGrid(26, 47, whole(1920, 1080)),
    ),
    # one row: 12 px rounds to none, and the budget's lower end makes it one
    golden(
        "qwen2_5_vl", (2000, 12), 26, written((728, 28), whole(2000, 12)), default=TokenGrid(1, 26, whole(2000, 12))
    ),
    golden(
        "qwen3_vl", (640, 480), 300, written((1000, 1000), whole(640, 480)), default=TokenGrid(15, 20, whole(640, 480))
    ),
    golden("qwen3_vl", (100, 60), 77, written((1000, 1000), whole(100, 60)), default=TokenGrid(7, 11, whole(100, 60))),
    # 4 : 3 is met exactly by 4 x 3 tiles, whatever the size
    golden(
        "internvl",
        (640, 480),
        13 * 256,
        written((1000, 1000), whole(640, 480)),
        default=TokenGrid(16, 16, whole(640, 480)),
        tiles=TokenGrid(48, 64, whole(640, 480)),
    ),
    # 16 : 9 lies nearest to 2 : 1; of its two canvases the larger, as the picture has the pixels: 4 x 2 and a thumbnail
    golden(
        "internvl",
        (1920, 1080),
        9 * 256,
        written((1000, 1000), whole(1920, 1080)),
        default=TokenGrid(16, 16, whole(1920, 1080)),
        tiles=TokenGrid(32, 64, whole(1920, 1080)),
    ),
    # one tile has no thumbnail: both views are that tile
    golden(
        "internvl",
        (448, 448),
        256,
        written((1000, 1000), whole(448, 448)),
        default=TokenGrid(16, 16, whole(448, 448)),
        tiles=TokenGrid(16, 16, whole(448, 448)),
    ),
    golden(
        "internvl",
        (100, 3000),
        13 * 256,
        written((1000, 1000), whole(100, 3000)),
        default=TokenGrid(16, 16, whole(100, 3000)),
        tiles=TokenGrid(192, 16, whole(100, 3000)),
    ),
    # resized to 448 x 336, then the middle 336: 80 px are lost on the left and on the right
    golden(
        "llava", (640, 480), 576, written((1, 1), Box(80, 0, 560, 480)), default=TokenGrid(24, 24, Box(80, 0, 560, 480))
    ),
    golden(
        "llava", (480, 640), 576, written((1, 1), Box(0, 80, 480, 560)), default=TokenGrid(24, 24, Box(0, 80, 480, 560))
    ),
    # best canvas 672 x 672: 48 x 48 cells of which 36 rows are picture, a newline each
    golden(
        "llava_next",
        (640, 480),
        576 + 36 * 49,
        written((1, 1), whole(640, 480)),
        default=TokenGrid(24, 24, whole(640, 480)),
        tiles=TokenGrid(36, 48, whole(640, 480)),
    ),
    # 1008 x 336: 21.6 rows of picture, of which 22 stay; it is 303 px high from px 16, rows 1 to 22 are px 14 to 322
    golden(
        "llava_next",
        (1000, 300),
        576 + 22 * 73,
        written((1, 1), whole(1000, 300)),
        default=TokenGrid(24, 24, whole(1000, 300)),
        tiles=TokenGrid(22, 72, Box(0, (14 - 16) * 300 / 303, 1000, (322 - 16) * 300 / 303)),
    ),
    # 27 x 14 = 378 of 384 px are seen; canvas 768 x 768, 40.5 rows of picture of which 40 stay
    golden(
        "llava_onevision",
        (640, 480),
        729 + 40 * 55,
        written((1, 1), whole(640, 480)),
        default=TokenGrid(27, 27, whole(630, 472.5)),  # type: ignore[arg-type]
        tiles=TokenGrid(40, 54, Box(0, (7 * 384 / 27 - 96) / 1.2, 640, (47 * 384 / 27 - 96) / 1.2)),
    ),
    # 4 x 4 tiles are 108 x 108 cells, above nine base grids: the model scales them down to 81 x 81
    golden(
        "llava_onevision",
        (1536, 1536),
        729 + 81 * 82,
        written((1, 1), whole(1536, 1536)),
        default=TokenGrid(27, 27, whole(1512, 1512)),
        tiles=TokenGrid(81, 81, whole(1536, 1536)),
    ),
    # the long side becomes 4 tiles of 364 px, the short one 1092 px: exactly 3
    golden(
        "idefics3",
        (640, 480),
        13 * 169,
        written((1000, 1000), whole(640, 480)),
        default=TokenGrid(13, 13, whole(640, 480)),
        tiles=TokenGrid(39, 52, whole(640, 480)),
    ),
    # 2048 x 1152: 2.25 tiles of 512 px, so it is stretched to 3
    golden(
        "smolvlm",
        (1920, 1080),
        13 * 64,
        written((1000, 1000), whole(1920, 1080)),
        default=TokenGrid(8, 8, whole(1920, 1080)),
        tiles=TokenGrid(24, 32, whole(1920, 1080)),
    ),
    golden(
        "smolvlm",
        (30, 90),
        9 * 64,
        written((1000, 1000), whole(30, 90)),
        default=TokenGrid(8, 8, whole(30, 90)),
        tiles=TokenGrid(32, 16, whole(30, 90)),
    ),
    # squeezed to 896 x 896: 64 x 64 patches, of which 4 x 4 make a token
    golden(
        "gemma3",
        (1920, 1080),
        256,
        written((1000, 1000), whole(1920, 1080)),
        default=TokenGrid(16, 16, whole(1920, 1080)),
    ),
    golden(
        "paligemma",
        (640, 480),
        1024,
        written((1000, 1000), whole(640, 480)),
        default=TokenGrid(32, 32, whole(640, 480)),
    ),
    # two frames of 644 x 476
    golden(
        "glm4v", (640, 480), 391, written((1000, 1000), whole(640, 480)), default=TokenGrid(17, 23, whole(640, 480))
    ),
    # the short side up to 28 px: 28 x 42; below 12,544 px over two frames, so sqrt(12544 / 2352) = 2.309 times as long
    golden("glm4v", (20, 30), 12, written((1000, 1000), whole(20, 30)), default=TokenGrid(4, 3, whole(20, 30))),
    # 384 x 288, and 48 px of padding above and below
    golden(
        "deepseek_vl",
        (640, 480),
        576,
        written((1000, 1000), whole(640, 480)),
        default=TokenGrid(24, 24, Box(0, -80, 640, 560)),
    ),
    # 289 x 384, and 47 px of padding on the left, 48 on the right
    golden(
        "deepseek_vl",
        (481, 640),
        576,
        written((1000, 1000), whole(481, 640)),
        default=TokenGrid(24, 24, Box(-47 * 481 / 289, 0, 337 * 481 / 289, 640)),
    ),
    # 14 px wide at least
    golden(
        "deepseek_vl",
        (10, 1000),
        576,
        written((1000, 1000), whole(10, 1000)),
        default=TokenGrid(24, 24, Box(-185 * 10 / 14, 0, 199 * 10 / 14, 1000)),
    ),
    # 770 x 1024 decides, padded by 127 px on both sides
    golden(
        "deepseek_vl_hybrid",
        (481, 640),
        576,
        written((1000, 1000), whole(481, 640)),
        default=TokenGrid(24, 24, Box(-127 * 481 / 770, 0, 897 * 481 / 770, 640)),
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.model_type}-{row.image.width}x{row.image.height}")
def test_real_settings_give_the_documented_grids(row: Golden) -> None:
    processor, config = real_processor(row.model_type), real_config(row.model_type)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "box"}]}]
    image = Image.new("RGB", row.image, (90, 120, 40))
    inputs = processor(text=[processor.apply_chat_template(chat)], images=[image], return_tensors="pt")
    family = FAMILIES[row.model_type]
    assert len(image_columns(inputs, config)) == row.tokens
    views = checked_views(family, inputs, row.image, processor, config)
    assert tuple(views) == family.view_names == tuple(row.grids)
    for name, grid in row.grids.items():
        seen = views[name].grid
        assert (seen.rows, seen.cols) == (grid.rows, grid.cols)
        assert tuple(seen.region) == pytest.approx(tuple(grid.region))
    frame = family.frame(inputs, row.image, processor, config)
    assert frame.size == row.frame.size
    assert tuple(frame.region) == pytest.approx(tuple(row.frame.region))


@pytest.mark.parametrize(
    ("image", "settings", "region"),
    [
        (Size(640, 480), {"kind": "LlavaImageProcessor", "do_pad": True}, Box(0, -80, 640, 560)),
        (Size(481, 640), {"kind": "LlavaImageProcessor", "do_pad": True}, Box(-79, 0, 561, 640)),
        (Size(640, 480), {"do_center_crop": False, "size": {"height": 336, "width": 336}}, Box(0, 0, 640, 480)),
        (Size(500, 400), {"do_resize": False}, Box(82, 32, 418, 368)),
    ],
    ids=["padded", "padded by an odd number", "squeezed", "cropped only"],
)
def test_what_a_square_processor_shows_of_a_picture(image: Size, settings: dict[str, Any], region: Box) -> None:
    processor = tiny_image_processor("llava", **(REAL["llava"] | settings))
    assert tuple(cropped_region(processor, image)) == pytest.approx(tuple(region))


def test_a_square_processor_with_other_padding_is_refused() -> None:
    with pytest.raises(BadContract, match="expected padding to a square or none, got do_pad of CLIPImageProcessor"):
        cropped_region(tiny_image_processor("llava", do_pad=True), WIDE)
    with pytest.raises(BadContract, match="expected a size by shortest edge or by height and width"):
        cropped_region(tiny_image_processor("llava", size={"longest_edge": 100}), WIDE)


def test_a_square_that_is_not_padded_after_it_was_fitted_is_refused() -> None:
    with pytest.raises(
        BadContract, match=r"expected resizing and padding of DeepseekVLImageProcessor.*, got one of them off"
    ):
        fitted_region(tiny_image_processor("deepseek_vl", do_pad=False), WIDE)


def test_an_image_processor_that_cuts_no_tiles_is_refused() -> None:
    with pytest.raises(BadContract, match="expected an image processor that cuts tiles, got CLIPImageProcessor"):
        tiled_canvas(tiny_image_processor("llava"), WIDE)


def test_an_image_processor_alone_would_make_one_tile_of_what_the_processor_cuts() -> None:
    processor = tiny_processor("internvl")
    chat = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}]}])
    assert processor(text=[chat], images=[picture(*WIDE)], return_tensors="pt")["pixel_values"].shape[0] == 11
    assert processor.image_processor(picture(*WIDE), return_tensors="pt")["pixel_values"].shape[0] == 1


def test_a_picture_too_long_to_resize_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a picture at most 200 times as long as wide, got 2010x10"):
        refuse_extreme_shape(Size(2010, 10))
    refuse_extreme_shape(Size(2000, 10))


def test_equal_settings_have_one_budget_and_others_another() -> None:
    assert pixel_budget(tiny_processor("qwen3_vl")) == "size=longest_edge:1003520|shortest_edge:3136"
    assert pixel_budget(tiny_processor("qwen3_vl", max_pixels=4096)) == "size=longest_edge:4096|shortest_edge:3136"
    # the image processor's own setting is False; the processor overrules it at each call
    assert "crop_to_patches=True" in pixel_budget(tiny_processor("internvl"))
    cropped, padded = tiny_processor("llava"), tiny_processor("llava", kind="LlavaImageProcessor", do_pad=True)
    assert pixel_budget(cropped) == "size=shortest_edge:112 crop_size=height:112|width:112 do_center_crop=True"
    assert pixel_budget(padded) != pixel_budget(cropped)


def test_a_processor_without_video_part_is_left_as_it_is() -> None:
    assert without_video(transformers.LlavaProcessor) is transformers.LlavaProcessor
    kind = without_video(transformers.Qwen2_5_VLProcessor)
    assert issubclass(kind, transformers.Qwen2_5_VLProcessor)
    assert kind.get_attributes() == ["image_processor", "tokenizer"]
