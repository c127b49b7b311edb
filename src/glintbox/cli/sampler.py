"""Who writes the answers of a command: the model that is loaded, or a server; and what is loaded beside a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any, Literal, NamedTuple

import typer

from glintbox import embedded
from glintbox.errors import BadInput
from glintbox.ground import Grounder

API_KEY_ENV = "OPENAI_API_KEY"

Sampler = Annotated[Literal["local", "openai"], typer.Option(help="Who writes: this model, or a server (--base-url).")]
BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1.")]
ServedName = Annotated[str | None, typer.Option(help="Its name for the model (default: the only one it serves).")]
Processor = Annotated[
    str | None, typer.Option(help="With a server, no --model: checkpoint whose processor alone is loaded, no weights.")
]
Family = Annotated[str | None, typer.Option(help="With a server, nothing loaded: model type, for its units.")]
ApiKeyEnv = Annotated[str, typer.Option(help="Environment variable that holds the server's key, if it wants one.")]
Concurrency = Annotated[int, typer.Option(help="Most requests to the server at a time.")]
Timeout = Annotated[float, typer.Option(help="Seconds for one request.")]
Retries = Annotated[int, typer.Option(help="How often a request is sent again.")]


class Known(NamedTuple):
    """What is known here of the served model: weights, its processor alone, or its family alone."""

    model: str | None
    processor: str | None
    family: str | None


class Remote(NamedTuple):
    """A server and what is known of its model; connection: options of `Server`."""

    base_url: str
    served: str | None
    known: Known
    connection: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        """What results depend on."""
        return dict(base_url=self.base_url, served=self.served) | self.known._asdict()


def remote_of(
    sampler: str, base_url: str | None, served: str | None, known: Known, *, api_key_env: str, **connection: Any
) -> Remote | None:
    """The server that the options name; None where the model itself writes.

    Raises:
        BadInput: options that do not go together, or an environment variable named for the key that is not set.
    """
    if sampler == "local":
        if base_url or served or known.processor or known.family:
            raise BadInput(
                "expected --sampler openai with --base-url, --served-name, --processor or --family, got the local one; "
                "add it, or leave these out"
            )
        return None
    if base_url is None:
        raise BadInput("expected --base-url with --sampler openai, e.g. http://127.0.0.1:8000/v1, got none; add it")
    named = [f"--{name}" for name, value in known._asdict().items() if value]
    if len(named) != 1:
        raise BadInput(
            f"expected one of --model, --processor and --family with --sampler openai, got {' and '.join(named) or 0}: "
            "the served checkpoint, so that attention is read here; its processor alone; or its model type"
        )
    key = os.environ.get(api_key_env)
    if key is None and api_key_env != API_KEY_ENV:
        raise BadInput(f"expected the server's key in the environment variable {api_key_env}, got none; set it")
    return Remote(base_url, served, known, connection | dict(api_key=key))


@contextmanager
def answering(
    remote: Remote | None, model: str | None, *, device: str, dtype: str, batch: int, **own: Any
) -> Iterator[Grounder]:
    """What grounds: the model here, with its artefacts `own`, over the server where there is one; closed at the end.

    Raises:
        BadInput: artefacts without weights; and as `Grounder.from_pretrained`, `Server` and `Unseen`.
    """
    if remote is None:
        yield Grounder.from_pretrained(model or embedded.NAME, device=device, dtype=dtype, batch=batch, **own)
        return
    from glintbox.lvlm.hf import HuggingFaceLVLM  # transformers and the HTTP client, only where they are wanted
    from glintbox.lvlm.remote import RemoteLVLM
    from glintbox.lvlm.server import Server
    from glintbox.lvlm.unseen import Unseen

    _, processor, family = remote.known
    if not model and (given := [f"--{name}" for name, value in own.items() if value]):
        raise BadInput(f"expected --model with {', '.join(given)}, whose attention is read here, got none; add it")
    with closing(Server(remote.base_url, served=remote.served, **remote.connection)) as server:
        if model:
            grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, **own)
            yield grounder.over(RemoteLVLM(server, grounder.lvlm))
        elif processor:
            yield Grounder(
                RemoteLVLM(server, HuggingFaceLVLM.from_pretrained(embedded.source(processor), weights=False))
            )
        else:
            yield Grounder(RemoteLVLM(server, Unseen(str(family), served=server.served)))
