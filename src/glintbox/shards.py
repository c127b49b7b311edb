"""The files of a store: its card, and per writer NAME.bin with the bytes of cases and NAME.jsonl, a line per case.

A line is a JSON list of the crc32 of its second item and that item, a `Line`. What stands behind the last line's end
was being written when its writer was stopped; it counts as not there (docs/store.md).
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from glintbox.artifacts import read_record, write_whole
from glintbox.coding import piece
from glintbox.errors import BadInput
from glintbox.records import Head, Sampling, Setting, from_json, to_json

CARD = "card.json"


@dataclass(frozen=True, slots=True)
class Card:
    """What all cases of a folder have in common; two folders mix only if their cards are equal."""

    def channels(self) -> int:
        """Of how many heads maps stand behind the text of a case."""
        return 0


C = TypeVar("C", bound=Card)
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class StoreCard(Card):
    """The card of a store.

    data: what the cases are, in words. heads: whose maps are kept, in channel order; none = statistics only.
    rows, cols: the grid that maps are resampled to; None = each picture's own.
    """

    setting: Setting
    sampling: Sampling
    data: str
    heads: tuple[Head, ...]
    rows: int | None = None
    cols: int | None = None
    schema_version: int = 1

    def __post_init__(self) -> None:
        grid = {self.rows, self.cols}
        if grid != {None} and any(side is None or side < 1 for side in grid):
            raise BadInput(f"expected a grid of at least 1 x 1 cells, or none, got {self.rows} x {self.cols}")
        if len(set(self.heads)) < len(self.heads):
            raise BadInput(f"expected every head once, got {', '.join(map(str, self.heads))}")

    def channels(self) -> int:
        """See `Card.channels`."""
        return len(self.heads)


@dataclass(frozen=True, slots=True)
class Line:
    """A finished case: where its bytes lie, and what is asked of many cases at once.

    at: its first byte. text: bytes of the compressed JSON there; heads: of the statistics behind it, float32; crc: of
    both. rows, cols: grid of the maps that follow, 0 where there are none. boxes: the candidates with known coordinate
    tokens, in order, as index, whether it was sampled, and best IoU.
    """

    id: str
    image: str
    at: int
    text: int
    candidates: int
    heads: int
    crc: int
    rows: int
    cols: int
    boxes: tuple[tuple[int, bool, float], ...]

    @property
    def maps(self) -> int:
        """Where the maps begin."""
        return self.at + self.text + 2 * 4 * 4 * self.candidates * self.heads

    def end(self, heads: int) -> int:
        """The first byte behind a case of which the maps of so many heads are kept."""
        return self.maps + (len(self.boxes) * heads * piece(self.rows, self.cols).itemsize if self.rows else 0)


class Place(NamedTuple):
    """A case in the store: its line, and which one of which file that is."""

    lines: Path
    number: int
    line: Line

    @property
    def shard(self) -> Path:
        """The file that holds the case's bytes."""
        return self.lines.with_suffix(".bin")

    def damaged(self, got: str) -> BadInput:
        """The error for bytes that are not those that were written."""
        return BadInput(
            f"expected case {self.line.id} in {self.shard} as it was written, got {got}; restore the file from a copy, "
            f"or take line {self.number} out of {self.lines.name} and collect again: only this case is drawn anew"
        )


class Places(NamedTuple):
    """The cases of a store by id, and the ids of those whose bytes are cut off."""

    found: Mapping[str, Place]
    cut: tuple[str, ...]


def read_card(folder: Path) -> StoreCard:
    """The card of a store.

    Raises:
        NoArtifact: there is no store in the folder.
        BadInput: the card is damaged, of another schema, or of another kind of folder.
    """
    return card_of(folder, StoreCard, made_by="glintbox collect")


def card_of(folder: Path, kind: type[C], *, made_by: str) -> C:
    """The card of a folder of any kind; errors as in `read_card`."""
    return read_record(kind, folder / CARD, what="a store's card", hint=f"make a store with: {made_by}")


def agree(folder: Path, card: Card) -> None:
    """Make sure that the folder's card is this one; a card that no case was kept under binds nobody.

    Raises:
        BadInput: the folder holds cases of another card; names what differs.
    """
    path = folder / CARD
    if path.is_file() and (there := card_of(folder, type(card), made_by="glintbox collect")) != card:
        if any(folder.glob("*.jsonl")):
            raise BadInput(
                f"{folder} holds answers of another setting or sampling ({_differences(there, card)}); "
                "remove it or name another folder"
            )
        path.unlink(missing_ok=True)
    if not path.is_file():
        write_whole(path, to_json(card).encode() + b"\n")


