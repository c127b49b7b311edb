"""The DATASET argument of the commands, its options, and the cases that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from glintbox.cli.console import progress
from glintbox.datasets.cases import Instances
from glintbox.datasets.draws import read_ids
from glintbox.datasets.resolve import resolve
from glintbox.errors import BadInput
from glintbox.records import Sample

DATASETS = "scenes, coco, objects365 (below GLINTBOX_DATA), a folder of one of them, or a COCO instances JSON."

Dataset = Annotated[str, typer.Argument(help=DATASETS)]
Images = Annotated[Path | None, typer.Option(help="Folder of the pictures of a JSON.")]
Ids = Annotated[Path | None, typer.Option(help="Exactly the cases of this file of glintbox data ids, of any size.")]
SkipMissing = Annotated[bool, typer.Option("--skip-missing", help="Leave out cases whose picture is not there.")]
Multiple = Annotated[bool, typer.Option("--multiple", help="Two or more objects, all of the size, instead of one.")]


class Wanted(NamedTuple):
    """Which cases a command is to take; each as `resolve` has it, of several sizes."""

    dataset: str
    images: Path | None
    split: str | None
    sizes: Sequence[str]
    limit: int | None
    multiple: bool = False
    ids: Path | None = None
    skip_missing: bool = False
    one_per_image: bool = False


def read_cases(wanted: Wanted, *, default_split: str) -> list[Sample]:
    """The cases of each size, one after the other; none twice, where sizes meet.

    Raises:
        BadInput: no size, no file of ids; and as `resolve`.
    """
    if not wanted.sizes:
        raise BadInput("expected names of sizes, got none; for instance --size small,large")
    ids = read_ids(wanted.ids) if wanted.ids else None
    instances: Instances = "many" if wanted.multiple else "one"
    with progress() as bar:
        task = bar.add_task("reading cases", total=None)
        found = [
            sample
            for size in (wanted.sizes if ids is None else ["any"])
            for sample in resolve(
                wanted.dataset, images=wanted.images, split=wanted.split, size=size, limit=wanted.limit,
                instances=instances, ids=ids, skip_missing=wanted.skip_missing,
                one_per_image=wanted.one_per_image, default_split=default_split,
                tick=lambda: bar.update(task, advance=1),
            )
        ]  # fmt: skip
    return list({sample.id: sample for sample in found}.values())
