"""From a checkpoint folder or hub name to a model that is ready to ask: weights, processor, family and card."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

from glintbox.artifacts import REGRESSOR_FILE
from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm import seams
from glintbox.lvlm.api import ModelCard
from glintbox.lvlm.families import Family, family_of
from glintbox.lvlm.processors import load_processor, pixel_budget
from glintbox.prompts import PROMPTS

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = ("*.safetensors", "*.bin")
SETTINGS = (".json", ".jinja", ".txt", ".model")
SAMPLED = 1 << 16
"""Bytes of each of the pieces of a large weights file that go into a folder's hash."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_DAMAGED = (OSError, ValueError, ImportError, AttributeError, SafetensorError, StrictDataclassError)
"""What transformers throws at files that are missing, damaged, or in need of a package that is not installed."""


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


class Source(NamedTuple):
    """Where a checkpoint lies and by which id and revision artefacts remember it."""

    place: str
    settings: Path
    id: str
    revision: str
    commit: str | None


def load(
    name_or_folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
) -> Loaded:
    """Load a checkpoint folder or a hub name ("Qwen/Qwen2.5-VL-7B-Instruct").

    device: "auto" takes the GPU where there is one. dtype: "auto" is the checkpoint's own. revision: hub only.

    Raises:
        BadInput: no such folder, a part of it is missing or damaged, the hub does not give it, or no such device or
            dtype.
        UnknownName: a model type without a family (lists those there are), or a prompt name that does not exist.
        BadContract: weights that do not fill the model, no chat template, or no layer with a global attention map.
        OutOfMemory: the device does not hold the weights.
    """
    place, kind = _device(device), _dtype(dtype)
    on_hub = _is_hub_name(name_or_folder)
    source = _hub_source(str(name_or_folder), revision) if on_hub else _folder_source(name_or_folder)
    family_of(_model_type(source))
    with _opening("a configuration", source):
        config = AutoConfig.from_pretrained(source.place, revision=source.commit)
    with _opening("tokenizer and processor settings", source):
        processor = load_processor(source.place, config, source.commit)
    with _opening("weights", source):
        model = _model(source, config, kind if kind != "auto" else _dtype(config.dtype or "auto"))
    return assemble(_moved(model, place, source.id), processor, id=source.id, revision=source.revision)


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
    prompt = getattr(config, "glintbox_prompt", family.prompt)
    if prompt not in PROMPTS:
        raise UnknownName("prompt", prompt, PROMPTS)
    return Loaded(model.eval().requires_grad_(False), processor, processor.tokenizer, family, card, prompt)


def _refuse_unusable(model: Any, processor: Any, id: str) -> None:
    """Refuse what would fail later in words that nobody understands."""
    if getattr(processor, "chat_template", None) is None:
        raise BadContract(
            f"expected a chat template with {id}, got none in chat_template.jinja, chat_template.json or "
            "tokenizer_config.json; put the one of the model's authors there"
        )
    if getattr(processor, "patch_size", 0) is None:
        raise BadContract(f"expected a patch_size with {id}, got none in processor_config.json; put the model's there")
    places, parts = sorted({str(weight.device) for weight in model.parameters()}), getattr(model, "tp_size", None) or 1
    if len(places) > 1 or parts > 1:
        raise BadContract(
            f"expected all of {id} on one device, got {parts} parts on {', '.join(places)}; load it without "
            "device_map, offloading and tensor parallelism"
        )


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


def _is_hub_name(name: str | Path) -> bool:
    return isinstance(name, str) and HUB_NAME.fullmatch(name) is not None and not Path(name).expanduser().exists()


def _folder_source(name_or_folder: str | Path) -> Source:
    """A folder; its id does not depend on where it lies: its name and a hash of what is in it."""
    folder = Path(name_or_folder).expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"expected a checkpoint folder or a hub name like owner/name, got {str(name_or_folder)!r}")
    if not (folder / "config.json").is_file():
        raise BadInput(f"expected a checkpoint folder with a config.json, got {folder}")
    if not any(_weights(folder)):
        raise BadInput(f"expected weights (*.safetensors) in {folder}, got none")
    digest = _fingerprint(folder)
    return Source(str(folder), folder / "config.json", f"{folder.name}@{digest}", digest, None)


def _hub_source(name: str, revision: str | None) -> Source:
    """A hub name at one commit, so that all files are of the same state; from the cache where there is no network."""
    try:
        settings = Path(hf_hub_download(name, "config.json", revision=revision))
    except (OSError, ValueError) as error:
        raise BadInput(f"expected {name} on the Hugging Face hub or in its cache, got: {error}") from error
    commit = settings.parent.name
    return Source(name, settings, name, commit, commit)


def _model_type(source: Source) -> str:
    try:
        return str(json.loads(source.settings.read_text())["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"expected a config.json with a model_type in {source.id}, got {error!r}") from error


def _weights(folder: Path) -> Iterator[Path]:
    """The model's weights; a regressor that lies beside them is none of them."""
    for pattern in WEIGHTS:
        yield from sorted(path for path in folder.glob(pattern) if path.name != REGRESSOR_FILE)


def _settings(folder: Path) -> Iterator[Path]:
    """What beside the weights decides answers: configuration, processor, tokenizer, chat template; no artefact."""
    for path in sorted(folder.iterdir()):
        if path.suffix in SETTINGS and not path.name.startswith("glintbox_"):
            yield path


def _fingerprint(folder: Path) -> str:
    """Hash of all that decides answers: settings whole, of weights their size and 64 pieces spread over them."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path in _settings(folder):
        digest.update(path.name.encode() + path.read_bytes())
    for path in _weights(folder):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for piece in range(64):
                file.seek(piece * size // 64)
                digest.update(file.read(min(SAMPLED, size // 64 + 1)))
    return digest.hexdigest()[:12]


@contextmanager
def _opening(part: str, source: Source) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise BadInput(f"expected {part} of {source.id}, got: {error}") from error


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without this kind of device
        raise BadInput(
            f"expected a device that this machine has (auto, cpu, cuda, cuda:1 …), got {str(device)!r}: {error}"
        ) from error


def _dtype(dtype: str | torch.dtype) -> str | torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name != "auto" and name not in DTYPES:
        raise BadInput(f"expected dtype auto, {', '.join(DTYPES)}, got {name!r}; choose one of these")
    return DTYPES.get(name, "auto")


def _moved(model: Any, device: torch.device, id: str) -> Any:
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters()) / 2**30
    told = (
        f"{device} does not hold the weights of {id}, {size:.1f} GiB in {model.dtype}; "
        "use dtype bfloat16, another device or a smaller model"
    )
    with seams.within_memory(lambda: told):
        return model.to(device)


def _model(source: Source, config: Any, dtype: str | torch.dtype) -> Any:
    """The weights in their class.

    transformers fills weights that a checkpoint lacks with random numbers and only logs it; here it is an error.
    """
    model, report = AutoModelForImageTextToText.from_pretrained(
        source.place,
        config=config,
        dtype=dtype,
        revision=source.commit,
        attn_implementation="sdpa",
        output_loading_info=True,
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
