"""Tensors in JSON to the last digit: a gradient of 1e-7 is no zero."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor

EXACT = (
    PlainValidator(lambda value: value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, np.float64))),
    PlainSerializer(lambda tensor: tensor.tolist(), return_type=list),
)
"""Annotates a float64 tensor: `Annotated[Float[Tensor, "..."], *EXACT]`. NaN stands in JSON as null."""
