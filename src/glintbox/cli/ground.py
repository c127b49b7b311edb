"""`glintbox ground`: pictures and a query in; boxes, pictures and JSON out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from glintbox import embedded
from glintbox.cli.console import errors, progress, results
from glintbox.draw import grounding_figure, require_matplotlib, save_figure
from glintbox.errors import BadContract, BadInput, OutOfMemory, UnknownName, UnreadableImage
from glintbox.ground import Grounder
from glintbox.images import open_image
from glintbox.jobs import Job, read_jobs
from glintbox.records import Grounding, HeadMap, Sampling, to_json
from glintbox.runs import Failure, Run
from glintbox.selectors import SELECTORS

Images = Annotated[list[str], typer.Argument(help="Pictures, folders, URLs, or .jsonl lists of {image, query, id}.")]
Query = Annotated[str | None, typer.Option("--query", "-q", help="What to find; lines of a list may name their own.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Hub name or checkpoint folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for ID.json and ID.png; resumes what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON line per picture instead of a summary.")]
Heads = Annotated[Path | None, typer.Option(help="A head map (default: the model's own, if it has one).")]
Regressor = Annotated[Path | None, typer.Option(help="A regressor (default: the model's own, if it has one).")]


def ground(
    images: Images,
    *,
    query: Query = None,
    model: Model = embedded.NAME,
    n: Annotated[int, typer.Option(help="Sampled answers beside the greedy one.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples; 0.5 to 1.0 is usual.")] = 0.7,
    top_p: float = 0.9,
    top_k: int = 100,
    seed: int = 0,
    max_new_tokens: int = 512,
    selector: Annotated[str, typer.Option(help="auto, or a name: acs-free, consensus, majority-vote …")] = "auto",
    multiple: Annotated[bool, typer.Option("--multiple", help="Several objects: one box per cluster.")] = False,
    heads: Heads = None,
    regressor: Regressor = None,
    out: Out = None,
    as_json: AsJson = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """glintbox ground street.jpg --query "bicycle" --out found

    Find objects: write several candidate boxes, read the attention behind each, keep the box that it supports.
    """
    Sampling(n, temperature, top_p, top_k, seed, max_new_tokens)  # refuse bad numbers before anything is loaded
    known_selector(selector)
    jobs = read_jobs(images, query)
    options: dict[str, Any] = dict(
        n=n, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, max_new_tokens=max_new_tokens,
        selector=selector, multiple=multiple,
    )  # fmt: skip
    settings = options | dict(model=model, heads=heads, regressor=regressor, dtype=dtype)
    run = _run(out, settings) if out else None
    if pending := _pending(run, jobs):
        grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, heads=heads, regressor=regressor)
        grounder.choice(selector, multiple=multiple)  # refuse it once, not with every picture
        if run:
            run.agree(grounder.made_with())
        if _work(grounder, pending, run=run, as_json=as_json, options=options):
            raise typer.Exit(1)


def known_selector(name: str, *others: str) -> None:
    """Refuse a name that is no selector, "auto" or one of `others`, before minutes are spent."""
    if name not in (known := [*SELECTORS, "auto", *others]):
        raise UnknownName("selector", name, known)


def _run(out: Path, settings: dict[str, Any]) -> Run:
    require_matplotlib()  # now, not after the first picture
    return Run(out, settings)


def _pending(run: Run | None, jobs: Sequence[Job]) -> Sequence[Job]:
    pending = run.pending(jobs) if run else jobs
    if run and len(pending) < len(jobs):
        done = f"{len(jobs) - len(pending)} of {len(jobs)} are finished in {run.folder}"
        errors.print(f"{done}; doing the rest", soft_wrap=True)
    return pending


def _work(
    grounder: Grounder, jobs: Sequence[Job], *, run: Run | None, as_json: bool, options: dict[str, Any]
) -> list[Failure]:
    failures: list[Failure] = []
    with progress() as bar:
        task = bar.add_task("grounding", total=len(jobs))
        for found in _grounded(grounder, jobs, maps=run is not None, options=options):
            bar.update(task, advance=1)
            if isinstance(found, Failure):
                failures.append(found)
                errors.print(f"failed: {found.id} ({found.image}): {found.why}", soft_wrap=True)
                continue
            grounding, picture = found
            if run:
                run.save(grounding, picture=picture)
            results.print(to_json(grounding) if as_json else _line(grounding), soft_wrap=True)
    if run:
        run.finish(failures)
        done = len(jobs) - len(failures)
        errors.print(f"{done} done, {len(failures)} failed; pictures and JSON lie in {run.folder}", soft_wrap=True)
    return failures


def _grounded(
    grounder: Grounder, jobs: Sequence[Job], *, maps: bool, options: dict[str, Any]
) -> Iterator[tuple[Grounding, bytes | None] | Failure]:
    """Results in order; queries on one picture share its prefill; a job that fails stops no other."""
    for source, group in groupby(jobs, key=lambda job: job.image):
        waiting = deque(group)
        try:
            image = open_image(source)
        except UnreadableImage as error:
            yield from (Failure(job.id, job.image, str(error)) for job in waiting)
            continue
        while waiting:
            pairs = [(image, job.query) for job in waiting]
            try:
                for grounding in grounder.ground(pairs, ids=[job.id for job in waiting], maps=maps, **options):
                    yield grounding, _png(image, grounding, grounder.heads) if maps else None
                    waiting.popleft()
            except (BadContract, BadInput, OutOfMemory) as error:
                failed = waiting.popleft()
                yield Failure(failed.id, failed.image, str(error))


def _png(image: Image.Image, grounding: Grounding, heads: HeadMap | None) -> bytes:
    """Attention is shown as acs-free looks at it, where the maps of its heads were kept; else of all kept heads."""
    buffer, maps = BytesIO(), grounding.found.maps
    told = heads is not None and maps is not None and all(set(of) <= set(maps.heads) for of in heads.heads.values())
    own = heads if told and grounding.method in {"acs-free", "acs-learned"} else None
    save_figure(grounding_figure(image, grounding, heads=own), buffer)
    return buffer.getvalue()


def _line(grounding: Grounding) -> str:
    """One line a person can read."""
    if not grounding.boxes:
        readings = grounding.found.readings
        told = (
            f"{readings.count('none')} of {len(readings)} answers see none, {readings.count('unreadable')} unreadable"
        )
        return f"{grounding.id}: {grounding.found.query}: not found ({told})"
    boxes = "  ".join(
        f"[{', '.join(f'{value:.0f}' for value in box)}]" + (f" {score:.2f}" if score is not None else "")
        for box, score, _ in grounding.boxes
    )
    return f"{grounding.id}: {grounding.found.query}: {boxes}  ({grounding.method})"
