"""Pictures and queries in pairs, as `Grounder` takes them: one or lists of either, and the names of their results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from glintbox.errors import BadInput
from glintbox.images import open_image

Picture = str | Path | Image | npt.NDArray[Any]


class Opened:
    """Opens pictures, the same one only once in a row."""

    def __init__(self) -> None:
        self._last: tuple[Picture, Image] | None = None

    def __call__(self, picture: Picture) -> Image:
        """The picture, upright, RGB."""
        if self._last is None or self._last[0] is not picture:
            self._last = (picture, open_image(picture))
        return self._last[1]


def names_of(pairs: Sequence[tuple[Picture, str]], ids: Sequence[str] | None) -> Sequence[str]:
    """One id per pair: the given ones, or the stem of a path, or the content of a picture in memory.

    Raises:
        BadInput: not one id per pair.
    """
    names = ids if ids is not None else [_name(picture) for picture, _ in pairs]
    if len(names) != len(pairs):
        raise BadInput(f"expected one id per pair of picture and query, got {len(names)} for {len(pairs)}")
    return names


def _name(picture: Picture) -> str:
    """The stem of a path; of a picture in memory its content, so that its noise does not depend on its place."""
    if isinstance(picture, str | Path):
        return Path(str(picture)).stem
    return f"image-{hashlib.sha256(np.asarray(picture).tobytes()).hexdigest()[:8]}"


def pairs_of(image: Picture | Sequence[Picture], query: str | Sequence[str]) -> tuple[list[tuple[Picture, str]], bool]:
    """Pairs of picture and query, and whether both are single.

    Raises:
        BadInput: lists of unequal length.
    """
    many_images = isinstance(image, Sequence) and not isinstance(image, str)
    many_queries = not isinstance(query, str)
    images = list(image) if many_images else repeat(image)  # type: ignore[arg-type]  # told apart just above
    queries = list(query) if many_queries else repeat(query)
    if many_images and many_queries and len(image) != len(query):  # type: ignore[arg-type]
        raise BadInput(f"expected as many queries as images, got {len(query)} and {len(image)}")  # type: ignore[arg-type]
    if not (many_images or many_queries):
        return [(image, query)], True  # type: ignore[list-item]
    return list(zip(images, queries, strict=False)), False  # type: ignore[arg-type]
