"""`glintbox env`: what a bug report should say about this installation."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import torch
import typer

from glintbox.artifacts import cache_root
from glintbox.cli.console import results, table

PACKAGES = ("glintbox", "torch", "transformers", "numpy", "pillow", "scipy", "matplotlib", "torchvision")


def env(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """glintbox env

    Print versions, devices and the cache folder: paste it into a bug report.
    """
    facts = {"python": platform.python_version(), "platform": platform.platform(), "cores": str(os.cpu_count())}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts["gpu"] = ", ".join(gpus) or "none"
    facts["torch threads"] = str(torch.get_num_threads())
    facts["cache"] = str(cache_root())
    if as_json:
        results.print_json(json.dumps(facts))
    else:
        results.print(table(("what", "found"), facts.items()))
