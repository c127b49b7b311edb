"""The page over HTTP: uploads in, plain data out. The only room for starlette and uvicorn.

Nothing is read from disk after the start, so no path of the machine can be asked for: the files of the page are
held in a table, pictures and results in memory. Uploads have a content type that pages of other sites cannot send
without being asked first, and names of other hosts are refused, so that no page elsewhere can use a server here.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glintbox.draw import require_matplotlib
from glintbox.errors import BadInput, Busy, GlintboxError, Gone
from glintbox.ground import Grounder
from glintbox.images import size_of
from glintbox.web import page
from glintbox.web.asking import Asked, Choice, Found, Limits, asked, find, look, weight
from glintbox.web.desk import Desk
from glintbox.web.examples import Example

FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/drawing.js": ("drawing.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
"""All that is served from the package, by the path that it is asked for."""

UPLOAD = "application/octet-stream"
"""The one content type of uploads."""

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

STATUS: dict[type[Exception], int] = {Busy: 503, Gone: 404}
"""Of errors raised on purpose; all others are the fault of what was sent, 422."""

Work = Callable[[Grounder, bytes, Asked, Limits], Found]


class Page:
    """The routes of one model. examples: pictures to begin with."""

    def __init__(
        self, grounder: Grounder, limits: Limits, *, waiting: int, memory: int, examples: tuple[Example, ...] = ()
    ) -> None:
        self._grounder, self._limits = grounder, limits
        self._examples = {example.name: example for example in examples}
        self._drawing = Lock()  # matplotlib's settings are global
        self.desk = Desk[Found](waiting=waiting, memory=memory, weigh=weight)

    def app(self, hosts: list[str]) -> Starlette:
        """The application; hosts: names by which it may be called."""
        routes = [Route(path, partial(_file, *file)) for path, file in _files().items()]
        routes += [
            Route("/about", self.about),
            Route("/examples/{name}", self.example),
            Route("/find", partial(self.take, find), methods=["POST"]),
            Route("/look", partial(self.take, look), methods=["POST"]),
            Route("/jobs/{job}", self.state),
            Route("/jobs/{job}/result", self.result),
            Route("/jobs/{job}/candidates/{number:int}", self.candidate),
            Route("/jobs/{job}/picture.jpg", self.picture),
            Route("/jobs/{job}/grounding.json", self.json),
            Route("/jobs/{job}/figure.png", self.figure),
        ]
        middleware = [Middleware(Safely), Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)]
        handlers: dict[Any, Any] = {GlintboxError: _refused, HTTPException: _refused}
        return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(self.desk.close)

    async def about(self, request: Request) -> Response:
        """What the page says first."""
        examples = [(example.name, example.query) for example in self._examples.values()]
        grounder = self._grounder
        told = page.about(grounder.lvlm.card, self._limits, localization=grounder.localization, examples=examples)
        return JSONResponse(told)

    async def example(self, request: Request) -> Response:
        """The picture of an example."""
        example = self._examples.get(request.path_params["name"])
        if example is None:
            raise Gone("expected the name of an example, got another; /about lists them")
        return Response(example.picture, media_type="image/jpeg")

    async def take(self, work: Work, request: Request) -> Response:
        """Take a picture (the body) and a question, and put them in line."""
        question = asked(request.query_params, self._limits)
        picture = await _body(request, self._limits.bytes)
        await run_in_threadpool(size_of, picture, max_pixels=self._limits.pixels)
        job = self.desk.submit(partial(work, self._grounder, picture, question, self._limits), len(picture))
        return JSONResponse({"job": job}, status_code=202)

    async def state(self, request: Request) -> Response:
        """Where a job stands."""
        return JSONResponse(self.desk.state(request.path_params["job"]))

    async def result(self, request: Request) -> Response:
        """The boxes of a choice: nothing is sampled or computed again."""
        found, made = self._choice(request)
        return JSONResponse(page.shown(found, made))

    async def candidate(self, request: Request) -> Response:
        """One candidate, closer."""
        found, made = self._choice(request)
        return JSONResponse(page.closer(found, made, request.path_params["number"], self._grounder.heads))

    async def picture(self, request: Request) -> Response:
        """The picture, upright, as a browser shows it."""
        found = self.desk.result(request.path_params["job"])
        return Response(await run_in_threadpool(page.preview, found), media_type="image/jpeg")

    async def json(self, request: Request) -> Response:
        """What `glintbox ground --json` prints, to keep."""
        found, made = self._choice(request)
        return _kept(page.download(found, made), page.chosen(found, made).id + ".json", "application/json")

    async def figure(self, request: Request) -> Response:
        """The picture that `glintbox ground --out` writes, to keep."""
        found, made = self._choice(request)
        drawn = await run_in_threadpool(self._figure, found, made)
        return _kept(drawn, page.chosen(found, made).id + ".png", "image/png")

    def _figure(self, found: Found, made: Choice) -> bytes:
        with self._drawing:
            return page.figure(found, made, self._grounder.heads)

    def _choice(self, request: Request) -> tuple[Found, Choice]:
        found, words = self.desk.result(request.path_params["job"]), request.query_params
        told = (words.get(word, "") for word in ("temperature", "selector", "multiple"))
        return found, page.choice(found, *told)


class Safely:
    """Puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        await self._app(scope, receive, sent)


def serve(page: Page, host: str, port: int, *, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; port 0 takes any that is free. ready: gets the address once it can be called.

    Raises:
        BadInput: the address cannot be bound.
        MissingExtra: matplotlib is not installed.
    """
    require_matplotlib()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadInput(
            f"expected an address that is free, got {host} port {port} ({error}); give another --port"
        ) from error
    with bound:
        config = uvicorn.Config(
            page.app(names_of(host)), log_level="warning", lifespan="on", limit_concurrency=256, server_header=False
        )
        ready(f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[bound])


def names_of(host: str) -> list[str]:
    """By which names a server that listens on `host` may be called: any, where it listens to everyone."""
    if host in {"0.0.0.0", "::"}:
        return ["*"]
    return ["127.0.0.1", "localhost", "::1", "[::1]", host, f"[{host}]"]


def _files() -> dict[str, tuple[bytes, str]]:
    folder = Path(__file__).parent
    return {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}


async def _file(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind)


async def _body(request: Request, limit: int) -> bytes:
    """The upload, of which never more than `limit` bytes are held."""
    if request.headers.get("content-type", "") != UPLOAD:
        raise HTTPException(415, f"expected an upload of content type {UPLOAD}, got another")
    told = request.headers.get("content-length", "0")
    body = bytearray()
    if not told.isdecimal() or int(told) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"expected a picture of at most {limit / 2**20:g} MB, got a larger one; shrink it first")


def _kept(content: bytes, name: str, kind: str) -> Response:
    """To be kept as a file. The name is an id, so safe as it is."""
    return Response(
        content, media_type=kind, headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    )


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, status_code=error.status_code)
    return JSONResponse({"error": str(error)}, status_code=STATUS.get(type(error), 422))
