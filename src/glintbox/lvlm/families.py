"""One entry per model family: the units it writes boxes in, its image tokens as grids, what its inputs must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

from glintbox.boxes import Size
from glintbox.errors import BadContract, UnknownName
from glintbox.geometry import CoordFrame, View
from glintbox.lvlm.grids import (
    Inputs,
    base_and_unpadded,
    padded_square,
    patch_grid,
    per_mille,
    resized_pixels,
    square_grid,
    squeezed_square,
    thumbnail_and_tiles,
    tiles_and_whole,
    unit_square,
    unit_square_of_seen,
)


class Family(NamedTuple):
    """How one model family writes boxes and sees pictures.

    frame, views: see `glintbox.geometry`. units: what `frame` says, in words. needs: inputs without which the model
    runs on, wrongly or not at all. checkpoints: hub names to try. view_names: the names that `views` always gives,
    "default" first. prompt: name of its default prompt. coordinate_token: whether the first token of a coordinate says
    something of its value ("0.12" starts with "0"). prefix: every token of a prompt sees all of it. template: the chat
    where a checkpoint has none. closing: what the processor writes behind every chat.
    """

    frame: Callable[[Inputs, Size, Any, Any], CoordFrame]
    views: Callable[[Inputs, Size, Any, Any], dict[str, View]]
    units: str
    needs: tuple[str, ...]
    checkpoints: tuple[str, ...]
    view_names: tuple[str, ...] = ("default",)
    prompt: str = "paper"
    coordinate_token: Literal["first_digit", "first_significant_digit"] = "first_digit"
    prefix: bool = False
    template: str | None = None
    closing: str = ""


QWEN_NEEDS = ("pixel_values", "image_grid_thw", "mm_token_type_ids")
BOTH = ("default", "tiles")
LLAVA: Literal["first_significant_digit"] = "first_significant_digit"
UNDOCUMENTED = "not documented; 0 to 1000 is read"
"""Of a family whose authors name no way to write boxes: its maps can be read, its written boxes need care."""
LOCATIONS = "location tokens, which are not read; 0 to 1000 is"
BARE = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% elif 'text' in c %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
"""A chat of nothing but picture and text."""

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
    "idefics3": Family(
        per_mille,
        tiles_and_whole,
        UNDOCUMENTED,
        ("pixel_values", "pixel_attention_mask"),
        ("HuggingFaceM4/Idefics3-8B-Llama3",),
        BOTH,
    ),
    "smolvlm": Family(
        per_mille,
        tiles_and_whole,
        UNDOCUMENTED,
        ("pixel_values", "pixel_attention_mask"),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"),
        BOTH,
    ),
    "gemma3": Family(
        per_mille,
        squeezed_square,
        UNDOCUMENTED,
        ("pixel_values", "token_type_ids"),
        ("google/gemma-3-4b-it", "google/gemma-3-12b-it"),
    ),
    "paligemma": Family(
        per_mille,
        squeezed_square,
        LOCATIONS,
        ("pixel_values", "token_type_ids"),
        ("google/paligemma-3b-mix-448", "google/paligemma-3b-mix-224"),
        prompt="short",
        prefix=True,
        template=BARE,
        closing="\n",
    ),
    "glm4v": Family(per_mille, patch_grid, "0 to 1000", QWEN_NEEDS, ("zai-org/GLM-4.1V-9B-Thinking",)),
    "deepseek_vl": Family(
        per_mille, padded_square, UNDOCUMENTED, ("pixel_values",), ("deepseek-community/deepseek-vl-1.3b-chat",)
    ),
    "deepseek_vl_hybrid": Family(
        per_mille,
        padded_square,
        UNDOCUMENTED,
        ("pixel_values", "high_res_pixel_values"),
        ("deepseek-community/deepseek-vl-7b-chat",),
    ),
}
"""By `config.model_type`; how to add one stands in docs/add-a-model.md."""


RESAMPLED = "a resampler turns the picture into a set of learned queries, none of which stands for a place in it"
CROSSED = "its decoder looks at the picture through cross-attention; there are no image tokens among the words"
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("blip-2", "instructblip", "instructblipvideo", "idefics2", "kosmos-2", "kosmos-2.5", "aria"), RESAMPLED
    ),
    **dict.fromkeys(("idefics", "mllama", "florence2"), CROSSED),
}
"""Model types that can never be a family, and why."""


def family_of(model_type: str) -> Family:
    """The family of a `config.model_type`.

    Raises:
        BadContract: a model type in `REFUSED`.
        UnknownName: no such family; the message lists those that there are.
    """
    if model_type in REFUSED:
        raise BadContract(
            f"expected an image token for each cell of the picture, got {model_type}: {REFUSED[model_type]}"
        )
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
