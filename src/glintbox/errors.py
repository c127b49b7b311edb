"""Every error that glintbox raises on purpose; each message says what was expected, what came, and what to do.

GlintboxError
├── UnknownName        a model type, family, selector or view that does not exist (lists those that do)
├── MissingExtra       an optional dependency is not installed (prints the pip line)
├── UnreadableImage    not a picture, empty, too large, unreachable
├── BadInput           an argument out of its range
├── NoArtifact         a selector needs a HeadMap or regressor that is not there
├── SettingMismatch    an artefact was made under another setting than the model at hand
├── BadContract        a model does not behave as its family promises
├── OutOfMemory        the picture and N do not fit; names what would
├── Unanswered         a server gave no answer that can be used, after all retries
├── Busy               more waits for the model than may wait
├── Gone               a result of the page is no longer kept
└── Closed             an `Answered` was read after its iterator moved on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GlintboxError(Exception):
    """Base of all errors raised on purpose."""


class UnknownName(GlintboxError):
    """A name that is not in a table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")


class MissingExtra(GlintboxError):
    """An optional dependency is missing."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed; run: pip install "glintbox[{extra}]"')


class UnreadableImage(GlintboxError):
    """A picture that cannot be opened, or must not be."""


class BadInput(GlintboxError):
    """An argument out of its range."""


class NoArtifact(GlintboxError):
    """A selector needs an artefact that was not found."""


class SettingMismatch(GlintboxError):
    """An artefact belongs to another model, prompt, view, budget or moment."""


class BadContract(GlintboxError):
    """A model or processor breaks what its family promises."""


class OutOfMemory(GlintboxError):
    """The device memory does not hold picture and samples."""


class Unanswered(GlintboxError):
    """A server gave no answer that can be used."""


class Busy(GlintboxError):
    """The line before the model is full."""


class Gone(GlintboxError):
    """A result that never was, or that newer ones have displaced."""


class Closed(GlintboxError):
    """Read after the iterator that owned the cache had advanced."""
