"""`glintbox collect`, and the answers of `glintbox evaluate`, over the GPUs of a Ray cluster.

    python recipes/ray/spread.py --workers 8 --gpus 1 collect coco store --model Qwen/Qwen2.5-VL-7B-Instruct

A worker is a process that holds one loaded model. It writes what it has drawn into the shared folder itself; through
Ray go only the cases, as JSON, and the ids of those that are done. So whatever ends a worker costs the case in flight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import ray
import ray.data
import typer

from glintbox import embedded
from glintbox.cli import collect as collecting
from glintbox.cli import evaluate as evaluating
from glintbox.cli.cases import Dataset, Ids, Images, Multiple, Wanted, read_cases
from glintbox.cli.collect import Grid, Heads, Limit, One, Out, SizeNames, Split
from glintbox.cli.console import errors, progress
from glintbox.cli.ground import Device, Dtype, Model, Regressor
from glintbox.cli.ground import Heads as HeadMap
from glintbox.cli.main import friendly
from glintbox.cli.options import grid_of, words
from glintbox.collect import fill
from glintbox.compare import Plan
from glintbox.compare import collect as answer
from glintbox.datasets.resolve import data_name
from glintbox.errors import BadInput, GlintboxError
from glintbox.ground import Grounder
from glintbox.lvlm.api import LVLM
from glintbox.records import Sample, Sampling, from_json, to_json
from glintbox.store import StoreCard, StoreWriter

OBJECTS = 100 * 2**20
"""Bytes of Ray's object store on this machine, where no cluster is named: cases take some hundred bytes each."""

TRIES = 3
"""How often a batch may end its worker's process before the run stops."""

HANDED_ON = ("GLINTBOX_CACHE", "GLINTBOX_DATA", "HF_HOME", "HF_HUB_OFFLINE")
"""Variables of the environment that workers on all machines get from here, where they are set."""

Draw = Callable[[Sequence[Sample]], None]
"""Draws and keeps what is missing of the answers to some cases."""


class Pool(NamedTuple):
    """How many workers there are, what each gets, and how many cases it is given at a time; address: of the cluster."""

    workers: int
    gpus: float
    cpus: float
    batch: int
    address: str | None


