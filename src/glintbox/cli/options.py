"""Options that several commands read the same way: which heads, which grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from glintbox.artifacts import load_heads
from glintbox.errors import BadInput
from glintbox.records import Head


def heads_among(words: str, there: Sequence[Head]) -> tuple[Head, ...]:
    """Those of the heads that are there that `words` names, in the order in which they are there.

    words: all, none, names L14H3, layers L14 or L14-L21, with commas between, or a head map's file.

    Raises:
        BadInput: words that name no heads, or heads that are not there.
    """
    if words in {"all", "none"}:
        return tuple(there) if words == "all" else ()
    if (path := Path(words)).is_file():
        wanted = {head for heads in load_heads(path).heads.values() for head in heads}
    else:
        wanted = {head for word in words.split(",") for head in _named(word.strip(), there)}
    if odd := sorted(wanted - set(there)):
        raise BadInput(f"expected heads among {there[0]} to {there[-1]}, got {', '.join(map(str, odd))}")
    return tuple(head for head in there if head in wanted)


def _named(word: str, there: Sequence[Head]) -> set[Head]:
    if one := re.fullmatch(r"L(\d+)H(\d+)", word):
        return {Head(int(one[1]), int(one[2]))}
    layers = re.fullmatch(r"L(\d+)(?:-L(\d+))?", word)
    found = {head for head in there if layers and int(layers[1]) <= head.layer <= int(layers[2] or layers[1])}
    if not found:
        raise BadInput(
            "expected --heads all, none, names like L14H3, layers that are there like L14 or L14-L21, "
            f"or a head map's file, got {word!r}"
        )
    return found


def grid_of(words: str) -> tuple[int, int] | None:
    """Rows and columns of 24x24; None for native, each picture's own.

    Raises:
        BadInput: words that name no grid.
    """
    if words == "native":
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", words)
    if found is None:
        raise BadInput(f"expected --grid native or rows x columns like 24x24, got {words!r}")
    return int(found[1]), int(found[2])


def words(text: str) -> list[str]:
    """Words with commas between, each once."""
    return list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))
