"""How far the answers to one prompt have grown: told to whoever listens, nobody unless `telling` says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Written(NamedTuple):
    """tokens: of the longest answer so far; finished of all `answers` have ended."""

    tokens: int
    finished: int
    answers: int


_listener: ContextVar[Callable[[Written], None] | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Callable[[Written], None]) -> Iterator[None]:
    """Within it, `listener` is called in this thread after every token of the answers that are drawn."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def tell(written: Written) -> None:
    """Called by what writes."""
    if listener := _listener.get():
        listener(written)
