"""Where the weights of a model lie: on one device, or their layers on several GPUs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from glintbox.errors import BadContract, BadInput, MissingExtra, OutOfMemory
from glintbox.lvlm import seams

BALANCED = "balanced"
"""A device that is several: the layers, in order, over all GPUs that torch sees."""


def device_of(device: str | torch.device) -> torch.device:
    """The device of a name, where there is one the GPU for "auto", and the first of several for `BALANCED`.

    Raises:
        BadInput: this machine has no such device.
    """
    if device in ("auto", BALANCED):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without this kind of device
        known = f"auto, cpu, cuda, cuda:1 …, {BALANCED}"
        raise BadInput(f"expected a device that this machine has ({known}), got {str(device)!r}: {error}") from error


def moved(model: Any, device: torch.device, id: str) -> Any:
    """A model on a device; OutOfMemory where it does not fit."""
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters()) / 2**30
    told = (
        f"{device} does not hold the weights of {id}, {size:.1f} GiB in {model.dtype}; "
        "use dtype bfloat16, another device or a smaller model"
    )
    with seams.within_memory(lambda: told):
        return model.to(device)


def over_gpus() -> dict[str, str]:
    """What makes transformers put the layers on several GPUs.

    Raises:
        BadInput: there is no GPU.
        MissingExtra: accelerate, which moves what goes from one to the next, is not there.
    """
    if not torch.cuda.is_available():
        raise BadInput(
            f"expected GPUs to spread the layers over (device {BALANCED}), got none; use cpu, or a smaller model"
        )
    if find_spec("accelerate") is None:
        raise MissingExtra("accelerate", BALANCED)
    return {"device_map": BALANCED}


def refuse_scattered(model: Any, id: str) -> None:
    """Accept layers on several devices, each whole; not parts of layers, and none that waits elsewhere.

    Raises:
        OutOfMemory: weights are left in main memory or on disk.
        BadContract: tensor parallelism, or weights that nothing moves the tokens to.
    """
    places, parts = sorted({str(weight.device) for weight in model.parameters()}), getattr(model, "tp_size", None) or 1
    if len(places) > 1 and "meta" in places:
        raise OutOfMemory(
            f"expected the weights of {id} on devices, got a part of them left in main memory or on disk, from where "
            "every single token would fetch them; use more or larger GPUs, dtype bfloat16, or a smaller model"
        )
    if parts > 1 or (len(places) > 1 and not hasattr(model, "hf_device_map")):
        raise BadContract(
            f"expected every layer of {id} whole, all on one device or placed by device {BALANCED}, got {parts} parts "
            f"on {', '.join(places)}; load it without tensor parallelism, and let transformers place it"
        )
