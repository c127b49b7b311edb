"""What is measured: a Qwen2.5-VL-class model with random weights and prompts of 140 text tokens about one picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.decoder import Decoder
from glintbox.records import Sampling, Site

IMAGE, VIDEO, BEFORE, AFTER = 5, 6, 20, 120


class Shape(NamedTuple):
    """Size of the language model and of its vision tower."""

    layers: int
    heads: int
    kv_heads: int
    hidden: int
    intermediate: int
    vocabulary: int
    vision_layers: int
    vision_hidden: int
    dtype: torch.dtype


SHAPES = {
    "quick": Shape(2, 4, 2, 64, 128, 512, 2, 32, torch.float32),
    "small": Shape(12, 12, 2, 768, 2048, 8192, 2, 64, torch.float32),
    "full": Shape(28, 28, 4, 3584, 18944, 152064, 32, 1280, torch.bfloat16),
}


class Setting(NamedTuple):
    """One configuration of the benchmark."""

    shape: str = "small"
    image_tokens: int = 1024
    samples: int = 10
    tokens: int = 60
    queries: int = 8
    device: str = "cpu"

    @property
    def sampling(self) -> Sampling:
        """The same parameters for the engine and for `generate`."""
        return Sampling(n=self.samples, max_new_tokens=self.tokens, greedy_too=False)


QUICK = Setting("quick", image_tokens=24, samples=2, tokens=24, queries=2)


def build(setting: Setting) -> Qwen2_5_VLForConditionalGeneration:
    """The model; queries and keys are scaled up so that attention is peaky."""
    shape = SHAPES[setting.shape]
    half = shape.hidden // shape.heads // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "vocab_size": shape.vocabulary,
            "max_position_embeddings": 65536,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8],
            },
        },
        vision_config={
            "depth": shape.vision_layers,
            "hidden_size": shape.vision_hidden,
            "num_heads": max(2, shape.vision_hidden // 80),
            "intermediate_size": 2 * shape.vision_hidden,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": [shape.vision_layers - 1],
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    torch.manual_seed(0)
    with torch.device(setting.device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa", dtype=shape.dtype)
    for name, weight in model.named_parameters():
        if "language_model" in name and name.endswith(("q_proj.weight", "k_proj.weight")):
            weight.data.mul_(4.0)
    model.generation_config.eos_token_id = None  # every answer is as long as every other
    model.generation_config.pad_token_id = 0
    return model.eval().requires_grad_(False)


def ask(setting: Setting, query: int = 0) -> Prompt:
    """A prompt of random words about one picture of noise; prompts of a setting differ in the last words only."""
    draw = torch.Generator().manual_seed(0)
    cells, vocabulary = setting.image_tokens, SHAPES[setting.shape].vocabulary
    rows = next(n for n in range(int(cells**0.5), 0, -1) if cells % n == 0)
    grid = TokenGrid(rows, cells // rows, Box.whole(Size(28 * cells // rows, 28 * rows)))
    before = torch.randint(10, vocabulary, (BEFORE,), generator=draw)
    pixels = torch.randn(4 * cells, 1176, generator=draw)
    after = torch.randint(10, vocabulary, (AFTER,), generator=draw.manual_seed(query + 1))
    ids = torch.cat([before, torch.full((cells,), IMAGE), after])
    size = Size(28 * grid.cols, 28 * grid.rows)
    return Prompt(
        id=f"{setting.shape}-{query}",
        image=size,
        query=str(query),
        ids=ids,
        tensors={
            "pixel_values": pixels,
            "image_grid_thw": torch.tensor([[1, 2 * grid.rows, 2 * grid.cols]]),
            "mm_token_type_ids": (ids == IMAGE).int()[None],
        },
        shared=BEFORE + cells,
        said=range(len(ids) - 10, len(ids)),
        frame=CoordFrame(size, Box.whole(size)),
        views={"default": View(torch.arange(BEFORE, BEFORE + cells), grid)},
        fingerprint=f"{setting.shape}/{cells}",
    )


def decoder(setting: Setting) -> Decoder:
    """The engine over the model; no answer ends before its length."""
    shape = SHAPES[setting.shape]
    card = ModelCard(
        id="random",
        revision="",
        model_type="qwen2_5_vl",
        layers=shape.layers,
        heads=shape.heads,
        usable=tuple(range(shape.layers)),
        excluded={},
        views=("default",),
        pixels="",
    )
    return Decoder(build(setting), card, frozenset(), lambda ids: ("", ((0, 0),) * len(ids)))


def coordinate_sites(setting: Setting) -> list[Site]:
    """Where the first tokens of coordinates would stand: one to three boxes per answer, four coordinates each."""
    return [
        Site(response, 8 + 20 * box + 4 * coordinate)
        for response in range(setting.samples)
        for box in range(1 + response % 3)
        if 8 + 20 * box + 12 < setting.tokens
        for coordinate in range(4)
    ]
