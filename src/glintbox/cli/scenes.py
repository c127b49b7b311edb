"""`glintbox scenes make|sheet`: generated pictures with known boxes, for trying, calibrating and measuring."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from glintbox.artifacts import write_whole
from glintbox.cli.console import errors, progress
from glintbox.datasets.contact_sheet import boxes_sheet, expressions_sheet
from glintbox.datasets.scene_folder import write_scenes
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.errors import BadInput

Split = Annotated[
    str, typer.Option(help="train, calibration, validation, test or test-style-b; their pictures never overlap.")
]


def make(
    out: Annotated[Path, typer.Argument(help="Folder for images/, instances.json and expressions.json.")],
    *,
    split: Split = "validation",
    n: Annotated[int, typer.Option(help="How many, from the first of the split on.")] = 100,
) -> None:
    """glintbox scenes make scenes --split calibration --n 600

    Draw scenes: PNG, a COCO instances file with masks, referring expressions. Run again to go on after a stop.
    """
    with progress() as bar:
        task = bar.add_task("drawing", total=n)
        path = write_scenes(out, split=split, count=n, tick=lambda: bar.update(task, advance=1))
    errors.print(f"{n} scenes of split {split}; boxes lie in {path}, expressions beside it", soft_wrap=True)


def sheet(
    out: Annotated[Path, typer.Argument(help="The PNG to write.")],
    *,
    split: Split = "validation",
    n: Annotated[int, typer.Option(help="How many scenes, at most 400.")] = 24,
    told: Annotated[bool, typer.Option("--expressions", help="One expression each instead of all boxes.")] = False,
) -> None:
    """glintbox scenes sheet sheet.png --split validation --n 24

    Draw many scenes onto one picture with their boxes and names, to look at them.
    """
    if not 1 <= n <= 400:
        raise BadInput(f"expected 1 to 400 scenes on a sheet, got {n}")
    scenes = [draw_scene(scene_seed(split, index)) for index in range(n)]
    written = io.BytesIO()
    (expressions_sheet if told else boxes_sheet)(scenes).save(written, "PNG")
    try:
        write_whole(out, written.getvalue())
    except OSError as error:
        raise BadInput(f"expected a picture that can be written at {out}, got: {error}") from error
    errors.print(f"{n} scenes of split {split} on {out}", soft_wrap=True)
