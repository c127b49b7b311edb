"""`glintbox ground`: pictures and a query in; boxes, pictures and JSON out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from glintbox import embedded
from glintbox.cli.sampler import (
    ApiKeyEnv,
    BaseUrl,
    Concurrency,
    Family,
    Known,
    Processor,
    Retries,
    Sampler,
    ServedName,
    Timeout,
    answering,
    remote_of,
)
from glintbox.cli.working import open_run, pending, work
from glintbox.draw import grounding_figure, own_heads, save_figure
from glintbox.errors import BadInput, UnknownName
from glintbox.ground import Grounder
from glintbox.jobs import Job, read_jobs
from glintbox.records import Grounding, HeadMap, Sampling
from glintbox.runs import Failure, Run
from glintbox.selectors import SELECTORS
from glintbox.zoom import Zoomed

Images = Annotated[list[str], typer.Argument(help="Pictures, folders, URLs, or .jsonl lists of {image, query, id}.")]
Query = Annotated[str | None, typer.Option("--query", "-q", help="What to find; lines of a list may name their own.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Hub name or checkpoint folder.")]
AnyModel = Annotated[
    str | None, typer.Option("--model", "-m", help=f"Hub name or checkpoint folder (default: {embedded.NAME}).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …; balanced: the layers over all GPUs.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Batch = Annotated[int, typer.Option(min=1, help="Prompts that are answered at a time; pays on a GPU.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for ID.json and ID.png; resumes what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON line per picture instead of a summary.")]
Heads = Annotated[Path | None, typer.Option(help="A head map (default: the model's own, if it has one).")]
Regressor = Annotated[Path | None, typer.Option(help="A regressor (default: the model's own, if it has one).")]
Looks = Annotated[Path | None, typer.Option(help="Localization heads (default: the model's own, if it has any).")]
Zoom = Annotated[
    bool, typer.Option("--zoom", help="Ask again about the part of the picture around greedy's box. One object.")
]
Located = Annotated[bool, typer.Option("--located", help="The localization heads' box is a candidate too.")]


def ground(
    images: Images, *, query: Query = None, model: AnyModel = None,
    n: Annotated[int, typer.Option(help="Sampled answers beside the greedy one.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples; 0.5 to 1.0 is usual.")] = 0.7,
    top_p: float = 0.9, top_k: int = 100, seed: int = 0, max_new_tokens: int = 512,
    selector: Annotated[str, typer.Option(help="auto, or a name: acs-free, consensus, majority-vote …")] = "auto",
    multiple: Annotated[bool, typer.Option("--multiple", help="Several objects: one box per cluster.")] = False,
    heads: Heads = None, regressor: Regressor = None, localization: Looks = None, located: Located = False,
    zoom: Zoom = False,
    out: Out = None, as_json: AsJson = False, device: Device = "auto", dtype: Dtype = "auto", batch: Batch = 1,
    sampler: Sampler = "local", base_url: BaseUrl = None, served_name: ServedName = None,
    processor: Processor = None, family: Family = None, api_key_env: ApiKeyEnv = None,
    concurrency: Concurrency = 8, timeout: Timeout = 120.0, retries: Retries = 5,
) -> None:  # fmt: skip
    """glintbox ground street.jpg --query "bicycle" --out found

    Find objects: write several candidate boxes, read the attention behind each, keep the box that it supports.
    """
    Sampling(n, temperature, top_p, top_k, seed, max_new_tokens)  # refuse bad numbers before anything is loaded
    known_selector(selector)
    _refuse(zoom=zoom, multiple=multiple, sampler=sampler, batch=batch)
    jobs = read_jobs(images, query)
    options: dict[str, Any] = dict(
        n=n, temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, max_new_tokens=max_new_tokens,
        selector=selector, multiple=multiple, located=located,
    )  # fmt: skip
    own: dict[str, Any] = dict(heads=heads, regressor=regressor, localization=localization)
    remote = remote_of(
        sampler, base_url, served_name, Known(model, processor, family),
        api_key_env=api_key_env, concurrency=concurrency, timeout=timeout, retries=retries,
    )  # fmt: skip
    told = dict(model=model or embedded.NAME, dtype=dtype, zoom=zoom) | (remote.settings() if remote else {})
    run = open_run(out, options | own | told) if out else None
    if rest := pending(run, jobs):
        with answering(remote, model, device=device, dtype=dtype, batch=batch, **own) as grounder:
            grounder, across = _looking(grounder, zoom), remote is not None or batch > 1
            failures = _work(grounder, rest, run=run, as_json=as_json, options=options, across=across)
        if failures:
            raise typer.Exit(1)


def _looking(grounder: Grounder, zoom: bool) -> Grounder:
    return grounder.over(Zoomed(grounder.lvlm)) if zoom else grounder


def _refuse(*, zoom: bool, multiple: bool, sampler: str, batch: int) -> None:
    """Options that do not go together."""
    if zoom and multiple:
        raise BadInput("expected one object to zoom in on, got --multiple; leave out one of --zoom and --multiple")
    if sampler == "openai" and zoom:
        raise BadInput("expected the model here with --zoom, which asks twice, got --sampler openai; leave one out")
    if sampler == "openai" and batch > 1:
        raise BadInput(
            f"expected no --batch with --sampler openai, got {batch}: a server batches by itself; use --concurrency"
        )


def known_selector(name: str, *others: str) -> None:
    """Refuse a name that is no selector, "auto" or one of `others`, before minutes are spent."""
    if name not in (known := [*SELECTORS, "auto", *others]):
        raise UnknownName("selector", name, known)


def _work(
    grounder: Grounder, jobs: Sequence[Job], *, run: Run | None, as_json: bool, options: dict[str, Any], across: bool
) -> list[Failure]:
    grounder.choice(options["selector"], multiple=options["multiple"])  # refuse it once, not with every picture
    if run:
        run.agree(grounder.made_with())

    def produce(image: Image.Image | None, some: Sequence[Job]) -> Iterator[Grounding]:
        pairs = [(image or job.image, job.query) for job in some]
        return grounder.ground(pairs, ids=[job.id for job in some], maps=run is not None, **options)

    def draw(image: Image.Image, grounding: Grounding) -> bytes:
        return _png(image, grounding, grounder.heads)

    all_at_once = partial(produce, None) if across else None
    return work(jobs, produce, draw, run=run, as_json=as_json, doing="grounding", across=all_at_once)


def _png(image: Image.Image, grounding: Grounding, heads: HeadMap | None) -> bytes:
    """Attention is shown as acs-free looks at it, where the maps of its heads were kept; else of all kept heads."""
    buffer = BytesIO()
    save_figure(grounding_figure(image, grounding, heads=own_heads(grounding, heads)), buffer)
    return buffer.getvalue()
