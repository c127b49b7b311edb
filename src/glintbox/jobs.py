"""What a run is to do: files, folders, URLs and JSONL lists become jobs with ids that are safe as file names."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from glintbox.errors import BadInput

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
"""What counts as a picture in a folder; a file named by itself may end in anything."""
ID_BYTES = 100
"""Longest id in UTF-8 bytes: file systems take 255 for a name, and endings are added to it."""

RESERVED = frozenset({"settings", "failed"})
"""Names that an output folder needs for itself."""


class Job(NamedTuple):
    """One picture (path or URL) and what to look for in it."""

    id: str
    image: str
    query: str


class _Draft(NamedTuple):
    id: str | None
    image: str
    query: str
    where: str


def image_paths(sources: Sequence[Path]) -> list[Path]:
    """The sources in their order, each folder replaced by the pictures right inside it, sorted by name.

    Raises:
        BadInput: a folder without pictures.
    """
    paths: list[Path] = []
    for source in sources:
        if not source.is_dir():
            paths.append(source)
            continue
        inside = sorted(
            path
            for path in source.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not inside:
            raise BadInput(
                f"{source}: expected pictures ({' '.join(SUFFIXES)}) in this folder, got none; "
                "folders inside it are not searched"
            )
        paths += inside
    return paths


def read_jobs(sources: Sequence[str | Path], query: str | None = None) -> tuple[Job, ...]:
    """The jobs of pictures, folders, URLs and lists, in their order.

    A list ends in .jsonl; each line is {"image": …, "query": …, "id": …}, where "query" may be left out if `query` is
    given, and "id" always. Its paths are relative to the list; other keys are ignored. An id that is not given is the
    picture's stem, with a hash of picture and query where that is not unique. Pictures are not opened.

    Raises:
        BadInput: a line that is no such object (named file:line), an id twice or unsafe as a file name, no query.
    """
    drafts: list[_Draft] = []
    for source in sources:
        text = str(source)
        if "://" not in text and text.lower().endswith(".jsonl"):
            drafts += _listed(Path(source), query)
            continue
        if query is None or not query.strip():
            raise BadInput(f"{text}: expected a query for this picture, got none; say what to look for")
        found = [text] if "://" in text else [str(path) for path in image_paths([Path(source)])]
        drafts += [_Draft(None, image, query, image) for image in found]
    return _named(drafts)


def _listed(path: Path, query: str | None) -> Iterator[_Draft]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: expected a list in UTF-8, one JSON object a line, got {error}") from error
    if not any(line.strip() for line in lines):
        raise BadInput(f"{path}: expected one JSON object a line, got an empty list")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _draft(line, where=f"{path}:{number}", folder=path.parent, query=query)


def _draft(line: str, *, where: str, folder: Path, query: str | None) -> _Draft:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: expected a JSON object, got what is no JSON ({error})") from error
    if not isinstance(entry, dict):
        raise BadInput(
            f'{where}: expected an object like {{"image": "a.jpg", "query": "cup"}}, got {line.strip()[:80]}'
        )
    image, wanted = _text(entry, "image", where), _text(entry, "query", where) or query
    if image is None:
        raise BadInput(f'{where}: expected "image", got only {sorted(entry)}; name a path or URL')
    if wanted is None or not wanted.strip():
        raise BadInput(f'{where}: expected "query", got only {sorted(entry)}; add it, or give one for all pictures')
    if isinstance(entry.get("id"), int) and not isinstance(entry["id"], bool):
        entry["id"] = str(entry["id"])  # COCO counts its pictures
    name = _text(entry, "id", where)
    if name is not None and (name != safe_name(name) or name.casefold() in RESERVED):
        raise BadInput(
            f"{where}: expected an id that can name a file (letters, digits, . _ - inside, at most {ID_BYTES} bytes, "
            f"not {' or '.join(sorted(RESERVED))}), got {name[:120]!r}; choose another"
        )
    return _Draft(name, image if "://" in image else str(folder / image), wanted, where)


def _text(entry: dict[str, object], key: str, where: str) -> str | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= c <= "\udfff" for c in value):
        raise BadInput(f'{where}: expected text for "{key}", got {json.dumps(value)[:80]}')
    return value


def safe_name(text: str) -> str:
    """`text` as a file name on any system: letters, digits, . _ - (never first or last), at most `ID_BYTES` bytes."""
    kept = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text))
    kept = kept.strip("._-").encode()[:ID_BYTES].decode(errors="ignore").strip("._-")
    return kept or "picture"


def _named(drafts: Sequence[_Draft]) -> tuple[Job, ...]:
    """Ids for all drafts; compared without case, because some file systems do so."""
    given: dict[str, str] = {}
    for draft in drafts:
        if draft.id is None:
            continue
        if first := given.get(draft.id.casefold()):
            raise BadInput(f"{draft.where}: expected an id of its own, got {draft.id!r}, which {first} has; change one")
        given[draft.id.casefold()] = draft.where
    stems = [safe_name(Path(urlsplit(d.image).path if "://" in d.image else d.image).stem) for d in drafts]
    often = Counter(stem.casefold() for draft, stem in zip(drafts, stems, strict=True) if draft.id is None)
    taken = set(RESERVED) | set(given)
    jobs = []
    for draft, stem in zip(drafts, stems, strict=True):
        name = draft.id or stem
        if draft.id is None and (often[stem.casefold()] > 1 or stem.casefold() in taken):
            name = next(name for name in _hashed(stem, draft) if name.casefold() not in taken)
        taken.add(name.casefold())
        jobs.append(Job(name, draft.image, draft.query))
    return tuple(jobs)


def _hashed(stem: str, draft: _Draft) -> Iterator[str]:
    """Names for a stem that others have too: they depend on picture and query, not on who else is in the run."""
    for turn in itertools.count():
        digest = hashlib.sha256(f"{draft.image}\n{draft.query}\n{turn}".encode(errors="surrogateescape")).hexdigest()
        yield f"{stem}-{digest[:8]}"
