"""Tiny random models of the real classes, with real tokenizers and the real processors, in memory and as checkpoints.

Every family that `load` knows is here: `tiny_model`, `tiny_processor`, `tiny_checkpoint`, `tiny_loaded`. Text attention
is made peaky on purpose (scores of standard deviation about 3), so that wrong rows or columns show.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText

from glintbox.lvlm.loading import Loaded, assemble
from glintbox.lvlm.processors import without_video
from tests.lvlm.tiny_text import QWEN, TEMPLATES, tiny_tokenizer

Layout = Literal["jinja", "json", "tokenizer_config"]
MODEL_TYPES = (*QWEN, "internvl", "llava", "llava_next", "llava_onevision")
PATCH = 14  # px
TILE = 56  # px, side of the square that the towers of the other families see
WIDER = TILE + 2  # px, a side that patches do not divide, as SigLIP's 384


def pinpoints(side: int) -> list[list[int]]:
    """Every canvas of up to 4 x 4 tiles, height first."""
    return [[side * rows, side * cols] for rows in range(1, 5) for cols in range(1, 5)]


def _text(model_type: str, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    tokenizer = tiny_tokenizer(model_type)
    kinds = dict.fromkeys(QWEN) | {"llava": "llama", "llava_next": "mistral", "llava_onevision": "qwen2"}
    sections: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
    own: dict[str, Any] = {"model_type": kinds.get(model_type) or "qwen3"}
    if model_type in QWEN:
        own = {"rope_parameters": sections | ({"mrope_interleaved": True} if model_type == "qwen3_vl" else {})}
    return own | {
        "vocab_size": len(tokenizer),
        "hidden_size": 16 * heads,
        "intermediate_size": 32 * heads,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 16,
        "sliding_window": None,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }


def _vision(model_type: str, width: int) -> dict[str, Any]:
    if model_type in QWEN:
        kinds: dict[str, dict[str, Any]] = {
            "qwen2_vl": {"embed_dim": 32, "hidden_size": width, "mlp_ratio": 2},
            "qwen2_5_vl": {"intermediate_size": 64, "fullatt_block_indexes": [1], "window_size": 112},
            "qwen3_vl": {"intermediate_size": 64, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        }
        own = kinds[model_type]
        if model_type != "qwen2_vl":
            own |= {"hidden_size": 32, "out_hidden_size": width}
        return own | {
            "depth": 2,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        }
    common: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    }
    if model_type == "internvl":
        return common | {"image_size": [2 * TILE, 2 * TILE], "patch_size": [PATCH, PATCH]}
    kind = "siglip_vision_model" if model_type == "llava_onevision" else "clip_vision_model"
    side = {"llava": 2 * TILE, "llava_next": TILE, "llava_onevision": WIDER}[model_type]
    extra = {"vision_use_head": False} if model_type == "llava_onevision" else {}
    return common | extra | {"model_type": kind, "image_size": side, "patch_size": PATCH}


def tiny_config(
    model_type: str, *, layers: int = 3, heads: int = 4, kv_heads: int = 2
) -> transformers.PreTrainedConfig:
    """The configuration of a family's tiny model."""
    tokenizer = tiny_tokenizer(model_type)
    image = {"internvl": "<IMG_CONTEXT>"} | dict.fromkeys(QWEN, "<|image_pad|>")
    rest: dict[str, Any] = {"image_token_id": tokenizer.convert_tokens_to_ids(image.get(model_type, "<image>"))}
    if model_type in QWEN:
        names = {"video_token_id": "<|video_pad|>", "vision_start_token_id": "<|vision_start|>"}
        names["vision_end_token_id"] = "<|vision_end|>"
        rest |= {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    elif model_type == "internvl":
        rest |= {"image_seq_length": 16, "downsample_ratio": 0.5}
    elif model_type == "llava_next":
        rest |= {"image_grid_pinpoints": pinpoints(TILE)}
    elif model_type == "llava_onevision":
        rest |= {"image_grid_pinpoints": pinpoints(WIDER), "video_token_id": tokenizer.convert_tokens_to_ids("<video>")}
    return transformers.AutoConfig.for_model(
        model_type,
        text_config=_text(model_type, layers, heads, kv_heads),
        vision_config=_vision(model_type, 16 * heads),
        tie_word_embeddings=False,
        **rest,
    )


def tiny_model(
    model_type: str,
    *,
    layers: int = 3,
    heads: int = 4,
    kv_heads: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> transformers.PreTrainedModel:
    """A random model of the real class under SDPA, on the CPU, in evaluation mode, without gradients."""
    config = tiny_config(model_type, layers=layers, heads=heads, kv_heads=kv_heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
        _make_peaky(model)
    tokenizer = tiny_tokenizer(model_type)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.to(dtype).eval().requires_grad_(False)


def _make_peaky(model: nn.Module) -> None:
    """Queries and keys of standard deviation 1.7 per component, and logits that prefer some tokens."""
    for name, weight in model.named_parameters():
        if "language_model" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
            nn.init.normal_(weight, std=1.7 * weight.shape[1] ** -0.5)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            nn.init.constant_(weight, 1.7)
        elif name.endswith("lm_head.weight"):
            nn.init.normal_(weight, std=2.0 * weight.shape[1] ** -0.5)


def tiny_image_processor(model_type: str, **settings: Any) -> Any:
    """The real image processor with the tiny tower's sizes; `settings` override them."""
    square = {"height": TILE, "width": TILE}
    bigger = {"height": 2 * TILE, "width": 2 * TILE}
    wider = {"height": WIDER, "width": WIDER}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "internvl": ("GotOcr2ImageProcessor", {"size": bigger}),
        "llava": ("CLIPImageProcessor", {"size": {"shortest_edge": 2 * TILE}, "crop_size": bigger}),
        "llava_next": (
            "LlavaNextImageProcessor",
            {"size": {"shortest_edge": TILE}, "crop_size": square, "image_grid_pinpoints": pinpoints(TILE)},
        ),
        "llava_onevision": ("LlavaOnevisionImageProcessor", {"size": wider, "image_grid_pinpoints": pinpoints(WIDER)}),
    }
    name, own = kinds.get(model_type, ("Qwen2VLImageProcessor", {}))
    return getattr(transformers, settings.pop("kind", name))(**(own | settings))


def tiny_processor(model_type: str, **settings: Any) -> Any:
    """The real processor class with a tiny tokenizer; `settings` go to the image processor."""
    kinds: dict[str, dict[str, Any]] = {
        "internvl": {"image_seq_length": 16},
        "llava": {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        "llava_onevision": {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    }
    own = kinds.get(model_type, {})
    if model_type == "llava_next":
        own = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    names = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL", "internvl": "InternVL"}
    names |= {"llava": "Llava", "llava_next": "LlavaNext", "llava_onevision": "LlavaOnevision"}
    kind = without_video(getattr(transformers, f"{names[model_type]}Processor"))
    pictures = tiny_image_processor(model_type, **settings)
    return kind(pictures, tiny_tokenizer(model_type), chat_template=TEMPLATES[model_type], **own)


def tiny_checkpoint(folder: Path, model_type: str, layout: Layout = "jinja", **options: Any) -> Path:
    """Save an ordinary checkpoint folder that `load` opens, with the chat template in one of the three layouts.

    layout: chat_template.jinja, chat_template.json, or inside tokenizer_config.json. options: as for `tiny_model`.
    """
    tiny_model(model_type, **options).save_pretrained(folder)
    processor = tiny_processor(model_type)
    processor.tokenizer.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    kept = ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens", "num_image_tokens")
    settings = {name: getattr(processor, name) for name in (*kept, "image_seq_length") if hasattr(processor, name)}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    template = TEMPLATES[model_type]
    if layout == "jinja":
        (folder / "chat_template.jinja").write_text(template)
    elif layout == "json":
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    else:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    return folder


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of coloured noise, RGB."""
    values = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(values.numpy())


@functools.cache
def tiny_loaded(model_type: str) -> Loaded:
    """A tiny model joined with its processor, in memory; shared by all tests that do not change it."""
    return assemble(tiny_model(model_type), tiny_processor(model_type), id=f"tiny-{model_type}", revision="random")
