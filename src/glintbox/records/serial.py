"""Records as JSON text and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import PlainSerializer, PlainValidator, TypeAdapter
from torch import Tensor

T = TypeVar("T")


def _tensor(value: Any) -> Tensor:
    """Nested lists as float32; JSON has no NaN, so it stands there as null."""
    return value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=np.float32))


AS_LIST = (
    PlainValidator(_tensor),
    PlainSerializer(lambda tensor: tensor.double().round(decimals=6).tolist(), return_type=list),
)


def to_json(record: object, *, indent: int | None = None) -> str:
    """Any record as JSON text; `from_json` is its inverse but for attention maps."""
    return _adapter(type(record)).dump_json(record, indent=indent).decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a record of `kind` back; raises pydantic.ValidationError with the offending field."""
    found: T = _adapter(kind).validate_json(text)
    return found


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # making one takes longer than using it
