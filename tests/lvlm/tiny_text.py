"""Chat templates and tokenizers for tests: tiny ones of the real classes, and the real one of Qwen2.5."""

from __future__ import annotations

import functools
import lzma
from pathlib import Path

import transformers
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from glintbox.lvlm.families import BARE

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
DATA = Path(__file__).parents[1] / "data"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% elif 'text' in c %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (
    "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% elif 'text' in c %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
UTTERANCES = (
    "BEGIN{% for m in messages %}{{ m['role'].capitalize() }}:{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<image>{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
TURNS = (
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<start_of_image>{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'].capitalize() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<image_placeholder>{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
TEMPLATES = dict.fromkeys(QWEN, CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")) | {
    "internvl": CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
    "llava_onevision": CHATML.replace("IMAGE", "<image>"),
    "llava": VICUNA,
    "llava_next": VICUNA,
    "idefics3": UTTERANCES.replace("BEGIN", ""),
    "smolvlm": UTTERANCES.replace("BEGIN", "<|im_start|>"),
    "gemma3": "<bos>" + TURNS,
    "paligemma": BARE,
    "glm4v": "[gMASK]<sop>"
    + TURNS.replace("<start_of_turn>{{ m['role'] }}", "<|{{ m['role'] }}|>")
    .replace("<start_of_image>", "<|begin_of_image|><|image|><|end_of_image|>")
    .replace("<end_of_turn>\n", "")
    .replace("<start_of_turn>model", "<|assistant|>"),
    "deepseek_vl": PLAIN,
    "deepseek_vl_hybrid": PLAIN,
}
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<image>",
    "<video>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
)
MERGED = ('":', "],", "[[", "]]", " [", " {", "bb", "ox", "bbox", "_2", "_2d", " box", "the", " the", "ed", " red")
"""Tokens of more than one character that the tiny byte-level tokenizer has, fused punctuation among them."""


def _characters() -> dict[int, str]:
    """The 256 printable stand-ins of a byte-level BPE."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


GLM = (
    *("<|image|>", "<|begin_of_image|>", "<|end_of_image|>", "<|video|>", "<|begin_of_video|>", "<|end_of_video|>"),
    *("[gMASK]", "<sop>", "<|user|>", "<|assistant|>"),
)
UTTERED = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<|im_start|>")


@functools.cache
def byte_level_tokenizer(special: tuple[str, ...] = SPECIAL, image: str | None = None) -> PreTrainedTokenizerBase:
    """A real `Qwen2Tokenizer`: 256 bytes, a few merges, the special tokens of most byte-level families, or others."""
    characters = _characters()
    vocabulary = {character: i for i, character in enumerate(characters.values())}
    merges: list[tuple[str, str]] = []
    for text in MERGED:
        pieces = [characters[byte] for byte in text.encode()]
        while len(pieces) > 1:
            known = [i for i in range(len(pieces) - 1) if pieces[i] + pieces[i + 1] in vocabulary]
            at = known[0] if known else 0
            if not known:
                merges.append((pieces[at], pieces[at + 1]))
                vocabulary[pieces[at] + pieces[at + 1]] = len(vocabulary)
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        model_max_length=8192,
        extra_special_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        }
        | ({} if image is None else {"image_token": image}),
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


@functools.cache
def llama_tokenizer() -> PreTrainedTokenizerBase:
    """A real `LlamaTokenizer`: sentencepiece-like, with a space marker and byte fallback."""
    printable = ["▁", *(chr(i) for i in range(33, 127))]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *printable, "▁t", "th", "▁th", "box"]
    tokenizer = transformers.LlamaTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)},
        merges=[("▁", "t"), ("t", "h"), ("▁t", "h"), ("▁", "th")],
        pad_token="<unk>",
        add_bos_token=True,
        model_max_length=8192,
    )
    tokenizer.add_tokens([AddedToken("<image>", special=True, normalized=False)])
    return tokenizer


@functools.cache
def gemma_tokenizer(image: str = "<image_soft_token>") -> PreTrainedTokenizerBase:
    """A real `GemmaTokenizer`: as sentencepiece without a space before the text, two line ends in one token."""
    control = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    pieces = [*control, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "\n", *(chr(i) for i in range(33, 127))]
    merges = [("\n", "\n"), ("t", "h"), ("th", "e"), ("e", "d"), ("r", "ed")]
    tokenizer = transformers.GemmaTokenizer(
        vocab={piece: i for i, piece in enumerate([*pieces, *("".join(pair) for pair in merges)])},
        merges=merges,
        model_max_length=8192,
        extra_special_tokens={
            "image_token": image,
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
    )
    tokenizer.add_tokens([AddedToken(token, special=True) for token in ("<start_of_turn>", "<end_of_turn>")])
    if image == "<image>":  # as PaliGemma's processor does to the tokenizer that it is given
        tokenizer.add_tokens([*(f"<loc{i:04}>" for i in range(1024)), *(f"<seg{i:03}>" for i in range(128))])
        tokenizer.add_bos_token = False
    return tokenizer


def tiny_tokenizer(model_type: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a family's tiny model."""
    if model_type in ("idefics3", "smolvlm"):
        return byte_level_tokenizer(UTTERED)
    if model_type == "gemma3":
        return gemma_tokenizer()
    if model_type == "paligemma":
        return gemma_tokenizer(image="<image>")
    if model_type == "glm4v":
        return byte_level_tokenizer(GLM)
    if model_type.startswith("deepseek"):
        return byte_level_tokenizer(("<|im_end|>",), image="<image_placeholder>")
    return llama_tokenizer() if model_type in ("llava", "llava_next") else byte_level_tokenizer()


QWEN_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
"""Ids 151643 and up of the Qwen2.5 tokenizer."""


@functools.cache
def qwen_tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of Qwen2-VL, Qwen2.5-VL and Qwen2.5 (licence beside the file), without its tokens for tools."""
    lines = lzma.decompress((DATA / "tokenizers" / "qwen2.5-merges.txt.xz").read_bytes()).decode().split("\n")
    merges = [tuple(line.split(" ")) for line in lines]
    pieces = [*_characters().values(), *("".join(pair) for pair in merges)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, unk_token=None)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in QWEN_SPECIAL])
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer
