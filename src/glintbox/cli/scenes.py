"""`glintbox scenes make`: generated pictures with known boxes, for trying, calibrating and measuring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glintbox.cli.console import errors, progress
from glintbox.datasets.scene_folder import write_scenes

Out = Annotated[Path, typer.Argument(help="Folder for images/ and instances.json.")]
Split = Annotated[str, typer.Option(help="train, calibration, validation or test; their pictures never overlap.")]


def make(out: Out, *, split: Split = "validation", n: Annotated[int, typer.Option(help="How many.")] = 100) -> None:
    """glintbox scenes make scenes --split calibration --n 600

    Draw scenes and write them as PNG with a COCO instances file.
    """
    with progress() as bar:
        task = bar.add_task("drawing", total=n)
        path = write_scenes(out, split=split, count=n, tick=lambda: bar.update(task, advance=1))
    errors.print(f"{n} scenes of split {split}; boxes lie in {path}", soft_wrap=True)
