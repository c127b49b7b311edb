"""Where a checkpoint lies, and the id and revision by which its artefacts remember it: a folder, or the hub."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from glintbox.artifacts import REGRESSOR_FILE
from glintbox.errors import BadInput

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = ("*.safetensors", "*.bin")
SETTINGS = (".json", ".jinja", ".txt", ".model")
SAMPLED = 1 << 16
"""Bytes of each of the pieces of a large weights file that go into a folder's hash."""

_DAMAGED = (OSError, ValueError, ImportError, AttributeError, SafetensorError, StrictDataclassError)
"""What transformers throws at files that are missing, damaged, or in need of a package that is not installed."""


class Source(NamedTuple):
    """Where a checkpoint lies and by which id and revision artefacts remember it."""

    place: str
    settings: Path
    id: str
    revision: str
    commit: str | None


def source_of(name_or_folder: str | Path, revision: str | None, *, weights: bool = True) -> Source:
    """A checkpoint folder, or a hub name ("Qwen/Qwen2.5-VL-7B-Instruct") at a revision; only its config is fetched.

    weights: whether a folder must hold them.

    Raises:
        BadInput: no such folder, a part of it is missing, or the hub does not give it.
    """
    on_hub = _is_hub_name(name_or_folder)
    return _hub_source(str(name_or_folder), revision) if on_hub else _folder_source(name_or_folder, weights)


def _is_hub_name(name: str | Path) -> bool:
    return isinstance(name, str) and HUB_NAME.fullmatch(name) is not None and not Path(name).expanduser().exists()


def _folder_source(name_or_folder: str | Path, weights: bool) -> Source:
    """A folder; its id does not depend on where it lies: its name and a hash of what is in it."""
    folder = Path(name_or_folder).expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"expected a checkpoint folder or a hub name like owner/name, got {str(name_or_folder)!r}")
    if not (folder / "config.json").is_file():
        raise BadInput(f"expected a checkpoint folder with a config.json, got {folder}")
    if weights and not any(_weights(folder)):
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


def model_type_of(source: Source) -> str:
    """The `model_type` of its config.json."""
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
def opening(part: str, source: Source) -> Iterator[None]:
    """Turns what transformers throws at damaged files into BadInput that names the part."""
    try:
        yield
    except _DAMAGED as error:
        raise BadInput(f"expected {part} of {source.id}, got: {error}") from error
