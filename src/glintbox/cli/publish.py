"""`glintbox push` and `glintbox pull`: regressors and head maps to and from a folder or the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.cli.console import errors, results
from glintbox.lvlm.loading import setting_of
from glintbox.publish import pull as pulled
from glintbox.publish import push as pushed
from glintbox.publish import read_artefact

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def push(
    artefact: Annotated[Path, typer.Argument(help="A regressor or head map: its file, or its folder.")],
    target: Annotated[str, typer.Argument(help="A folder, or hf://OWNER/NAME.")],
    *,
    overwrite: Overwrite = False,
    private: Annotated[bool, typer.Option("--private", help="A new repository is for you alone.")] = False,
) -> None:
    """glintbox push regressor hf://your-name/regressor-of-my-model

    Publish a regressor or head map with a model card: safetensors and JSON only. Prints where to pull it from.
    """
    results.print(pushed(read_artefact(artefact), target, overwrite=overwrite, private=private), soft_wrap=True)


def pull(
    source: Annotated[str, typer.Argument(help="A folder, or hf://OWNER/NAME@REVISION (a commit or tag).")],
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Refuse what was not made for this model; loads no weights.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """glintbox pull hf://someone/regressor-of-a-model@v1 --model Qwen/Qwen2.5-VL-7B-Instruct

    Put a published regressor or head map where grounding with its model finds it.
    """
    here = None if model is None else setting_of(embedded.source(model))
    found = pulled(source, overwrite=overwrite, here=here)
    results.print(str(found.path), soft_wrap=True)
    errors.print(f"from commit {found.commit}" if found.commit else f"from {source}", soft_wrap=True)
