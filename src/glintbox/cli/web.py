"""`glintbox web`: a page in the browser; drop a picture, say what to find, look at every candidate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from glintbox import embedded
from glintbox.cli.console import errors, results
from glintbox.cli.ground import Device, Dtype, Heads, Looks, Model, Regressor
from glintbox.errors import MissingExtra
from glintbox.ground import Grounder
from glintbox.web.asking import Limits
from glintbox.web.examples import examples


def web(
    *,
    model: Model = embedded.NAME,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets everyone in who can reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 7860,
    heads: Heads = None,
    regressor: Regressor = None,
    localization: Looks = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest upload, in MB.")] = 20,
    max_megapixels: Annotated[int, typer.Option(min=1, help="Largest picture, in millions of pixels.")] = 40,
    waiting: Annotated[
        int, typer.Option(min=1, help="Pictures that may wait in line; more are told to come back.")
    ] = 32,
    keep_mb: Annotated[int, typer.Option(min=1, help="Memory for results, in MB; the oldest make room.")] = 256,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """glintbox web

    A page in the browser: drop a picture, say what to find, and look at every candidate, its answer and its attention.
    """
    try:
        from glintbox.web.server import Page, serve  # the extra
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise MissingExtra(error.name, "web") from error
    errors.print(f"loading {model} …", soft_wrap=True)
    own: dict[str, Any] = dict(heads=heads, regressor=regressor, localization=localization)
    grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, **own)
    limits = Limits(bytes=max_mb * 2**20, pixels=max_megapixels * 1_000_000)
    scenes = examples() if model == embedded.NAME else ()
    page = Page(grounder, limits, waiting=waiting, memory=keep_mb * 2**20, examples=scenes)
    serve(page, host, port, ready=lambda address: results.print(address, soft_wrap=True))
