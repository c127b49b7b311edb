"""Prompts on tiny real models, what transformers itself says of them, and the laws that the engine has to keep."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicCache

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.api import Answered, ModelCard, Prompt
from glintbox.lvlm.decode import answer
from glintbox.lvlm.decoder import Decoder
from glintbox.lvlm.families import FAMILIES
from glintbox.lvlm.prompting import UNUSED
from glintbox.lvlm.tap import tapped
from glintbox.records import Moment, Sampling, Site, Watch
from tests.lvlm.tiny import picture, tiny_model, tiny_processor
from tests.lvlm.tiny_text import tiny_tokenizer

TALL, WIDE = Size(112, 168), Size(196, 84)
FREE = Sampling(n=3, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=6)

tiny_model_once = functools.cache(tiny_model)


@functools.cache
def asked(model_type: str, query: str = "the red box", *, size: Size = TALL, seed: int = 0) -> Prompt:
    """A prompt from the family's real processor about a picture of noise."""
    words = [{"type": "image"}, {"type": "text", "text": f"Find {query}."}]
    processor = tiny_processor(model_type)
    text = processor.apply_chat_template([{"role": "user", "content": words}], add_generation_prompt=True)
    made = processor(text=[text], images=[picture(*size, seed)], return_tensors="pt")
    ids = made["input_ids"][0]
    image = (ids == tiny_model_once(model_type).config.image_token_id).nonzero()[:, 0]
    end = int(image[-1]) + 1
    cols = next(n for n in (4, 3, 5, 7, 2, 1) if len(image) % n == 0 and n * n != len(image))
    region = Box.whole(size)
    return Prompt(
        id=f"{query}/{seed}",
        image=size,
        query=query,
        ids=ids,
        tensors={name: value for name, value in made.items() if name not in UNUSED},
        shared=0 if FAMILIES[model_type].prefix else end,
        said=range(end + 2, len(ids) - 1),
        frame=CoordFrame(size, region),
        views={"default": View(image, TokenGrid(len(image) // cols, cols, region))},
        fingerprint=f"{model_type}{size}{seed}",
        prefix=FAMILIES[model_type].prefix,
    )


def spell(model_type: str, ids: Sequence[int]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Text and spans, one id at a time: enough where the words do not matter."""
    tokenizer = tiny_tokenizer(model_type)
    pieces = [tokenizer.decode([i]) for i in ids]
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    return "".join(pieces), tuple(zip([0, *ends[:-1]][: len(ends)], ends, strict=True))


def decoder_of(model_type: str, *, eos: Collection[int] = (), model: Any = None) -> Decoder:
    """A decoder over a tiny model of the family; by default no answer ends before its length."""
    model = model or tiny_model_once(model_type)
    text = model.config.get_text_config()
    layers = range(text.num_hidden_layers)
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * len(layers)
    excluded = {layer: "sliding window" for layer in layers if kinds[layer] != "full_attention"}
    card = ModelCard(
        id=model_type,
        revision="",
        model_type=model_type,
        layers=len(layers),
        heads=text.num_attention_heads,
        usable=tuple(layer for layer in layers if layer not in excluded),
        excluded=excluded,
        views=("default",),
        pixels="max_pixels=1003520",
    )
    return Decoder(model, card, frozenset(eos), functools.partial(spell, model_type))


def only(answers: Iterator[Answered]) -> Answered:
    """The first of an iterator, which stays open as long as the caller's iterator lives: keep a reference to it."""
    return next(answers)


def ids_of(answered: Answered) -> list[tuple[int, ...]]:
    """Token ids of all its answers."""
    return [response.ids for response in answered.responses]


def all_sites(answered: Answered) -> list[Site]:
    """Every token of every answer."""
    return [Site(r, t) for r, response in enumerate(answered.responses) for t in range(len(response.ids))]


@contextmanager
def attending(model: Any, implementation: str) -> Iterator[None]:
    """The whole model under another attention implementation."""
    model.set_attn_implementation(implementation)
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


@torch.no_grad()
def in_two_passes(model: Any, prompt: Prompt, ids: Sequence[int], **options: Any) -> list[Any]:
    """transformers' own outputs for the prompt and then for an answer, whatever ids it holds."""
    cache = DynamicCache()
    outputs = [model(input_ids=prompt.ids[None], **prompt.tensors, past_key_values=cache, use_cache=True, **options)]
    if len(ids):
        outputs.append(model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True, **options))
    return outputs


def eager_attention(model: Any, prompt: Prompt, ids: Sequence[int]) -> Tensor:
    """Attention of every head over prompt and answer, [head row col] with heads layer by layer, by transformers."""
    with attending(model, "eager"):
        outputs = in_two_passes(model, prompt, ids, output_attentions=True)
    parts = [torch.cat([weights[0].float() for weights in output.attentions]) for output in outputs]
    return torch.cat([functional.pad(part, (0, len(ids) + len(prompt.ids) - part.shape[2])) for part in parts], 1)


def plain_logits(model: Any, prompt: Prompt, ids: Sequence[int]) -> Tensor:
    """Logits after the prompt and after each token of an answer, by transformers under SDPA."""
    first, *rest = (output.logits[0].float() for output in in_two_passes(model, prompt, ids))
    return torch.cat([first[-1:], *rest])


def plain_greedy(model: Any, prompt: Prompt, tokens: int, eos: Sequence[int] = ()) -> list[int]:
    """What `generate` answers without sampling, its eos included."""
    ids = model.generate(
        input_ids=prompt.ids[None],
        **prompt.tensors,
        do_sample=False,
        max_new_tokens=tokens,
        min_new_tokens=None if eos else tokens,
        eos_token_id=list(eos) or None,
    )
    return list(ids[0, len(prompt.ids) :].tolist())


# ---- laws: each returns how far the engine is from what transformers says; a mutant has to be far


def rows_off(decoder: Decoder, prompt: Prompt, answered: Answered, moment: Moment = "predicting") -> float:
    """Largest difference between rows that were read and eager attention, over all answers, heads and cells."""
    columns = prompt.views["default"].columns
    worst = 0.0
    for number, response in enumerate(answered.responses):
        sites = [Site(number, token) for token in range(len(response.ids))]
        if not sites:
            continue
        read = answered.read(sites, Watch(moment=moment)).flatten(2)
        eager = eager_attention(decoder.model, prompt, response.ids).unflatten(0, (decoder.card.layers, -1))
        eager = eager[list(decoder.card.usable)].flatten(0, 1)
        first = len(prompt.ids) - (moment == "predicting")
        expected = eager[:, first : first + len(sites)][..., columns].transpose(0, 1)
        worst = max(worst, float((read - expected).abs().max()))
    return worst


def live_rows_off(decoder: Decoder, prompt: Prompt, moment: Moment = "predicting") -> float:
    """`rows_off` for answers drawn now."""
    answers = answer(decoder, [prompt], FREE, Watch(moment=moment))
    return rows_off(decoder, prompt, only(answers), moment)


def padding_off(model: Any, prompt: Prompt) -> float:
    """How much two masked tokens before a text-only prompt change its last logits under the tap."""
    words = prompt.ids[prompt.shared :]
    padded = torch.cat([words[:2].flip(0), words])[None]
    mask = torch.ones_like(padded)
    mask[:, :2] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with tapped(model), torch.no_grad():
        alone = model(input_ids=words[None], use_cache=False).logits[0, -1]
        beside = model(input_ids=padded, attention_mask=mask, position_ids=places, use_cache=False).logits[0, -1]
    return float((alone - beside).abs().max())
