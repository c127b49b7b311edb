"""`glintbox collect`: answers to the cases of a dataset with the attention behind them, kept in a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.cli.cases import Dataset, Ids, Images, Multiple, SkipMissing, Wanted, read_cases
from glintbox.cli.console import errors, progress
from glintbox.cli.ground import Batch, Device, Dtype, Model
from glintbox.cli.options import grid_of, heads_among
from glintbox.collect import fill
from glintbox.compare import share_of
from glintbox.datasets.resolve import data_name
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import Sample, Sampling
from glintbox.store import Store, StoreCard, StoreWriter

SPLIT = "train"

Out = Annotated[Path, typer.Argument(help="Folder of the store; what is there already is not drawn again.")]
Heads = Annotated[
    str, typer.Option(help="Whose maps are kept: all, none, L14H3, layers L14-L21, with commas, or a head map's file.")
]
Grid = Annotated[str, typer.Option(help="native, or rows x columns that maps are resampled to: 24x24.")]
Split = Annotated[str | None, typer.Option(help=f"Of the dataset; what serves for {SPLIT} unless said otherwise.")]
SizeNames = Annotated[str, typer.Option(help="small (0.1-1 % of the picture), medium, large, any; or several: a,b.")]
Limit = Annotated[int | None, typer.Option(help="At most so many cases of each size (default: all; of scenes 500).")]
Shard = Annotated[str | None, typer.Option(help="i/k: only this part of the cases; several fill one folder.")]
One = Annotated[bool, typer.Option("--one-per-image", help="Of each picture one case, chosen by the file's name.")]


def collect(
    dataset: Dataset,
    out: Out,
    *,
    images: Images = None,
    split: Split = None,
    size: SizeNames = "small",
    limit: Limit = None,
    multiple: Multiple = False,
    one_per_image: One = False,
    ids: Ids = None,
    skip_missing: SkipMissing = False,
    model: Model = embedded.NAME,
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples; the paper collects at 1.0.")] = 1.0,
    seed: int = 0,
    heads: Heads = "all",
    grid: Grid = "native",
    shard: Shard = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Batch = 1,
) -> None:
    """glintbox collect scenes store --n 10 --temperature 1.0 --limit 1000

    Write candidate boxes and keep them with the attention behind them, for training and analysis. Stopped, it goes on
    where it was.
    """
    sampling, shape = Sampling(n, temperature, seed=seed, greedy_too=False), grid_of(grid)
    sizes = [word for part in size.split(",") if (word := part.strip())]
    wanted = Wanted(dataset, images, split, sizes, limit, multiple, ids, skip_missing, one_per_image)
    samples = read_cases(wanted, default_split=SPLIT)
    samples = list(share_of(samples, shard) if shard else samples)
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(model), device=device, dtype=dtype, batch=batch)
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    kept = heads_among(heads, lvlm.card.all_heads())
    with StoreWriter(out, StoreCard(setting, sampling, _told(wanted), kept, *(shape or (None, None)))) as writer:
        _fill(lvlm, samples, writer)
    _tell(out, len(samples))


def _told(wanted: Wanted) -> str:
    """What the cases are: two stores of other words do not mix. A limit or a shard only says how many of them."""
    name = data_name(wanted.dataset, split=wanted.split, default_split=SPLIT)
    if wanted.ids:
        return f"{name}, cases of {wanted.ids.name}"
    objects = "two or more objects" if wanted.multiple else "one object"
    return f"{name}, {objects}, size {', '.join(wanted.sizes)}{', one case per picture' * wanted.one_per_image}"


def _fill(lvlm: LVLM, samples: Sequence[Sample], writer: StoreWriter) -> None:
    """Draw what is missing; what is there already stands at the bar's beginning and does not blur its rate."""
    missing = [sample for sample in samples if sample.id not in writer.done]
    there, cut = len(samples) - len(missing), [sample.id for sample in missing if sample.id in writer.cut]
    if there:
        errors.print(f"{there} of {len(samples)} cases are there already", soft_wrap=True)
    if cut:
        errors.print(f"{len(cut)} cases are cut off in {writer.folder} and drawn anew", soft_wrap=True)
    with progress() as bar:
        task = bar.add_task("collecting", total=len(samples), completed=there)
        fill(lvlm, missing, writer, tick=lambda: bar.update(task, advance=1))


def _tell(out: Path, cases: int) -> None:
    store = Store(out)
    size = sum(path.stat().st_size for path in out.iterdir())
    maps = f"maps of {len(store.card.heads)} heads" if store.card.heads else "no maps"
    told = f"{out} holds {len(store)} cases, {len(store.rows.iou)} sampled boxes with {maps}, {size / 1e6:.1f} MB"
    errors.print(f"{told}; {cases} of the cases are those asked for", soft_wrap=True)
