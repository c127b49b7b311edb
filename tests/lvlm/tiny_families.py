"""What is special about each family's tiny model: configuration, image processor, processor."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.lvlm.tiny_text import QWEN

PATCH = 14  # px
TILE = 56  # px, side of the square that most towers see
WIDER = TILE + 2  # px, a side that patches do not divide, as SigLIP's 384


class Tiny(NamedTuple):
    """One family, beyond what all families share.

    text, vision: settings of these parts. rest: of the whole configuration. tokens: its token ids, by token. pictures:
    image processor class and settings. processor: processor class and settings.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    pictures: tuple[str, dict[str, Any]]
    processor: tuple[str, dict[str, Any]]
    tokens: dict[str, str]
    rest: dict[str, Any] = {}  # noqa: RUF012


def square(side: int) -> dict[str, int]:
    """A size by height and width."""
    return {"height": side, "width": side}


def pinpoints(side: int) -> list[list[int]]:
    """Every canvas of up to 4 x 4 tiles, height first."""
    return [[side * rows, side * cols] for rows in range(1, 5) for cols in range(1, 5)]


LAYERS: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
PLAIN = LAYERS | {"intermediate_size": 64, "patch_size": PATCH}
CLIP = PLAIN | {"model_type": "clip_vision_model"}
SIGLIP = PLAIN | {"model_type": "siglip_vision_model", "vision_use_head": False}
MERGING = {"depth": 2, "num_heads": 2, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}
SAM = LAYERS | {"mlp_dim": 64, "num_pos_feats": 16, "window_size": 4, "global_attn_indexes": [0], "output_channels": 8}
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
IMAGE = {"image_token_id": "<image>"}
PADS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
SELECTING = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
SPLITTING = {"size": {"longest_edge": 8 * TILE}, "max_image_size": {"longest_edge": 2 * TILE}}


def qwen(name: str, vision: dict[str, Any], **rope: Any) -> Tiny:
    """A Qwen-VL: merged patches, three axes of rotary positions."""
    rotary = {"rope_parameters": MROPE | rope}
    return Tiny(rotary, MERGING | vision, ("Qwen2VLImageProcessor", {}), (f"{name}Processor", {}), PADS)


def idefics(name: str, **processor: Any) -> Tiny:
    """Idefics3 and what is made like it: tiles with words between them."""
    pictures = (f"{name}ImageProcessor", SPLITTING)
    vision = PLAIN | {"image_size": 2 * TILE}
    own = (f"{name}Processor", {"image_seq_len": 16} | processor)
    return Tiny({"model_type": "llama"}, vision, pictures, own, IMAGE, {"scale_factor": 2})


def deepseek(name: str, pictures: dict[str, Any], **rest: Any) -> Tiny:
    """DeepSeek-VL: one padded square."""
    vision, text = SIGLIP | {"image_size": 2 * TILE}, {"model_type": "llama"}
    own = (f"{name}Processor", {"num_image_tokens": 64})
    shown = (f"{name}ImageProcessor", {"size": square(2 * TILE)} | pictures)
    return Tiny(text, vision, shown, own, {"image_token_id": "<image_placeholder>"}, rest)


