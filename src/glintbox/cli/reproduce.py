"""`glintbox reproduce`: the paper's tables and figures, each by one word."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, NamedTuple

import torch
import typer

from glintbox import embedded
from glintbox.cli.cases import DATASETS, Images
from glintbox.cli.console import errors, progress
from glintbox.cli.ground import Batch, Device, Dtype, Model
from glintbox.compare import share_of
from glintbox.draw import require_matplotlib
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import setting_of
from glintbox.reproduce.bench import Bench, Room
from glintbox.reproduce.catalogue import ALL, CATALOGUE, RIVALS, about, all_needs, names
from glintbox.reproduce.pages import write
from glintbox.reproduce.plan import FULL, QUICK, Amounts, Data, check_split
from glintbox.reproduce.rivals import parts_of, usable
from glintbox.reproduce.trained import regressor

What = Annotated[str, typer.Argument(metavar="WHAT", help=f"{', '.join(CATALOGUE)}, or {ALL}.")]
Dataset = Annotated[str, typer.Option(help=DATASETS)]
Split = Annotated[str | None, typer.Option(help="To report on; of scenes test or validation, which is for trying out.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for Markdown, JSON and pictures.")]
Work = Annotated[Path | None, typer.Option(help="Folder for answers and regressors (default: your cache).")]
Quick = Annotated[bool, typer.Option("--quick", help="Few cases: shows that all of it runs, measures nothing.")]
Shard = Annotated[str | None, typer.Option(help="i/k: only draw this part of the answers; several fill one folder.")]


def reproduce(
    what: What,
    *,
    model: Model = embedded.NAME,
    dataset: Dataset = "scenes",
    images: Images = None,
    split: Split = None,
    out: Out = Path("docs/results"),
    work: Work = None,
    quick: Quick = False,
    shard: Shard = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Batch = 1,
    memory: Annotated[int, typer.Option(help="MiB of maps to hold while regressors are trained.")] = 256,
) -> None:
    """glintbox reproduce table2 --model Qwen/Qwen2.5-VL-7B-Instruct --dataset coco --out results

    Make a table or figure of the ACS paper again, from answers that are drawn once and kept. Stopped, it goes on where
    it was; with everything there it only writes.
    """
    require_matplotlib()
    data = Data(dataset, images, split)
    check_split(data)
    share_of((), shard or "1/1")  # refuse a wrong one before anything is drawn
    pages = names(what, data)
    loading = Loading(device, dtype, batch)
    bench = _bench(model, data, amounts=QUICK if quick else FULL, work=work, loading=loading, memory=memory)
    for needed in all_needs(pages, bench.amounts):
        with _timed(f"answers of {needed[0].part}"):
            bench.collect(needed, shard=shard)
    for part in parts_of(bench) if RIVALS in pages else ():
        with _timed(f"rivals on {part}"):
            bench.rivals(part, usable(bench, part)[0], shard=shard)
    if shard:
        errors.print("these answers are kept; run without --shard, once all parts are done, for the pages")
        return
    options: dict[str, str | None] = {"model": model, "dataset": dataset, "images": str(images) if images else None}
    _write(bench, pages, out, f"{_options(**options, split=split)}{' --quick' * quick}")


def _write(bench: Bench, pages: Sequence[str], out: Path, options: str) -> None:
    if any(CATALOGUE[name].parts for name in pages):
        with _timed("regressor"):
            regressor(bench)
    for name in pages:
        with _timed(name):
            told = about(bench, name, f"glintbox reproduce {name} {options}")
            files = write(CATALOGUE[name].make(bench, told), out)
        errors.print(f"{', '.join(files)} lie in {out}", soft_wrap=True)


class Loading(NamedTuple):
    """How the model is loaded."""

    device: str
    dtype: str
    batch: int


def _bench(model: str, data: Data, *, amounts: Amounts, work: Path | None, loading: Loading, memory: int) -> Bench:
    source, gpu = embedded.source(model), torch.cuda.is_available()

    def load() -> LVLM:
        return HuggingFaceLVLM.from_pretrained(source, **loading._asdict())

    room = Room(loading.device if loading.device != "auto" else "cuda" if gpu else "cpu", memory * 2**20)
    return Bench(load, setting_of(source), data, amounts=amounts, work=work, bars=_bar, room=room)


@contextmanager
def _bar(words: str, total: float | None) -> Iterator[Callable[[float], None]]:
    with progress() as bar:
        task = bar.add_task(words, total=total)
        yield lambda more: bar.update(task, advance=more)


@contextmanager
def _timed(words: str) -> Iterator[None]:
    """Tell how long a stage took."""
    began = perf_counter()
    yield
    errors.print(f"{words}: {perf_counter() - began:.1f} s", soft_wrap=True)


def _options(**options: str | None) -> str:
    """The options that make a page again."""
    return " ".join(f"--{option} {shlex.quote(value)}" for option, value in options.items() if value)
