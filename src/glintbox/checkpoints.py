"""A training that can be stopped at any byte: tensors and words in one safetensors file, the old one or the new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from glintbox.artifacts import write_whole
from glintbox.errors import BadInput

FILE = "checkpoint.safetensors"
WORDS = "state"


class Kept(NamedTuple):
    """What a training needs to go on: its tensors by name, and everything else as JSON text."""

    tensors: Mapping[str, Tensor]
    words: str


def keep(state: Kept, path: Path) -> None:
    """Write a state in place of the one before.

    Raises:
        BadInput: the disk is full or the folder cannot be written; the state before stays.
    """
    content = save({name: value.contiguous().cpu() for name, value in state.tensors.items()}, {WORDS: state.words})
    try:
        write_whole(path, content)
    except OSError as error:
        raise BadInput(
            f"could not keep the state of the training in {path}: {error}; "
            "finished epochs are kept, make room and run again to go on"
        ) from error


def kept(path: Path) -> Kept | None:
    """The state that was kept, or None where there is none.

    Raises:
        BadInput: the file holds no state.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            return Kept({name: file.get_tensor(name) for name in file.keys()}, file.metadata()[WORDS])  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise BadInput(f"expected the state of a training in {path}, got: {error}; remove it to begin anew") from error


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names that begin with `prefix`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def unnamed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that an optimiser remembers of its steps, as tensors named "parameter.what"."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{name}": torch.as_tensor(value) for k, of in state.items() for name, value in of.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`; rates and the like stay as they are."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        place, _, what = name.partition(".")
        like = weights[int(place)]
        # in the memory format of the weight: fused steps go through both as they lie in memory
        there = torch.empty_like(like).copy_(value) if value.shape == like.shape else value.clone()
        state.setdefault(int(place), {})[what] = there
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
