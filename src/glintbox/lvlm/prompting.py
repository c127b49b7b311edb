"""From a picture and a query to a `Prompt`: chat template, one run of the processor, where image and query stand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from PIL.Image import Image
from torch import Tensor

from glintbox.boxes import Size
from glintbox.errors import BadContract, BadInput
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.families import checked_views
from glintbox.lvlm.grids import image_columns
from glintbox.lvlm.loading import Loaded
from glintbox.lvlm.processors import refuse_extreme_shape
from glintbox.prompts import Told, tell

TEXT_ONLY = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids", "labels")
"""Inputs that depend on the words; all others are the picture's."""

UNUSED = ("input_ids", "labels")
"""Inputs that no forward pass takes beside the ids; labels would make it compute a loss."""


class Said(NamedTuple):
    """Positions of the query's tokens in the whole prompt, and the characters [a, b) of the query that each is of."""

    tokens: range
    spans: tuple[tuple[int, int], ...]


class Chat(NamedTuple):
    """The rendered chat, its image token not yet repeated; special: add BOS.

    said: characters [a, b) of the query, or of the answer where that is begun.
    """

    text: str
    said: tuple[int, int]
    special: bool


def make_prompt(loaded: Loaded, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
    """Make an upright RGB picture and a query ready; `text` names a prompt of `prompts.PROMPTS`.

    Raises:
        BadInput: a query that is empty, too long or holds a special token; a picture too narrow; a prompt too long.
        UnknownName: no such prompt.
        BadContract: the processor's tokens do not fit the family's grids.
    """
    size = Size(*image.size)
    refuse_extreme_shape(size)
    _refuse_special(loaded.tokenizer, query)
    told = tell(text or loaded.prompt, query)
    chat = _chat(loaded, told)
    inputs = dict(
        loaded.processor(text=[chat.text], images=[image], return_tensors="pt", add_special_tokens=chat.special)
    )
    config = loaded.model.config
    ids = inputs["input_ids"][0]
    _refuse_long(ids, config.get_text_config().max_position_embeddings)
    columns = _some_columns(inputs, config)
    views = checked_views(loaded.family, inputs, size, loaded.processor, config)
    said = _said(loaded, chat, ids, columns)
    return Prompt(
        id=id,
        image=size,
        query=query,
        ids=ids,
        tensors={name: value for name, value in inputs.items() if name not in UNUSED},
        shared=0 if loaded.family.prefix else _shared(loaded.tokenizer, ids, int(columns[-1])),
        said=said.tokens,
        spans=() if told.begun else said.spans,
        frame=loaded.family.frame(inputs, size, loaded.processor, config),
        views=views,
        fingerprint=_fingerprint(inputs),
        thinking=_thinks(chat),
        coordinate_token=loaded.family.coordinate_token,
        prefix=loaded.family.prefix,
    )


def _chat(loaded: Loaded, told: Told) -> Chat:
    """The chat template around image and text, and the answer's beginning behind it."""
    content = [{"type": "image"}, {"type": "text", "text": told.text}]
    try:
        text = loaded.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    except (TemplateError, TypeError) as error:
        raise BadContract(f"expected a chat template for an image and a text, got one that fails: {error}") from error
    start = text.rfind(told.text)
    if start < 0:
        raise BadContract("expected a chat template that keeps the user's text as it is, got a text without it")
    bos = loaded.tokenizer.bos_token
    # a template that writes the token of the text's beginning itself must not get a second one
    special = bos is None or not text.startswith(bos)
    if not told.begun:
        return Chat(text, (start + told.said[0], start + told.said[1]), special)
    chat = Chat(text + told.begun, (len(text), len(text) + len(told.begun)), special)
    if _thinks(Chat(text, (start, start + len(told.text)), special)):
        raise BadInput("expected a model that answers at once to begin its answer, got one that thinks first")
    return chat


def _some_columns(inputs: Mapping[str, Tensor], config: Any) -> Tensor:
    columns = image_columns(inputs, config)
    if not len(columns):
        raise BadContract(
            f"expected image tokens of id {config.image_token_id} in the prompt, got none; "
            "a file of the tokenizer is missing or belongs to another model"
        )
    return columns


def _special(tokenizer: Any) -> dict[int, str]:
    """Control tokens by id, also those that the tokenizer has no role for (the marks around an image)."""
    return {id: token.content for id, token in tokenizer.added_tokens_decoder.items() if token.special}


def _refuse_special(tokenizer: Any, query: str) -> None:
    """A query that holds "<image>" would be taken for a picture."""
    for token in _special(tokenizer).values():
        if token in query:
            raise BadInput(f"expected a query in plain words, got one with the special token {token!r}; leave it out")


def _refuse_long(ids: Tensor, limit: int) -> None:
    if len(ids) > limit:
        raise BadInput(
            f"expected a prompt of at most {limit} tokens, got {len(ids)}; show a smaller picture, or say less"
        )


def _said(loaded: Loaded, chat: Chat, ids: Tensor, columns: Tensor) -> Said:
    """Where the query stands in the whole prompt.

    The chat is tokenized once more with its single image token, whose offsets are characters of the chat; from the
    query on both have the same tokens, which is checked.
    """
    text = chat.text + loaded.family.closing
    plain = loaded.tokenizer(text, add_special_tokens=chat.special, return_offsets_mapping=True)
    first, last = chat.said
    hit = [i for i, (start, end) in enumerate(plain["offset_mapping"]) if start < last and end > first]
    tail = plain["input_ids"][hit[0] :] if hit else []
    if not tail or len(ids) - len(tail) <= int(columns[-1]) or tail != ids[-len(tail) :].tolist():
        raise BadContract("expected the query behind the image in the prompt, got a chat template with another order")
    shift = len(ids) - len(plain["input_ids"])
    offsets = (plain["offset_mapping"][i] for i in range(hit[0], hit[-1] + 1))
    spans = tuple((max(start - first, 0), min(end, last) - first) for start, end in offsets)
    return Said(range(hit[0] + shift, hit[-1] + shift + 1), spans)


def _shared(tokenizer: Any, ids: Tensor, last_column: int) -> int:
    """Number of tokens up to the image's end: its last token and the end mark that may follow it."""
    behind = last_column + 1
    return behind + int(behind < len(ids) and int(ids[behind]) in _special(tokenizer))


def _fingerprint(inputs: Mapping[str, Tensor]) -> str:
    """Hash of the picture as the model gets it."""
    digest = hashlib.sha1(usedforsecurity=False)
    for name in sorted(set(inputs) - set(TEXT_ONLY)):
        value = inputs[name]
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _thinks(chat: Chat) -> bool:
    """Whether the template opens a thought that the answer has to close."""
    behind = chat.text[chat.said[1] :]
    return behind.rfind("<think>") > behind.rfind("</think>")
