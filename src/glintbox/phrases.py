"""The things that an expression names, one span each: as the user marks them in brackets, else by commas and "and".

No parser: the rule knows a few English words and no grammar. What it gets wrong is for brackets to say.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from glintbox.errors import BadInput
from glintbox.prompts import CLOSED

BETWEEN = re.compile(r"(?:\s*(?:,(?!\d)|[;&、，；]|(?:(?<=\s)|^)(?:and|or|as well as)(?=\s|$))\s*)+", re.IGNORECASE)
"""What stands between two things; a comma inside a number does not."""

BRACKETS = re.compile(r"[\[\]]")


class Phrase(NamedTuple):
    """One thing that is named: its words, and their characters [start, end) in the expression."""

    text: str
    start: int
    end: int


class Phrased(NamedTuple):
    """An expression as a model reads it, without marks and outer blanks, and the things it names, in order."""

    text: str
    phrases: tuple[Phrase, ...]


def phrased(expression: str) -> Phrased:
    """The spans in brackets, "[the owl] next to [the scissors]"; without brackets, what stands between commas,
    semicolons, "&", "and", "or" and "as well as"; without these, the whole.

    Closing punctuation belongs to no span.

    Raises:
        BadInput: brackets that do not match, one inside another, or a span without words.
    """
    expression = expression.strip()
    return _marked(expression) if BRACKETS.search(expression) else _divided(expression)


def _marked(expression: str) -> Phrased:
    text, found, opened = "", [], -1
    for piece in re.split(r"([\[\]])", expression):
        if piece not in ("[", "]"):
            text += piece
        elif (piece == "[") != (opened < 0):
            raise BadInput(
                "expected brackets in pairs, none inside another, as in '[the owl] next to [the scissors]', got "
                f"{expression[:80]!r}"
            )
        elif piece == "[":
            opened = len(text)
        else:
            found.append(_phrase(text, opened, len(text), expression))
            opened = -1
    if opened >= 0:
        raise BadInput(f"expected a bracket that closes the last one opened, got none in {expression[:80]!r}; add it")
    return Phrased(text.strip(), _moved(found, len(text) - len(text.lstrip())))


def _divided(expression: str) -> Phrased:
    closed = CLOSED.search(expression)
    end = closed.start() if closed else len(expression)
    between = list(BETWEEN.finditer(expression, 0, end))
    starts, ends = [0, *(one.end() for one in between)], [*(one.start() for one in between), end]
    return Phrased(expression, tuple(_phrase(expression, a, b, expression) for a, b in zip(starts, ends, strict=True)))


def _phrase(text: str, start: int, end: int, expression: str) -> Phrase:
    """The words between two characters, without the blanks around them."""
    words = text[start:end].strip()
    if not words:
        raise BadInput(
            f"expected words in every span of {expression[:80]!r}, got an empty one; name a thing on both sides of "
            "each comma and 'and', or mark the things in brackets: '[the owl] next to [the scissors]'"
        )
    at = text.index(words, start)
    return Phrase(words, at, at + len(words))


def _moved(found: list[Phrase], by: int) -> tuple[Phrase, ...]:
    return tuple(Phrase(text, start - by, end - by) for text, start, end in found)