class Worker:
    """A loaded model in a process of its own; Ray starts it anew where that ends, with the batch that it was at."""

    def __init__(self, ready: Callable[[], Draw], folder: Path) -> None:
        os.chdir(folder)  # so that a path means here what it means to who started it
        self.ready, self.draw = ready, None

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Draw a batch: ids of the cases, which are on the disk then, the process, and why it refused, if it did."""
        refused = ""
        try:
            self.draw = self.draw or self.ready()
            self.draw([from_json(Sample, text) for text in batch["case"]])
        except GlintboxError as error:  # told by the process that the user looks at
            refused = f"{type(error).__name__}: {error}"
        count = len(batch["id"])
        return {"id": batch["id"], "process": np.full(count, os.getpid()), "refused": np.full(count, refused)}


def spread(samples: Sequence[Sample], ready: Callable[[], Draw], pool: Pool, words: str) -> None:
    """Give the cases to the workers, batch by batch, until all are kept.

    Raises:
        BadInput: no worker, what a worker refused, or cases that did not come back.
    """
    if pool.workers < 1 or pool.batch < 1:
        raise BadInput(f"expected at least one worker and one case at a time, got {pool.workers} and {pool.batch}")
    cases = [{"id": sample.id, "case": to_json(sample)} for sample in samples]
    size = sum(len(case["case"]) for case in cases) / 1000
    errors.print(f"{len(cases)} cases, {size:.1f} kB, for {pool.workers} workers", soft_wrap=True)
    _join(pool)
    ray.data.DataContext.get_current().enable_progress_bars = False
    done: dict[str, int] = {}
    with progress() as bar:
        task = bar.add_task(words, total=len(samples))
        for row in _drawn(cases, ready, pool):
            if row["refused"]:
                raise BadInput(f"a worker stopped at case {row['id']} or one beside it: {row['refused']}")
            done[row["id"]] = row["process"]
            bar.update(task, advance=1)
    if lost := [sample.id for sample in samples if sample.id not in done]:
        raise BadInput(f"expected all {len(samples)} cases back from Ray, {len(lost)} did not come; run again")
    errors.print(f"{len(done)} cases are kept, from {len(set(done.values()))} processes", soft_wrap=True)


def _join(pool: Pool) -> None:
    """Connect to the cluster, or start a Ray on this machine alone that is large enough for the workers."""
    own = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    here: dict[str, Any] = dict(
        num_cpus=max(1, round(pool.workers * pool.cpus)), object_store_memory=OBJECTS, include_dashboard=False
    )
    ray.init(address=pool.address, runtime_env={"env_vars": own}, **({} if pool.address else here))


def _drawn(cases: list[dict[str, str]], ready: Callable[[], Draw], pool: Pool) -> Iterator[dict[str, Any]]:
    """What workers say of each case, in the order in which they are done."""
    blocks = max(1, len(cases) // pool.batch)
    yield from (
        ray.data.from_items(cases, override_num_blocks=blocks)
        .map_batches(
            Worker,
            fn_constructor_args=(ready, Path.cwd()),
            batch_size=pool.batch,
            # one batch each at a time, so that none waits behind a slow worker at the end, or dies with another's
            compute=ray.data.ActorPoolStrategy(size=min(pool.workers, blocks), max_tasks_in_flight_per_actor=1),
            num_gpus=pool.gpus,
            num_cpus=pool.cpus,
            max_task_retries=TRIES,
        )
        .iter_rows()
    )


def into_store(out: Path, load: Callable[[], tuple[LVLM, StoreCard]]) -> Draw:
    """What a worker does for `collect`; the store is read once, when the worker starts."""
    lvlm, card = load()
    writer = StoreWriter(out, card)
    return lambda samples: fill(lvlm, samples, writer, tick=lambda: None)


def into_work(selector: str, samplings: tuple[Sampling, ...], data: str, work: Path, **options: Any) -> Draw:
    """What a worker does for `evaluate`."""
    grounder = Grounder.from_pretrained(**options)
    selectors = evaluating.selectors_of(grounder, evaluating.names_of(selector), grouped=False)
    plan = Plan(grounder.setting, samplings, selectors, {}, data, work)
    return lambda samples: answer(grounder.lvlm, samples, plan, tick=lambda: None)


def collect(
    context: typer.Context, dataset: Dataset, out: Out, *, images: Images = None, split: Split = None,
    size: SizeNames = "small", limit: Limit = None, multiple: Multiple = False, one_per_image: One = False,
    ids: Ids = None, model: Model = embedded.NAME, n: int = 10, temperature: float = 1.0, seed: int = 0,
    heads: Heads = "all", grid: Grid = "native", device: Device = "auto", dtype: Dtype = "auto",
) -> None:  # fmt: skip
    """python recipes/ray/spread.py --workers 2 collect scenes store --limit 40

    The store that `glintbox collect` makes with the same words; either goes on where the other was.
    """
    sampling, shape = Sampling(n, temperature, seed=seed, greedy_too=False), grid_of(grid)
    wanted = Wanted(dataset, images, split, words(size), limit, multiple, ids, one_per_image=one_per_image)
    samples = read_cases(wanted, default_split=collecting.SPLIT)
    load = partial(
        collecting.opened, wanted, sampling, model=model, heads=heads, shape=shape, device=device, dtype=dtype
    )
    spread(samples, partial(into_store, out, load), context.obj, "collecting")


def evaluate(
    context: typer.Context, dataset: Dataset, *, work: Annotated[Path, typer.Option(help="Keeps the answers.")],
    images: Images = None, split: Split = None, size: SizeNames = "small", limit: Limit = None, ids: Ids = None,
    model: Model = embedded.NAME, selector: str = "greedy,auto", temperature: str = "0.7", n: int = 10, seed: int = 0,
    heads: HeadMap = None, regressor: Regressor = None, device: Device = "auto", dtype: Dtype = "auto",
) -> None:  # fmt: skip
    """python recipes/ray/spread.py --workers 2 evaluate scenes --work answers --limit 40

    The answers that `glintbox evaluate` with the same words needs; run that next, it draws none and reports.
    """
    evaluating.names_of(selector)
    samplings = evaluating.samplings_of(n, temperature, seed)
    samples = read_cases(Wanted(dataset, images, split, words(size), limit, ids=ids), default_split=evaluating.SPLIT)
    asked = partial(
        into_work, selector, samplings, data_name(dataset, split=split), work,
        name_or_folder=model, device=device, dtype=dtype, heads=heads, regressor=regressor,
    )  # fmt: skip
    spread(samples, asked, context.obj, "answering")
    errors.print(f"for the report: glintbox evaluate {dataset} --work {work}, and the other words", soft_wrap=True)


def pool(
    context: typer.Context,
    *,
    workers: Annotated[int, typer.Option(help="Processes, each with one loaded model.")] = 2,
    gpus: Annotated[float, typer.Option(help="GPUs of each; several with --device balanced, a part to share one.")] = 0,
    cpus: Annotated[float, typer.Option(help="CPU cores of each.")] = 1,
    batch: Annotated[int, typer.Option(help="Cases that a worker is given at a time.")] = 8,
    address: Annotated[str | None, typer.Option(envvar="RAY_ADDRESS", help="Of a cluster; else this machine.")] = None,
) -> None:
    """Draw answers with several models at once; what is kept already is not drawn again."""
    context.obj = Pool(workers, gpus, cpus, batch, address)


app = typer.Typer(callback=pool, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("collect")(friendly(collect))
app.command("evaluate")(friendly(evaluate))

if __name__ == "__main__":
    app()
