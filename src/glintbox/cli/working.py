"""Jobs one after the other: results in order, printed and kept at once; a job that fails stops no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL.Image import Image

from glintbox.cli.console import errors, progress, results
from glintbox.draw import require_matplotlib
from glintbox.errors import BadContract, BadInput, OutOfMemory, Unanswered, UnreadableImage
from glintbox.images import open_image
from glintbox.jobs import Job
from glintbox.records import Grounding, to_json
from glintbox.runs import Failure, Run

Produce = Callable[[Image, Sequence[Job]], Iterator[Grounding]]
"""Results for some jobs on one upright picture, in order."""

Across = Callable[[Sequence[Job]], Iterator[Grounding]]
"""Results for jobs on any pictures, in order; it opens them itself, some ahead."""

Draw = Callable[[Image, Grounding], bytes]
"""A result as a PNG."""


def open_run(out: Path, settings: dict[str, Any]) -> Run:
    """The folder of results; matplotlib is asked for now, not after the first picture."""
    require_matplotlib()
    return Run(out, settings)


def pending(run: Run | None, jobs: Sequence[Job]) -> Sequence[Job]:
    """The jobs that are still to do."""
    rest = run.pending(jobs) if run else jobs
    if run and len(rest) < len(jobs):
        done = f"{len(jobs) - len(rest)} of {len(jobs)} are finished in {run.folder}"
        errors.print(f"{done}; doing the rest", soft_wrap=True)
    return rest


def work(
    jobs: Sequence[Job],
    produce: Produce,
    draw: Draw,
    *,
    run: Run | None,
    as_json: bool,
    doing: str,
    across: Across | None = None,
) -> list[Failure]:
    """Do the jobs; each result is printed as JSON or as a line, and kept with its picture where there is a run.

    across: does all jobs in the place of `produce`, which does those of one picture after the other.
    """
    failures: list[Failure] = []
    with progress() as bar:
        task = bar.add_task(doing, total=len(jobs))
        for found in _results(jobs, produce, draw if run else None, across=across):
            bar.update(task, advance=1)
            if isinstance(found, Failure):
                failures.append(found)
                errors.print(f"failed: {found.id} ({found.image}): {found.why}", soft_wrap=True)
                continue
            grounding, picture = found
            if run:
                run.save(grounding, picture=picture)
            results.print(to_json(grounding) if as_json else line(grounding), soft_wrap=True)
    if run:
        run.finish(failures)
        done = len(jobs) - len(failures)
        errors.print(f"{done} done, {len(failures)} failed; pictures and JSON lie in {run.folder}", soft_wrap=True)
    return failures


def _results(
    jobs: Sequence[Job], produce: Produce, draw: Draw | None, *, across: Across | None
) -> Iterator[tuple[Grounding, bytes | None] | Failure]:
    """Queries on one picture share its prefill."""
    if across:
        yield from _done(jobs, across, draw, image=None)
        return
    for source, group in groupby(jobs, key=lambda job: job.image):
        some = list(group)
        try:
            image = open_image(source)
        except UnreadableImage as error:
            yield from (Failure(job.id, job.image, str(error)) for job in some)
            continue
        yield from _done(some, partial(produce, image), draw, image=image)


def _done(
    jobs: Sequence[Job], made: Across, draw: Draw | None, *, image: Image | None
) -> Iterator[tuple[Grounding, bytes | None] | Failure]:
    """Each job's result or failure; after a failure those behind it are made again from there."""
    waiting = deque(jobs)
    while waiting:
        try:
            for grounding in made(tuple(waiting)):
                yield grounding, draw(image or open_image(waiting[0].image), grounding) if draw else None
                waiting.popleft()
        except (BadContract, BadInput, OutOfMemory, Unanswered, UnreadableImage) as error:
            failed = waiting.popleft()
            yield Failure(failed.id, failed.image, str(error))


def line(grounding: Grounding) -> str:
    """One line a person can read."""
    if not grounding.boxes:
        return f"{grounding.id}: {grounding.found.query}: not found ({why_none(grounding)})"
    boxes = "  ".join(
        (f"{best.label}: " if best.label else "")
        + f"[{', '.join(f'{value:.0f}' for value in best.box)}]"
        + (f" {best.score:.2f}" if best.score is not None else "")
        for best in grounding.boxes
    )
    return f"{grounding.id}: {grounding.found.query}: {boxes}  ({grounding.method})"


def why_none(grounding: Grounding) -> str:
    """Why a result has no box: what its answers say."""
    readings = grounding.found.readings
    if not readings:
        return "; ".join(grounding.found.notes)
    return f"{readings.count('none')} of {len(readings)} answers see none, {readings.count('unreadable')} unreadable"