TINY: dict[str, Tiny] = {
    # `out_hidden_size` and the like, the width of the text decoder, are filled in by `tiny.tiny_config`
    "qwen2_vl": qwen("Qwen2VL", {"embed_dim": 32, "hidden_size": None, "mlp_ratio": 2}),
    "qwen2_5_vl": qwen(
        "Qwen2_5_VL",
        {
            "hidden_size": 32,
            "out_hidden_size": None,
            "intermediate_size": 64,
            "fullatt_block_indexes": [1],
            "window_size": 112,
        },
    ),
    "qwen3_vl": qwen(
        "Qwen3VL",
        {
            "hidden_size": 32,
            "out_hidden_size": None,
            "intermediate_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        mrope_interleaved=True,
    ),
    "internvl": Tiny(
        {"model_type": "qwen3"},
        LAYERS | {"intermediate_size": 64, "image_size": [2 * TILE, 2 * TILE], "patch_size": [PATCH, PATCH]},
        ("GotOcr2ImageProcessor", {"size": square(2 * TILE)}),
        ("InternVLProcessor", {"image_seq_length": 16}),
        {"image_token_id": "<IMG_CONTEXT>"},
        {"image_seq_length": 16, "downsample_ratio": 0.5},
    ),
    "llava": Tiny(
        {"model_type": "llama"},
        CLIP | {"image_size": 2 * TILE},
        ("CLIPImageProcessor", {"size": {"shortest_edge": 2 * TILE}, "crop_size": square(2 * TILE)}),
        ("LlavaProcessor", SELECTING),
        IMAGE,
    ),
    "llava_next": Tiny(
        {"model_type": "mistral"},
        CLIP | {"image_size": TILE},
        (
            "LlavaNextImageProcessor",
            {"size": {"shortest_edge": TILE}, "crop_size": square(TILE), "image_grid_pinpoints": pinpoints(TILE)},
        ),
        ("LlavaNextProcessor", SELECTING),
        IMAGE,
        {"image_grid_pinpoints": pinpoints(TILE)},
    ),
    "llava_onevision": Tiny(
        {"model_type": "qwen2"},
        SIGLIP | {"image_size": WIDER},
        ("LlavaOnevisionImageProcessor", {"size": square(WIDER), "image_grid_pinpoints": pinpoints(WIDER)}),
        ("LlavaOnevisionProcessor", {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}),
        IMAGE | {"video_token_id": "<video>"},
        {"image_grid_pinpoints": pinpoints(WIDER)},
    ),
    "idefics3": idefics("Idefics3"),
    "smolvlm": idefics("SmolVLM", video_processor=None),
    "gemma3": Tiny(
        {"model_type": "gemma3_text", "query_pre_attn_scalar": 64, "sliding_window": 24},
        SIGLIP | {"image_size": 2 * TILE},
        ("Gemma3ImageProcessor", {"size": square(2 * TILE)}),
        ("Gemma3Processor", {"image_seq_length": 16}),
        {
            "image_token_index": "<image_soft_token>",
            "boi_token_index": "<start_of_image>",
            "eoi_token_index": "<end_of_image>",
        },
        {"mm_tokens_per_image": 16},
    ),
    "paligemma": Tiny(
        {"model_type": "gemma"},
        SIGLIP | {"image_size": 2 * TILE},
        ("SiglipImageProcessor", {"size": square(2 * TILE), "image_seq_length": 64}),
        ("PaliGemmaProcessor", {}),
        {"image_token_index": "<image>"},
        {"projection_dim": None},
    ),
    "glm4v": Tiny(
        {
            "model_type": "glm4v_text",
            "rope_parameters": MROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
        },
        MERGING | {"hidden_size": 32, "out_hidden_size": None, "intermediate_size": 64, "image_size": 2 * TILE},
        ("Glm4vImageProcessor", {}),
        ("Glm4vProcessor", {}),
        {
            "image_token_id": "<|image|>",
            "video_token_id": "<|video|>",
            "image_start_token_id": "<|begin_of_image|>",
            "image_end_token_id": "<|end_of_image|>",
            "video_start_token_id": "<|begin_of_video|>",
            "video_end_token_id": "<|end_of_video|>",
        },
    ),
    "deepseek_vl": deepseek("DeepseekVL", {}),
    "deepseek_vl_hybrid": deepseek(
        "DeepseekVLHybrid",
        {"high_res_size": square(4 * TILE)},
        high_res_vision_config=SAM | {"image_size": 4 * TILE, "patch_size": PATCH},
    ),
}
MODEL_TYPES = tuple(TINY)
assert MODEL_TYPES[:3] == QWEN
