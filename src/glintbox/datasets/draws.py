"""A seeded sample of cases that others can draw again, and files of ids that name cases exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from glintbox.artifacts import write_whole
from glintbox.datasets.referred import Listed
from glintbox.errors import BadInput


def draw(ids: Sequence[str], count: int, *, seed: int) -> list[str]:
    """`count` of the cases, in their order: those whose sha256 of "SEED:ID" is lowest.

    No generator of random numbers is involved, so every version of every library draws the same cases, in whatever
    order they are given; and of two counts the smaller sample is part of the larger one.

    Raises:
        BadInput: fewer cases than that.
    """
    if not 1 <= count <= len(ids):
        raise BadInput(f"expected to draw 1 to {len(ids)} of {len(ids)} cases, got {count}")
    lots = sorted(ids, key=lambda id: hashlib.sha256(f"{seed}:{id}".encode()).digest())
    chosen = set(lots[:count])
    return [id for id in ids if id in chosen]


def write_ids(path: Path, ids: Sequence[str], about: Mapping[str, object]) -> None:
    """One id per line, after lines of what they are that begin with #.

    Raises:
        BadInput: the file cannot be written.
    """
    lines = [f"# {name}: {value}" for name, value in about.items()] + list(ids)
    try:
        write_whole(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise BadInput(f"expected a file that can be written at {path}, got: {error}") from error


def read_ids(path: Path) -> tuple[str, ...]:
    """The ids of a file of `write_ids`, or of any file with one id per line.

    Raises:
        BadInput: no such file, no text, no id, or one that stands there twice.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"expected a file with one id of a case per line at {path}, got: {error}") from error
    ids = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    twice = sorted({id for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    if twice or not ids:
        raise BadInput(
            f"expected ids of cases in {path}, each once, got " + (f"{twice[0]!r} twice" if twice else "none")
        )
    return tuple(ids)


def named(samples: Sequence[Listed], ids: Sequence[str], *, where: str) -> list[Listed]:
    """The cases of those ids, in the order of the samples.

    Raises:
        BadInput: an id that is no case.
    """
    wanted, known = set(ids), {sample.id for sample in samples}
    if odd := [id for id in ids if id not in known]:
        raise BadInput(
            f"expected {len(ids)} ids of cases of {where}, got {len(odd)} that are none: {', '.join(odd[:3])}"
            f"{', …' if len(odd) > 3 else ''}; they are of other data, or of another split"
        )
    return [sample for sample in samples if sample.id in wanted]
