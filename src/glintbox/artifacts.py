"""Where a model's head map and regressor lie: named by the user, in the checkpoint folder, or in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import fields
from pathlib import Path

from pydantic import ValidationError

from glintbox.errors import BadInput, NoArtifact, SettingMismatch
from glintbox.records import HeadMap, HeadSeparation, Place, Setting, T, from_json, to_json

HEADS_FILE = "glintbox_heads.json"
LOCALIZATION_FILE = "glintbox_localization_heads.json"
REGRESSOR_FILE = "glintbox_regressor.safetensors"

SCHEMA = 1
"""Of the JSON of head maps and regressors' cards; raised when a field changes its meaning or goes (docs/headmap.md)."""


def cache_root() -> Path:
    """The user's folder for all artefacts; `GLINTBOX_CACHE` moves it, else the XDG cache holds it."""
    base = os.environ.get("GLINTBOX_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "glintbox"
    return Path(base).expanduser()


def cache_folder(setting: Setting) -> Path:
    """The user's folder for the artefacts of one setting; those of other settings of the same model lie beside it."""
    digest = hashlib.sha256(to_json(setting).encode()).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "--", f"{setting.model}@{setting.revision}")
    return cache_root() / f"{name}@{digest[:8]}"


def find(file: str, *, setting: Setting, checkpoint: Path | None) -> Path | None:
    """The artefact's path, or None: first the user's cache (their own calibration wins), then the checkpoint folder."""
    folders = [cache_folder(setting), *([checkpoint] if checkpoint else [])]
    return next((folder / file for folder in folders if (folder / file).is_file()), None)


def load_heads(path: Path) -> HeadMap:
    """Read a head map.

    Raises:
        NoArtifact: no such file.
        BadInput: the file is no head map of a known schema; the field is named.
    """
    return read_record(HeadMap, path, what="a head map", hint="make one with: glintbox heads calibrate")


def read_record(kind: type[T], path: Path, *, what: str, hint: str) -> T:
    """Read a record of schema 1; hint: what to do where there is no file.

    Raises:
        NoArtifact: no such file.
        BadInput: the file is no such record, or of another schema; the field is named.
    """
    if not path.is_file():
        raise NoArtifact(f"expected {what} at {path}, found no file; {hint}")
    text = path.read_bytes()
    if (version := _schema(text)) != SCHEMA:
        raise BadInput(f"expected {what} of schema {SCHEMA} in {path}, got {version}; update glintbox")
    try:
        return from_json(kind, text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadInput(f"expected {what} in {path}, got a problem at {where}: {first['msg']}") from error


def _schema(text: bytes) -> object:
    """The schema that a record says it has, told before its fields are read; what is no record is for the reader."""
    try:
        content = json.loads(text)
    except ValueError:
        return SCHEMA
    return content.get("schema_version", SCHEMA) if isinstance(content, dict) else SCHEMA


def save_heads(heads: HeadMap, path: Path, *, separation: HeadSeparation | None = None) -> None:
    """Write a head map whole or not at all, and before it the separation that it was chosen from.

    Raises:
        BadInput: a file cannot be written.
    """
    try:
        if separation is not None:
            write_whole(separation_file(path), to_json(separation).encode() + b"\n")
        write_whole(path, to_json(heads, indent=2).encode() + b"\n")
    except OSError as error:
        raise BadInput(f"expected a place for the head map that can be written at {path}, got: {error}") from error


def separation_file(heads: Path) -> Path:
    """Where the separation of all heads lies, beside the head map that was chosen from it."""
    return heads.with_suffix(".separation.json")


def load_separation(path: Path) -> HeadSeparation:
    """Read how well each head separates; errors as in `load_heads`."""
    hint = "run glintbox heads calibrate again with the same settings: kept answers are not drawn anew"
    return read_record(HeadSeparation, path, what="the separation of all heads", hint=hint)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def differences(made: Setting, here: Setting) -> tuple[str, ...]:
    """One phrase per field in which two settings differ."""
    return tuple(
        f"{f.name}: made under {getattr(made, f.name)!r}, here {getattr(here, f.name)!r}"
        for f in fields(Setting)
        if getattr(made, f.name) != getattr(here, f.name)
    )


def require_places(heads: HeadMap, *places: Place) -> None:
    """Refuse a head map that does not say which heads to read at some places.

    Raises:
        BadInput: names what it lacks, what it has, and how to make one.
    """
    missing = [place for place in places if not heads.heads.get(place)]
    if missing:
        there = [place for place, found in heads.heads.items() if found]
        localizes = missing == ["text"]
        make = "glintbox heads find DATASET --by localization" if localizes else "glintbox heads calibrate"
        raise BadInput(
            f"expected heads for {', '.join(places)} in the head map, got none for {', '.join(missing)}: it has "
            f"{', '.join(there) or 'none'}; make one with: {make}"
        )


def require_equal(made: Setting, here: Setting, *, what: str) -> None:
    """Refuse an artefact of another setting.

    Raises:
        SettingMismatch: names every field that differs.
    """
    odd = differences(made, here)
    if odd:
        raise SettingMismatch(
            f"this {what} belongs to another setting ({'; '.join(odd)}); calibrate one for this model"
        )