def _differences(there: Card, now: Card) -> str:
    one, other = _flat(asdict(there)), _flat(asdict(now))
    odd = [key for key in one if one[key] != other[key]]
    return "; ".join(f"{key}: there {_short(one[key])}, now {_short(other[key])}" for key in odd)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: value for part in record.values() if isinstance(part, dict) for key, value in part.items()}
    return {key: value for key, value in record.items() if not isinstance(value, dict)} | inner


def _short(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, tuple) else repr(value)


def places(folder: Path, card: Card) -> Places:
    """Every finished case; of a case that two writers kept, the earlier writer's.

    Raises:
        BadInput: a line that is not what was written, files of another card.
    """
    found: dict[str, Place] = {}
    cut: list[str] = []
    for index in sorted(folder.glob("*.jsonl")):
        if not index.name.startswith(_digest(card)):
            raise BadInput(f"expected files of the card in {folder}, got {index.name} of another; move it away")
        lines = list(_lines(index))  # before the bytes: those of a line that is there are there too
        shard = index.with_suffix(".bin")
        size = shard.stat().st_size if shard.is_file() else 0
        for number, line in lines:
            if line.end(card.channels()) <= size:
                found.setdefault(line.id, Place(index, number, line))
            else:
                cut.append(line.id)
    return Places(found, tuple(id for id in dict.fromkeys(cut) if id not in found))


def _lines(index: Path) -> Iterator[tuple[int, Line]]:
    *whole, _ = index.read_bytes().split(b"\n")  # what stands behind the last line's end was being written
    for number, raw in enumerate(whole, 1):
        try:
            crc, text = raw[1:-1].split(b",", 1)
            if raw != _framed(text) or not crc:
                raise ValueError("a checksum that does not fit")
            yield number, from_json(Line, text)
        except (ValueError, ValidationError) as error:
            raise BadInput(
                f"expected line {number} of {index} as it was written, got {str(error).splitlines()[0]}; restore the "
                "file from a copy, or take the line out and collect again: only its case is drawn anew"
            ) from error


def _framed(text: bytes) -> bytes:
    return b"[%d,%b]" % (zlib.crc32(text), text)


def _digest(card: Card) -> str:
    """The first part of the names of a store's files, so that those of another card cannot stray in."""
    return hashlib.sha256(to_json(card).encode()).hexdigest()[:8]


class Shard:
    """A writer's own two files; what is appended is on the disk when `append` returns. Errors are the system's own."""

    def __init__(self, folder: Path, card: Card) -> None:
        """Begin new files; errors as in `agree`."""
        agree(folder, card)
        name = folder / f"{_digest(card)}-{time.time_ns():x}-{os.getpid()}"
        self._bytes = name.with_suffix(".bin").open("xb", buffering=0)
        self._index = name.with_suffix(".jsonl").open("xb", buffering=0)

    def append(self, line: Line, parts: Sequence[bytes | memoryview]) -> None:
        """The bytes of a case, then its line: `line` as it is but for `at`."""
        text = to_json(replace(line, at=self._bytes.tell())).encode()
        _write(self._bytes, parts)
        _write(self._index, [_framed(text) + b"\n"])

    def close(self) -> None:
        """Close both files."""
        self._bytes.close()
        self._index.close()


def _write(file: FileIO, parts: Sequence[bytes | memoryview]) -> None:
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


class Writer(Generic[C]):
    """Appends cases to a folder under one card; several processes may write into it, each into files of its own.

    done: ids of the cases that are finished. cut: of those whose bytes were cut off when it was made; not done.
    """

    def __init__(self, folder: Path, card: C) -> None:
        """Open or start a folder.

        Raises:
            BadInput: the folder holds cases of another card, is damaged, or cannot be written.
        """
        self.folder, self.card = folder, card
        self._shard: Shard | None = None
        try:
            agree(folder, card)
        except OSError as error:
            raise BadInput(f"expected a folder that can be written at {folder}, got: {error}") from error
        found, self.cut = places(folder, card)
        self.done = set(found)

    def __enter__(self: W) -> W:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this writer's files; the next case begins new ones."""
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()

    def _keep(self, line: Line, parts: Sequence[bytes | memoryview]) -> None:
        """Append a case; a disk that is full costs this case alone, and is a BadInput."""
        try:
            self._shard = self._shard or Shard(self.folder, self.card)
            self._shard.append(line, parts)
        except BaseException as error:
            self.close()  # nothing is written behind a part of a case
            if not isinstance(error, OSError):
                raise
            raise BadInput(
                f"could not keep case {line.id} in {self.folder}: {error}; "
                "finished cases are kept, make room and run again to go on"
            ) from error
        self.done.add(line.id)
