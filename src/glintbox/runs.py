"""A folder of results that survives any interruption: finished pictures stay, the next start does only the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from glintbox.artifacts import write_whole
from glintbox.errors import BadInput
from glintbox.jobs import Job
from glintbox.records import Grounding, to_json

SETTINGS = "settings.json"
FAILED = "failed.json"


class Failure(NamedTuple):
    """A job that gave no result, and why."""

    id: str
    image: str
    why: str


class Run:
    """An output folder: `ID.json` marks a finished job and is written last; `ID.png` is its picture."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open or start a run.

        Raises:
            BadInput: the folder cannot be written, or holds results of other settings.
        """
        self.folder = folder
        text = json.dumps(settings, indent=2, sort_keys=True, default=str) + "\n"
        path = folder / SETTINGS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_text() != text and self._holds_results():
                raise BadInput(
                    f"{folder} holds results of other settings ({_difference(path, json.loads(text))}); "
                    "choose another --out or remove the folder"
                )
            write_whole(path, text.encode())
        except OSError as error:
            raise BadInput(f"expected an output folder that can be written at {folder}, got: {error}") from error

    def picture(self, job: str) -> Path:
        """Where the picture of a job lies."""
        return self.folder / f"{job}.png"

    def pending(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """The jobs without a finished result."""
        return tuple(job for job in jobs if not self._result(job.id).is_file())

    def save(self, found: Grounding, *, picture: bytes | None) -> None:
        """Write picture, then result, each whole or not at all.

        Raises:
            BadInput: the disk is full or the folder is gone; what was finished before stays.
        """
        try:
            if picture is not None:
                write_whole(self.picture(found.id), picture)
            write_whole(self._result(found.id), to_json(found).encode() + b"\n")
        except OSError as error:
            raise BadInput(
                f"could not write the result of {found.id} into {self.folder}: {error}; "
                "finished results are kept, make room and run again to go on"
            ) from error

    def finish(self, failures: Sequence[Failure]) -> None:
        """Leave the list of failed jobs, or none if all went well."""
        path = self.folder / FAILED
        try:
            if failures:
                write_whole(path, json.dumps([failure._asdict() for failure in failures], indent=2).encode() + b"\n")
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput(f"could not write {path}: {error}; finished results are kept") from error

    def _holds_results(self) -> bool:
        """Whether anything was finished here; settings of a run that failed at once bind nobody."""
        return any(path.name not in (SETTINGS, FAILED) for path in self.folder.glob("*.json"))

    def _result(self, job: str) -> Path:
        return self.folder / f"{job}.json"


def _difference(path: Path, now: Mapping[str, Any]) -> str:
    try:
        before = json.loads(path.read_text())
    except ValueError:
        return f"{path.name} there is not readable"
    odd = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key}: there {before.get(key)!r}, now {now.get(key)!r}" for key in odd)
