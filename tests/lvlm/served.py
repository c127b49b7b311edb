"""An OpenAI-shaped server of the model in the box, a process of its own on loopback, that fails when it is told to.

`python -m tests.lvlm.served` prints its port and ends when its input is closed. Its answers are drawn by the engine:
with the seed that is sent, for the id in X-Request-Id. POST /mode sets how it behaves; GET /seen says what came.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image

from glintbox import embedded

ROOT = Path(__file__).parents[2]
NAME = "scenes"
CANNED = '[{"bbox_2d": [100, 200, 300, 400], "label": "owl"}]'
OPENAI = {"model", "messages", "temperature", "top_p", "max_tokens", "seed", "n", "generation_config"}


@dataclass
class Mode:
    """faults: what the next requests get instead of an answer: a status, "cut", "drop" or "slow", each once.

    n: whether several answers are given, "refused" or "ignored". ids: whether token ids are. strict: fields that OpenAI
    does not have are refused. canned: no engine, always the same text. extra: prompt tokens counted too many. pause:
    seconds that each request takes at least. retry_after: told with 429. broken: statuses for pictures of these widths.
    """

    faults: list[str] = field(default_factory=list)
    n: str = "given"
    ids: bool = True
    strict: bool = False
    canned: bool = False
    counted: bool = True
    extra: int = 0
    pause: float = 0.0
    retry_after: str = ""
    models: list[str] = field(default_factory=lambda: [NAME])
    broken: dict[str, int] = field(default_factory=dict)


class Engine:
    """The model, one request at a time, and what was seen of requests."""

    def __init__(self) -> None:
        from glintbox.lvlm.hf import HuggingFaceLVLM

        self.lvlm = HuggingFaceLVLM.from_pretrained(embedded.folder(), device="cpu", dtype="float32")
        self.turn, self.counting = threading.Lock(), threading.Lock()
        self.reset(Mode())

    def reset(self, mode: Mode) -> None:
        with self.counting:
            self.mode, self.seen = mode, list[dict[str, Any]]()
            self.flying = self.most = 0

    def answered(self, body: Mapping[str, Any], id: str) -> dict[str, Any]:
        """A chat completion."""
        from glintbox.records import Sampling

        picture, words = body["messages"][0]["content"]
        image = shown(picture["image_url"]["url"])
        query = re.fullmatch(r"Detect (.*) in the image\.", words["text"])
        drawn = json.loads(body.get("generation_config", "{}")) or body
        sampling = Sampling(
            n=body.get("n", 1) if self.mode.n == "given" else 1,
            temperature=body["temperature"],
            top_p=body["top_p"],
            top_k=max(0, drawn.get("top_k", 0)),
            seed=body["seed"],
            max_new_tokens=body["max_tokens"],
            greedy_too=False,
        )
        prompt = self.lvlm.prompt(image, query[1] if query else "owl", id=id, text="short" if query else None)
        with self.turn:
            if self.mode.canned:
                ids = tuple(self.lvlm.loaded.tokenizer.encode(CANNED, add_special_tokens=False))
                given = [(CANNED, ids, "stop")] * sampling.n
            else:
                [answered] = self.lvlm.answer([prompt], sampling, None)
                given = [(r.text, r.ids, r.ended) for r in answered.responses]
        end = self.lvlm.loaded.tokenizer.eos_token_id
        choices = []
        for index, (text, ids, ended) in enumerate(given):
            told = {"token_ids": [*ids, *([end] if ended == "stop" else [])]} if self.mode.ids else {}
            message = {"role": "assistant", "content": text}
            choices.append({"index": index, "message": message, "finish_reason": ended, **told})
        usage = {"usage": {"prompt_tokens": len(prompt.ids) + self.mode.extra}} if self.mode.counted else {}
        return {"object": "chat.completion", "choices": choices[::-1], **usage}


def shown(uri: str) -> Image.Image:
    """The picture of a data URI."""
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/seen":
            return self.give(200, {"seen": self.engine.seen, "most": self.engine.most})
        if fault := self.fault():
            return self.fail(fault)
        return self.give(200, {"data": [{"id": name} for name in self.engine.mode.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/mode":
            self.engine.reset(Mode(**body))
            return self.give(200, {})
        engine = self.engine
        with engine.counting:
            engine.flying += 1
            engine.most = max(engine.most, engine.flying)
        try:
            return self.chat(body)
        finally:
            with engine.counting:
                engine.flying -= 1

    def chat(self, body: dict[str, Any]) -> None:
        mode, fault = self.engine.mode, self.fault()
        time.sleep(mode.pause)
        size = shown(body["messages"][0]["content"][0]["image_url"]["url"]).size
        fault = fault or str(mode.broken.get(str(size[0]), ""))
        plain = {key: value for key, value in body.items() if key != "messages"}
        text = body["messages"][0]["content"][1]["text"]
        told = dict(size=size, text=text, id=self.headers["X-Request-Id"], key=self.headers["Authorization"])
        self.engine.seen.append({**plain, **told, "fault": fault})
        if fault:
            return self.fail(fault)
        if mode.strict and (odd := set(body) - OPENAI):
            return self.give(422, {"detail": f"Unexpected fields in the request: {odd}"})
        if mode.n == "refused" and body.get("n", 1) > 1:
            return self.give(400, {"error": {"message": "only one choice is supported"}})
        if body["model"] not in mode.models:
            return self.give(404, {"error": {"message": f"The model {body['model']!r} does not exist."}})
        return self.give(200, self.engine.answered(body, unquote(self.headers["X-Request-Id"])))

    def fault(self) -> str:
        with self.engine.counting:
            return self.engine.mode.faults.pop(0) if self.engine.mode.faults else ""

    def fail(self, fault: str) -> None:
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if fault == "slow":
            time.sleep(6)
        if fault in {"slow", "cut"}:
            return self.send(200, b'{"choices": [{"index": 0, "mess')
        return self.give(int(fault), {"error": {"message": f"told to fail with {fault}"}})

    def give(self, status: int, answer: Mapping[str, Any]) -> None:
        self.send(status, json.dumps(answer).encode())

    def send(self, status: int, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 429 and self.engine.mode.retry_after:
                self.send_header("Retry-After", self.engine.mode.retry_after)
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up


class Loopback(ThreadingHTTPServer):
    """127.0.0.1, any free port."""

    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        socket.setdefaulttimeout(60)
        super().server_bind()


@dataclass(frozen=True)
class Service:
    """The running process, as tests see it."""

    url: str

    def set(self, **mode: Any) -> None:
        """Forget what came, and behave so from now on."""
        self._asked("/mode", json.dumps(mode).encode())

    def seen(self) -> list[dict[str, Any]]:
        """The requests that came since `set`: their fields, the picture's size, id, key and fault."""
        return list(self._asked("/seen")["seen"])

    def most(self) -> int:
        """How many requests were in flight at most since `set`."""
        return int(self._asked("/seen")["most"])

    def _asked(self, path: str, content: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, data=content)
        with urllib.request.urlopen(request, timeout=60) as response:
            return dict(json.loads(response.read()))


@contextmanager
def serving() -> Iterator[Service]:
    """Start the process, and end it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.lvlm.served"]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            port = process.stdout.readline().strip()
            assert port.isdigit(), "the server did not start"
            yield Service(f"http://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            process.wait(30)


def main() -> None:
    """Serve until the input is closed."""
    Handler.engine = Engine()
    server = Loopback(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
