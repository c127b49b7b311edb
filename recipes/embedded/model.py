"""The shape of the model in the box and its first weights: a small `Qwen3VLForConditionalGeneration`."""

from __future__ import annotations

import math

import torch
from ideal import CLASS_WIDTH, NAMES_WIDTH, WIDTH, class_directions, color_directions, waves
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from glintbox.datasets.scenes import COLORS, categories

PATCH = 24  # px
SIDE = 12  # cells per side of the position table
MEAN, SPREAD = 0.5, 0.25  # of pixel values in [0, 1]
TABLE_AMPLITUDE = 0.6  # of the order of the patch embedding; a tiny table is not learned from


def configuration(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    """8 layers of 8 heads on a tower of 4 layers, about 7 million parameters."""
    token = {name: tokenizer.convert_tokens_to_ids(name) for name in tokenizer.all_special_tokens}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "max_position_embeddings": 8192,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
        "bos_token_id": None,
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
    }
    vision = {
        "depth": 4,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_heads": 8,
        "patch_size": PATCH,
        "spatial_merge_size": 1,
        "temporal_patch_size": 1,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": SIDE * SIDE,
        "deepstack_visual_indexes": [],
    }
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=False,
    )


def fresh_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Qwen3VLForConditionalGeneration:
    """A model with its first weights: wide enough to learn fast, names at the directions of the ideal code."""
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(configuration(tokenizer)).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * (0.35 if _ends_a_branch(name) else 1.0))
        model.model.visual.pos_embed.weight.copy_(position_table())
        words = model.get_input_embeddings().weight
        nn.init.normal_(words, std=0.7)
        for label, direction in zip(categories(), class_directions(), strict=True):
            for row in rows_of(tokenizer, label):
                words[row] = 0.0
                words[row, :CLASS_WIDTH] = direction
        for color, direction in zip(COLORS, color_directions(), strict=True):
            for row in set(rows_of(tokenizer, color)) - set(rows_of(tokenizer, "orange")):  # that name is a fruit too
                words[row] = 0.0
                words[row, CLASS_WIDTH:NAMES_WIDTH] = direction
        for row in rows_of(tokenizer, "orange"):
            words[row, CLASS_WIDTH:NAMES_WIDTH] = color_directions()[list(COLORS).index("orange")]
        model.lm_head.weight.mul_(0.3)
    return model


def rows_of(tokenizer: PreTrainedTokenizerFast, name: str) -> tuple[int, int]:
    """The token of a name at the start of a text and within one."""
    (first,), (within,) = (tokenizer.encode(text, add_special_tokens=False) for text in (name, " " + name))
    return first, within


def _ends_a_branch(name: str) -> bool:
    """Whether a matrix writes into the residual stream (started smaller, so that depth starts near the identity)."""
    return any(part in name for part in ("o_proj", "down_proj", "attn.proj", "linear_fc2")) and "merger" not in name


def position_table() -> torch.Tensor:
    """Two-dimensional sine-cosine table for the tower, row-major."""
    hidden = 256
    periods = tuple(0.25 * 2 ** (k * 5 / (hidden // 4 - 1)) for k in range(hidden // 4))
    axis = waves((torch.arange(SIDE) + 0.5) / SIDE, periods) / math.sqrt(2)
    right = axis[None].expand(SIDE, SIDE, -1)
    down = axis[:, None].expand(SIDE, SIDE, -1)
    return torch.cat([right, down], dim=-1).reshape(SIDE * SIDE, hidden) * TABLE_AMPLITUDE
