"""Several devices on a machine that has one: tensors that lie on the CPU and say that they lie elsewhere.

As with real devices, what two of them hold does not meet: an operation on tensors of two raises, and only `to` and
`copy_` go from one to the other. torch's name for a kind of device that it has no code for stands for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("pretend")
FIRST, SECOND = torch.device("pretend:0"), torch.device("pretend:1")
CPU = torch.device("cpu")
aten = torch.ops.aten

CROSSING = {aten._to_copy.default, aten.copy_.default}
"""What goes from one device to another."""

BESIDE = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""What takes places on the CPU beside values elsewhere, also on a GPU."""


class Elsewhere(torch.Tensor):
    """A tensor whose values lie in `numbers`, on the CPU, and that belongs to another device."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, device: torch.device) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=device,
        )  # fmt: skip
        made.numbers = inner
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.numbers!r} on {self.device}"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own stub leaves `func` out
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """What torch does without an operation."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.tensor and options.get("device") is not None:
            device = options.pop("device")
            return torch.tensor(*args, **options).to(device)
        if func is torch.Tensor.tolist:
            return args[0].cpu().tolist() if isinstance(args[0], Elsewhere) else func(*args)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            held, places, *value = args
            several = places if isinstance(places, tuple) else (places,)
            args = (held, tuple(torch.tensor(one) if isinstance(one, list) else one for one in several), *value)
        return func(*args, **options)


@contextmanager
def two_devices() -> Iterator[None]:
    """While it is open, tensors can be made on `FIRST` and `SECOND` and moved there."""
    with _Operations(), _Calls():
        yield


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the CPU, its results where its arguments are, or where it was asked to put them."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    places = {one.device for one in tensors if isinstance(one, Elsewhere) or one.dim()}
    if func in BESIDE and len(places) > 1:
        places.discard(CPU)
    if len(places) > 1 and func not in CROSSING:
        raise RuntimeError(f"expected all tensors on one device, got {sorted(map(str, places))} in {func}")
    wanted = kwargs.get("device")
    if func is aten.copy_.default:
        place = args[0].device
    else:
        place = torch.device(wanted) if wanted is not None else next((p for p in places if p != CPU), CPU)
    if wanted is not None:
        kwargs = kwargs | {"device": CPU}
    inner_args, inner_kwargs = tree_map_only(Elsewhere, lambda one: one.numbers, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    if place == CPU:
        return out
    own = {id(one.numbers): one for one in tensors if isinstance(one, Elsewhere)}
    return tree_map_only(torch.Tensor, lambda one: own[id(one)] if id(one) in own else Elsewhere(one, place), out)
