"""`glintbox models`: which model families are understood, and known-good checkpoints of each."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.cli.console import results, table
from glintbox.lvlm.families import FAMILIES


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """glintbox models

    List the model families that glintbox understands, the units they write boxes in, and checkpoints to try.
    """
    rows = [(name, family.units, ", ".join(family.checkpoints)) for name, family in sorted(FAMILIES.items())]
    if as_json:
        results.print_json(
            json.dumps([dict(zip(("model_type", "units", "checkpoints"), r, strict=True)) for r in rows])
        )
        return
    results.print(table(("model_type", "units of written boxes", "known-good checkpoints"), rows))
    results.print(f'"{embedded.NAME}" is the small model in the box; a folder of any checkpoint above works as well.')
