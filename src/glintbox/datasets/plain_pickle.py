"""Pickles of plain data: lists, dicts, text and numbers. One that would call anything is refused before it does.

A pickle is a small program; RefCOCO's expressions come as one. Plain data need no names of classes or functions, so any
name is refused, which is what Python's own documentation recommends for pickles of strangers. Tuples that lie in each
other very many levels deep need no name, and yet end the process: to hash one, as the key of a dict, takes a frame of
the C stack per level. They are refused too.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from pickletools import (
    TAKEN_FROM_ARGUMENT1,
    TAKEN_FROM_ARGUMENT4,
    TAKEN_FROM_ARGUMENT4U,
    TAKEN_FROM_ARGUMENT8U,
    UP_TO_NEWLINE,
    OpcodeInfo,
    markobject,
    opcodes,
)
from typing import Any

from glintbox.errors import BadInput

DEEPEST = 100
"""Levels of tuples in tuples; plain data have a few, and a million take more than the 8 MiB of a usual C stack."""

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
        BadInput: no such file, no whole pickle, one that names a class or function: none is called; or tuples that lie
            in each other more than `DEEPEST` levels deep.
    """
    try:
        content = path.read_bytes()
        if _too_deep(content):
            raise BadInput(
                f"expected plain data in {path}, got tuples in tuples, more than {DEEPEST} levels deep: refused before "
                "anything is made of them; fetch the file anew from where the dataset is published"
            )
        return _Plain(BytesIO(content), encoding="utf-8").load()
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


_LENGTHS = {TAKEN_FROM_ARGUMENT1: 1, TAKEN_FROM_ARGUMENT4: 4, TAKEN_FROM_ARGUMENT4U: 4, TAKEN_FROM_ARGUMENT8U: 8}
"""Bytes of an argument's own length."""

_OPERATIONS = {op.code: op for op in opcodes}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}


def _too_deep(content: bytes) -> bool:
    """Whether a pickle would make tuples in tuples beyond `DEEPEST`: run with depths on the stack in place of objects.

    What holds a tuple is as deep as it, so that no way round is left.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for op, argument in _steps(content):
        if op.name == "MARK":
            marks.append(len(stack))
        elif op.name in _PUTS:
            memo[_number(argument, len(memo))] = stack[-1]
        elif op.name in _GETS:
            stack.append(memo[_number(argument, 0)])
        elif op.name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        elif op.name == "DUP":
            stack.append(stack[-1])
        else:
            taken = op.stack_before
            start = marks.pop() - taken.index(markobject) if markobject in taken else len(stack) - len(taken)
            depth = max(stack[max(0, start) :], default=0) + (op.name in _TUPLES)
            if depth > DEEPEST:
                return True
            stack[max(0, start) :] = [depth] * len(op.stack_after)
    return False


def _number(argument: bytes, default: int) -> int:
    """A place of the memo: decimal digits and a newline, or little-endian bytes."""
    if not argument:
        return default
    return int(argument) if argument.endswith(b"\n") and argument[:-1].isdigit() else int.from_bytes(argument, "little")


def _steps(content: bytes) -> Iterator[tuple[OpcodeInfo, bytes]]:
    """The operations of a pickle and their arguments as they are written, up to its end or the first name.

    `pickletools.genops` gives the same but decodes text of Python 2, and fails where it is not ASCII.
    """
    at = 0
    while at < len(content):
        op = _OPERATIONS[chr(content[at])]
        length = op.arg.n if op.arg else 0
        at += 1
        if length == UP_TO_NEWLINE:
            end = content.index(b"\n", at) + 1
        elif length < 0:
            size = _LENGTHS[length]
            end = at + size + int.from_bytes(content[at : at + size], "little")
        else:
            end = at + length
        if op.name in ("STOP", "GLOBAL", "INST"):  # nothing behind it is run
            return
        yield op, content[at:end]
        at = end
