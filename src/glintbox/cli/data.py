"""`glintbox data counts|ids`: what a dataset holds, and cases named so that others can take the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from glintbox.cli.cases import Dataset, Multiple
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.ground import AsJson
from glintbox.datasets.cases import SIZES, Instances, Rule, check_names, fitting
from glintbox.datasets.counts import BY_SIZE, SETS, Counts, expect, steps
from glintbox.datasets.counts import counts as counted
from glintbox.datasets.draws import draw, write_ids
from glintbox.datasets.resolve import SCENES, annotations_of, data_name, resolve

Split = Annotated[str | None, typer.Option(help="Of the dataset; validation, val2017 or val unless said otherwise.")]
Size = Annotated[str, typer.Option(help="small (0.1-1 % of the picture), medium, large, any.")]


def counts(
    dataset: Dataset,
    *,
    split: Split = None,
    size: Size = "small",
    multiple: Multiple = False,
    expected: Annotated[int | None, typer.Option("--expect", help="Fail unless there are that many cases.")] = None,
    as_json: AsJson = False,
) -> None:
    """glintbox data counts coco --expect 2225

    Count the cases of a dataset by size, and by every way to read what a paper says of them. Needs no pictures.
    """
    instances: Instances = "many" if multiple else "one"
    check_names(size, instances)
    found = _counted(dataset, split, instances=instances, size=size)
    if as_json:
        results.print(json.dumps(_plain(found), indent=2), soft_wrap=True)
    else:
        _show(found, data_name(dataset, split=split))
    if expected is not None:
        expect(found, expected, where=dataset)


def ids(
    dataset: Dataset,
    out: Annotated[Path, typer.Argument(help="Text file to write: one id per line.")],
    *,
    split: Split = None,
    size: Size = "small",
    multiple: Multiple = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Draw so many of them (default: all).")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first (default: all; of scenes 500).")] = None,
) -> None:
    """glintbox data ids objects365 objects365-2225.txt --sample 2225 --seed 0

    Write the ids of a dataset's cases, or of a sample of them, for --ids of other commands and for readers.
    """
    instances: Instances = "many" if multiple else "one"
    every = _every(dataset, split, instances=instances, size=size, limit=limit)
    chosen = draw(every, sample, seed=seed) if sample is not None else every
    about = {"data": data_name(dataset, split=split), "objects": SETS[instances], "size": size}
    about |= {"sample": f"{len(chosen)} of {len(every)} cases, seed {seed}"} if sample is not None else {}
    write_ids(out, chosen, about)
    errors.print(f"{len(chosen)} of {len(every)} cases written to {out}", soft_wrap=True)


def _every(dataset: str, split: str | None, *, instances: Instances, size: str, limit: int | None) -> list[str]:
    """The ids of all cases, in order; only of scenes the pictures are looked at."""
    with progress() as bar:
        task = bar.add_task("reading cases", total=None)
        if dataset == SCENES:
            found = resolve(
                SCENES, images=None, split=split, size=size, limit=limit, instances=instances,
                tick=lambda: bar.update(task, advance=1),
            )  # fmt: skip
            return [sample.id for sample in found]
        check_names(size, instances)
        pairs = fitting(annotations_of(dataset, split=split), Rule(instances), size=size)
        return [str(pair) for pair, _ in islice(pairs, limit)]


def _counted(dataset: str, split: str | None, *, instances: Instances, size: str) -> Counts:
    with progress() as bar:
        task = bar.add_task("reading", total=None)
        annotations = annotations_of(dataset, split=split)
        bar.update(task, description="counting", total=steps(annotations, instances))
        return counted(annotations, instances=instances, size=size, tick=lambda: bar.update(task, advance=1))


def _show(found: Counts, data: str) -> None:
    results.print(
        f"{data}: {found.pictures} pictures, {found.categories} categories, {found.annotations} annotations",
        soft_wrap=True,
    )
    for what, number in found.notes.items():
        results.print(f"  {number} {what}", soft_wrap=True)
    rows: list[Sequence[object]] = [(SETS[each], *found.sets[each].values()) for each in BY_SIZE]
    results.print(table(("objects", *SIZES), rows, title="cases by number of objects and size"))
    variants = [
        (SETS[rule.instances], rule.area, rule.crowd, rule.odd, "in" if rule.ends else "out", number)
        for rule, number in found.variants
    ]
    heading = ("objects", "area of", "crowds", "depicted, mirrored", "ends", "cases")
    results.print(table(heading, variants, title=f"{found.size} cases as the words may be read; first: the default"))


def _plain(found: Counts) -> dict[str, Any]:
    """Counts as JSON has them."""
    variants = [
        {"instances": rule.instances, "area": rule.area, "crowd": rule.crowd, "odd": rule.odd, "ends": rule.ends,
         "cases": number}
        for rule, number in found.variants
    ]  # fmt: skip
    return {
        "pictures": found.pictures, "categories": found.categories, "annotations": found.annotations,
        "notes": found.notes, "sets": found.sets, "size": found.size, "variants": variants,
    }  # fmt: skip
