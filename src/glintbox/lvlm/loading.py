"""From a checkpoint folder or hub name to a model that is ready to ask: weights, processor, family and card."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm import seams
from glintbox.lvlm.api import ModelCard
from glintbox.lvlm.families import Family, family_of
from glintbox.lvlm.placing import BALANCED, device_of, moved, over_gpus, refuse_scattered
from glintbox.lvlm.processors import load_processor, pixel_budget
from glintbox.lvlm.source import Source, model_type_of, opening, source_of
from glintbox.prompts import PROMPTS
from glintbox.records import Setting, Watch

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Loaded(NamedTuple):
    """A model ready to ask: in evaluation mode, under SDPA, without gradients.

    prompt: name of its default prompt: the family's, or what a checkpoint names as "glintbox_prompt" in config.json.
    """

    model: Any
    processor: Any
    tokenizer: Any
    family: Family
    card: ModelCard
    prompt: str


def load(
    name_or_folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    weights: bool = True,
) -> Loaded:
    """Load a checkpoint folder or a hub name ("Qwen/Qwen2.5-VL-7B-Instruct").

    device: "auto" takes the GPU where there is one, `BALANCED` all of them. dtype: "auto" is the checkpoint's own.
    revision: hub only. weights: False reads only configuration, tokenizer and processor: enough to make prompts, and no
    head is usable.

    Raises:
        BadInput: no such folder, a part of it is missing or damaged, the hub does not give it, or no such device or
            dtype.
        UnknownName: a model type without a family (lists those there are), or a prompt name that does not exist.
        BadContract: weights that do not fill the model, no chat template, or no layer with a global attention map.
        MissingExtra: `BALANCED` without accelerate.
        OutOfMemory: the device does not hold the weights.
    """
    place, kind = device_of(device), dtype_of(dtype)
    split = over_gpus() if device == BALANCED and weights else {}
    source = source_of(name_or_folder, revision, weights=weights)
    config, processor = _settings(source)
    if not weights:
        return _unweighted(assemble(_hollow(source, config), processor, id=source.id, revision=source.revision))
    options = dict(attn_implementation="sdpa", dtype=own_dtype(config, kind), **split)
    with opening("weights", source), seams.within_memory(lambda: f"the devices do not hold the weights of {source.id}"):
        model = weights_of(source, config, AutoModelForImageTextToText, **options)
    there = model if split else moved(model, place, source.id)
    return assemble(there, processor, id=source.id, revision=source.revision)


def _hollow(source: Source, config: Any) -> Any:
    """The model without its weights: its class, and which tokens end its answers."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    try:
        model.generation_config = GenerationConfig.from_pretrained(source.place, revision=source.commit)
    except OSError:
        logger.debug("%s has no generation settings of its own", source.id)
    return model


def _unweighted(loaded: Loaded) -> Loaded:
    """The same, with no usable layer."""
    why = dict.fromkeys(range(loaded.card.layers), "its weights were not loaded")
    return loaded._replace(card=replace(loaded.card, usable=(), excluded=why))


def setting_of(name_or_folder: str | Path, *, revision: str | None = None) -> Setting:
    """The setting under which a checkpoint's own artefacts hold, as `load` would find it; no weights are loaded.

    Raises:
        BadInput, UnknownName: as `load`.
    """
    source = source_of(name_or_folder, revision)
    config, processor = _settings(source)
    return Setting(
        model=source.id,
        revision=source.revision,
        model_type=config.model_type,
        prompt=_prompt(config),
        view=Watch().view,
        pixels=pixel_budget(processor),
        moment=Watch().moment,
    )


def _settings(source: Source) -> tuple[Any, Any]:
    """Configuration and processor: everything but the weights."""
    family_of(model_type_of(source))
    with opening("a configuration", source):
        config = AutoConfig.from_pretrained(source.place, revision=source.commit)
    with opening("tokenizer and processor settings", source):
        processor = load_processor(source.place, config, source.commit)
    if processor.chat_template is None:
        processor.chat_template = family_of(config.model_type).template
    return config, processor


def assemble(model: Any, processor: Any, *, id: str, revision: str) -> Loaded:
    """Join a model and its processor that are in memory; errors as in `load`."""
    config = model.config
    family = family_of(config.model_type)
    _refuse_unusable(model, processor, id)
    text = config.get_text_config()
    excluded = _excluded_layers(text)
    usable = tuple(layer for layer in range(text.num_hidden_layers) if layer not in excluded)
    if not usable:
        raise BadContract(f"expected a layer of {id} with a global attention map, got: {excluded[0]}, in every layer")
    card = ModelCard(
        id=id,
        revision=revision,
        model_type=config.model_type,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        usable=usable,
        excluded=excluded,
        views=family.view_names,
        pixels=pixel_budget(processor),
    )
    ready = model.eval().requires_grad_(False)
    return Loaded(ready, processor, processor.tokenizer, family, card, _prompt(config))


