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
from tests.lvlm.tiny_families import MODEL_TYPES as MODEL_TYPES
from tests.lvlm.tiny_families import TINY
from tests.lvlm.tiny_text import TEMPLATES, tiny_tokenizer

Layout = Literal["jinja", "json", "tokenizer_config"]


def _text(model_type: str, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    tokenizer = tiny_tokenizer(model_type)
    shared = {
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
    own = TINY[model_type].text
    if "sliding_window" in own:
        own = own | {"layer_types": [*["full_attention"] * (layers - 1), "sliding_attention"]}
    return shared | own


def tiny_config(
    model_type: str, *, layers: int = 3, heads: int = 4, kv_heads: int = 2
) -> transformers.PreTrainedConfig:
    """The configuration of a family's tiny model."""
    tokenizer, tiny = tiny_tokenizer(model_type), TINY[model_type]

    def filled(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: 16 * heads if value is None else value for name, value in settings.items()}

    return transformers.AutoConfig.for_model(
        model_type,
        text_config=_text(model_type, layers, heads, kv_heads),
        vision_config=filled(tiny.vision),
        tie_word_embeddings=False,
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in tiny.tokens.items()},
        **filled(tiny.rest),
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
        if ("language_model" in name or "text_model" in name) and name.endswith(("q_proj.weight", "k_proj.weight")):
            nn.init.normal_(weight, std=1.7 * weight.shape[1] ** -0.5)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            nn.init.constant_(weight, 0.7 if "Gemma" in type(model).__name__ else 1.7)  # Gemma's counts from 1
        elif name.endswith("mm_input_projection_weight"):  # zeros as it is made
            nn.init.normal_(weight, std=weight.shape[0] ** -0.5)
        elif name.endswith("lm_head.weight"):
            nn.init.normal_(weight, std=2.0 * weight.shape[1] ** -0.5)


def tiny_image_processor(model_type: str, **settings: Any) -> Any:
    """The real image processor with the tiny tower's sizes; `settings` override them."""
    name, own = TINY[model_type].pictures
    return getattr(transformers, settings.pop("kind", name))(**(own | settings))


def tiny_processor(model_type: str, **settings: Any) -> Any:
    """The real processor class with a tiny tokenizer; `settings` go to the image processor."""
    name, own = TINY[model_type].processor
    kind = without_video(getattr(transformers, name))
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
    settings = {name: value for name, value in TINY[model_type].processor[1].items() if value is not None}
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
