"""Pickles of plain data: lists, dicts, text and numbers. One that would call anything is refused before it does.

A pickle is a small program; RefCOCO's expressions come as one. Plain data need no names of classes or functions, so any
name is refused, which is what Python's own documentation recommends for pickles of strangers.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from glintbox.errors import BadInput

_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""What damaged pickles throw, by the documentation of the module and by trying."""


class _Named(Exception):
    """A pickle asks for a class or function."""


class _Plain(pickle.Unpickler):
    """Builds what needs no names: None, bool, int, float, text, bytes, lists, tuples, dicts and sets."""

    def find_class(self, module: str, name: str) -> Any:
        raise _Named(f"{module}.{name}")


def load_plain(path: Path) -> Any:
    """The content of a pickle of plain data; byte strings of Python 2 are read as UTF-8.

    Raises:
        BadInput: no such file, no whole pickle, or one that names a class or function: none is called.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="utf-8").load()
    except _Named as error:
        raise BadInput(
            f"expected plain data in {path}, got a pickle that asks for {error}: refused before anything is called; "
            "fetch the file anew from where the dataset is published"
        ) from error
    except OSError as error:
        raise BadInput(f"expected a pickle at {path}, got: {error}") from error
    except _BROKEN as error:
        raise BadInput(
            f"expected a whole pickle in {path}, got {type(error).__name__}: {error}; fetch the file anew"
        ) from error