def _prompt(config: Any) -> str:
    """The default prompt's name: what the checkpoint names, else its family's."""
    prompt = getattr(config, "glintbox_prompt", family_of(config.model_type).prompt)
    if prompt not in PROMPTS:
        raise UnknownName("prompt", prompt, PROMPTS)
    return str(prompt)


def _refuse_unusable(model: Any, processor: Any, id: str) -> None:
    """Refuse what would fail later in words that nobody understands."""
    if getattr(processor, "chat_template", None) is None:
        raise BadContract(
            f"expected a chat template with {id}, got none in chat_template.jinja, chat_template.json or "
            "tokenizer_config.json; put the one of the model's authors there"
        )
    cap = getattr(model.config.get_text_config(), "attn_logit_softcapping", None)
    if cap is not None:
        raise BadContract(
            f"expected attention of {id} as a plain softmax, got scores that are capped at {cap} first, which SDPA "
            "does not do; use a model without attn_logit_softcapping"
        )
    if getattr(processor, "patch_size", 0) is None:
        raise BadContract(f"expected a patch_size with {id}, got none in processor_config.json; put the model's there")
    refuse_scattered(model, id)


def eos_ids(loaded: Loaded) -> frozenset[int]:
    """Token ids that end an answer: of the generation settings, one or a list, and the tokenizer's own.

    A configured id that is an ordinary word of the tokenizer is a configuration class's default and is left out: it
    would end answers in the middle.

    Raises:
        BadContract: no such id is known.
    """
    tokenizer = loaded.tokenizer
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    settings: GenerationConfig = loaded.model.generation_config
    found: set[int] = set()
    for value in (settings.eos_token_id, loaded.model.config.get_text_config().eos_token_id, tokenizer.eos_token_id):
        found |= set(value if isinstance(value, list | tuple) else [value])
    found = {id for id in found if id in special}
    if not found:
        raise BadContract(f"expected an end-of-text token with {loaded.card.id}, got none")
    return frozenset(found)


def dtype_of(dtype: str | torch.dtype) -> str | torch.dtype:
    """One of `DTYPES` or "auto"; BadInput for any other."""
    name = str(dtype).removeprefix("torch.")
    if name != "auto" and name not in DTYPES:
        raise BadInput(f"expected dtype auto, {', '.join(DTYPES)}, got {name!r}; choose one of these")
    return DTYPES.get(name, "auto")


def own_dtype(config: Any, kind: str | torch.dtype) -> str | torch.dtype:
    """`kind`, or the checkpoint's own for "auto"."""
    return kind if kind != "auto" else dtype_of(config.dtype or "auto")


def weights_of(source: Source, config: Any, kind: Any, **options: Any) -> Any:
    """The weights in their class, which `kind`, one of transformers' Auto classes, finds.

    transformers fills weights that a checkpoint lacks with random numbers and only logs it; here it is BadContract.
    """
    model, report = kind.from_pretrained(
        source.place, config=config, revision=source.commit, output_loading_info=True, **options
    )
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise BadContract(
            f"expected weights for all of {type(model).__name__}, got none that fit for {len(lacking)} of them: "
            f"{', '.join(lacking[:3])}…; the checkpoint is of another model or incomplete"
        )
    return model


def _excluded_layers(text: Any) -> dict[int, str]:
    """Layers without a softmax map over the whole prompt, and why."""
    window = getattr(text, "sliding_window", None)
    if getattr(text, "use_sliding_window", True) is False:
        window = None
    kinds = getattr(text, "layer_types", None)
    if kinds is None:
        kinds = ["sliding_attention" if window else "full_attention"] * text.num_hidden_layers
    reasons = {
        "sliding_attention": f"sliding attention over the last {window} tokens",
        "chunked_attention": f"chunked attention over {getattr(text, 'attention_chunk_size', None)} tokens",
        "linear_attention": "linear attention, which has no attention map",
    }
    excluded = {}
    for layer, kind in enumerate(kinds):
        wide_enough = kind == "sliding_attention" and window and window >= text.max_position_embeddings
        if kind != "full_attention" and not wide_enough:
            excluded[layer] = reasons.get(kind, f"{kind}, of which nothing is known here")
    return excluded
