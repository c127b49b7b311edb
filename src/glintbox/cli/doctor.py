"""`glintbox doctor`: does a checkpoint behave as its family promises, on this machine?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.cli.console import errors, results
from glintbox.cli.ground import AsJson, Device, Dtype
from glintbox.lvlm.doctor import examine
from glintbox.lvlm.hf import HuggingFaceLVLM

Model = Annotated[str, typer.Argument(help="Hub name or checkpoint folder.")]
MARK = {True: "[green]ok[/]", False: "[bold red]broken[/]", None: "[yellow]look[/]"}


def doctor(
    model: Model = embedded.NAME, *, device: Device = "auto", dtype: Dtype = "auto", as_json: AsJson = False
) -> None:
    """glintbox doctor Qwen/Qwen2.5-VL-7B-Instruct

    Check on real weights what the tests check on small ones: grid, captured attention, replay, coordinates. Exit 1 if
    something is broken.
    """
    with errors.status("loading"):
        lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(model), device=device, dtype=dtype)
    findings = []
    for finding in examine(lvlm):
        findings.append(finding)
        if not as_json:
            results.print(f"{MARK[finding.ok]:>8}  {finding.check}: ", end="", markup=True)
            results.print(finding.seen, soft_wrap=True)
    if as_json:
        results.print_json(json.dumps([finding._asdict() for finding in findings]))
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)
