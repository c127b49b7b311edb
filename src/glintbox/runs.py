"""A folder of results that survives any interruption: finished pictures stay, the next start does only the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from glintbox.artifacts import write_whole
from glintbox.errors import BadInput
from glintbox.jobs import Job
from glintbox.records import Grounding, from_json, to_json

SETTINGS = "settings.json"
FAILED = "failed.json"
JOBS = "jobs"


class Failure(NamedTuple):
    """A job that gave no result, and why."""

    id: str
    image: str
    why: str


class Kept(NamedTuple):
    """A finished result and the picture that it is of: a path or URL, None where only the result was kept."""

    result: Grounding
    image: str | None


class Finished(NamedTuple):
    """What a run has done: results by id, jobs that failed, ids of jobs that it did not come to."""

    kept: tuple[Kept, ...]
    failed: tuple[Failure, ...]
    pending: tuple[str, ...]


class Run:
    """An output folder: `ID.json` marks a finished job and is written last; `ID.png` is its picture.

    `settings.json` holds what the results depend on, and by id the picture and query of every job.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open or start a run; errors as in `agree`."""
        self.folder = folder
        if not self._holds_results():
            self._remember({})
        self.agree(settings)

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Remember what results depend on, beside what is remembered already.

        Raises:
            BadInput: the folder cannot be written, or holds results that depend on something else.
        """
        now = json.loads(json.dumps(settings, default=str))
        before = self._remembered()
        odd = [key for key in sorted(now) if key in before and before[key] != now[key]]
        if odd:
            told = "; ".join(f"{key}: there {before[key]!r}, now {now[key]!r}" for key in odd)
            raise BadInput(
                f"{self.folder} holds results of other settings ({told}); choose another --out or remove the folder"
            )
        self._remember(before | now)

    def picture(self, job: str) -> Path:
        """Where the picture of a job lies."""
        return self.folder / f"{job}.png"

    def pending(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """The jobs without a finished result.

        Raises:
            BadInput: a finished result of such an id is of another picture or query.
        """
        before = self._remembered()
        known: dict[str, list[str]] = before.get(JOBS, {})
        now = {job.id: [_place(job.image), job.query] for job in jobs}
        finished = {job.id for job in jobs if self._result(job.id).is_file()}
        for job in sorted(finished & set(known)):
            if known[job] != now[job]:
                raise BadInput(
                    f"{self.folder} holds a result {job!r} of picture and query {known[job]}, now it is {now[job]}; "
                    "choose another --out, or give ids in a .jsonl list"
                )
        self._remember(before | {JOBS: known | now})
        return tuple(job for job in jobs if job.id not in finished)

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

    def _remembered(self) -> dict[str, Any]:
        path = self.folder / SETTINGS
        try:
            return dict(json.loads(path.read_text())) if path.is_file() else {}
        except ValueError as error:
            raise BadInput(
                f"expected the settings of a run in {path}, got what is no JSON; remove {self.folder}"
            ) from error

    def _remember(self, settings: Mapping[str, Any]) -> None:
        try:
            write_whole(self.folder / SETTINGS, json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n")
        except OSError as error:
            raise BadInput(f"expected an output folder that can be written at {self.folder}, got: {error}") from error

    def _result(self, job: str) -> Path:
        return self.folder / f"{job}.json"


def read_results(place: Path) -> Finished:
    """What lies in a run's folder, or in a file of results: one Grounding as JSON a line, as `--json` prints them.

    Raises:
        BadInput: no such place, no result in it, or a file there that is no result.
    """
    if place.is_file():
        lines = [line for line in place.read_bytes().split(b"\n") if line.strip()]
        named = [(f"{place}:{number}", line) for number, line in enumerate(lines, start=1)]
        finished = Finished(tuple(Kept(_grounding(text, where), None) for where, text in named), (), ())
    else:
        finished = _read_folder(place)
    if not (finished.kept or finished.failed):
        raise BadInput(
            f"expected a folder that glintbox ground --out wrote, or its --json lines, at {place}, found no result"
        )
    return finished


def _read_folder(folder: Path) -> Finished:
    paths = sorted(path for path in folder.glob("*.json") if path.name not in (SETTINGS, FAILED))
    results = [_grounding(path.read_bytes(), str(path)) for path in paths]
    jobs: dict[str, list[str]] = _json(folder / SETTINGS, {}).get(JOBS, {})
    failed = tuple(Failure(**entry) for entry in _json(folder / FAILED, []))
    done = {path.stem for path in paths} | {failure.id for failure in failed}
    kept = tuple(Kept(result, jobs.get(path.stem, [None])[0]) for path, result in zip(paths, results, strict=True))
    return Finished(kept, failed, tuple(sorted(set(jobs) - done)))


def _grounding(text: bytes, where: str) -> Grounding:
    try:
        return from_json(Grounding, text)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "the text"
        raise BadInput(
            f"expected a result of glintbox ground in {where}, got a problem at {at}: {first['msg']}"
        ) from error


def _json(path: Path, default: Any) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else default


def _place(image: str) -> str:
    return image if "://" in image else str(Path(image).resolve())
