"""One OpenAI-compatible server: requests side by side, retried until answered. Knows no model and no boxes."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from glintbox.errors import BadInput, GlintboxError, MissingExtra, Unanswered

try:
    import httpx2
except ModuleNotFoundError as error:
    raise MissingExtra("httpx2", "remote") from error

SAMPLED = ("top_k", "min_p", "repetition_penalty")
"""What decides answers and is no part of OpenAI's own interface; never left out, but said in another way if need be."""
EXTRAS = (*SAMPLED, "skip_special_tokens", "return_token_ids")
"""Fields that a server may not know; it says so by refusing them by name."""
LONGEST_WAIT = 600.0
"""Most seconds that are waited before a retry, whatever a server asks for."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question. image: data URI. id: names the case in the server's logs. count: how many answers."""

    id: str
    image: str
    text: str
    count: int
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int


class Choice(NamedTuple):
    """One answer; ids: its tokens, where the server gives them, its end token among them."""

    text: str
    ids: tuple[int, ...] | None
    ended: Literal["stop", "length"]


class Reply(NamedTuple):
    """What came back: prompt_tokens as the server counted them; missing: fields that it does not know; seconds."""

    choices: tuple[Choice, ...]
    prompt_tokens: int | None
    missing: frozenset[str]
    seconds: float


class Refused(Unanswered):
    """The server understood and will not: asking again is in vain."""


class Server:
    """An OpenAI-compatible server: `send` starts a request, `receive` waits for it; at most `concurrency` are out.

    served: the name under which it serves the model; None asks it, and takes the only one. timeout: seconds for one
    request. retries: how often a request is sent again after 429, 5xx, a timeout, a dropped connection or JSON that is
    cut; before each, seconds grow from `wait` twofold, with a seeded jitter, unless the server says Retry-After.

    Raises:
        BadInput: numbers out of range, no HTTP address, or a server that serves several models and none is named.
        Unanswered: the server does not say what it serves.
    """

    def __init__(
        self,
        base_url: str,
        *,
        served: str | None = None,
        api_key: str | None = None,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        wait: float = 1.0,
        seed: int = 0,
    ) -> None:
        if concurrency < 1 or retries < 0 or timeout <= 0 or wait < 0:
            raise BadInput(
                "expected concurrency >= 1, timeout > 0 and retries, wait >= 0, got "
                f"{concurrency}, {timeout}, {retries} and {wait}"
            )
        self.url, self.concurrency = _address(base_url), concurrency
        self._timeout, self._retries, self._wait, self._seed = timeout, retries, wait, seed
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.Client(headers=headers, timeout=timeout)
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="glintbox-server")
        self._flights: dict[Request, Future[Reply]] = {}
        self._missing: frozenset[str] = frozenset()
        self._closed = threading.Event()
        self.one_by_one = False
        try:
            self.served = served or self._only_model()
        except GlintboxError:
            self.close()
            raise

    def send(self, request: Request) -> None:
        """Start a request; one that is in flight already, or waits to be received, is not sent twice."""
        if request not in self._flights:
            self._flights[request] = self._pool.submit(self._answer, request)

    def receive(self, request: Request) -> Reply:
        """The reply to a request that was sent.

        Raises:
            Refused: the server will not answer it; its own words are in the message.
            Unanswered: no answer after all retries.
        """
        return self._flights.pop(request).result()

    def close(self) -> None:
        """Send nothing more; what waits for a retry gives up."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _only_model(self) -> str:
        listed = self._asked("GET", "models", name="models").get("data")
        names = [str(model["id"]) for model in listed] if isinstance(listed, list) else []
        if len(names) != 1:
            raise BadInput(
                f"expected the name of one of the models at {self.url}, which are {names}; give it as served"
            )
        return names[0]

    def _answer(self, request: Request) -> Reply:
        """Ask, leaving out what the server has said that it does not know."""
        began, missing = perf_counter(), self._missing
        for _ in range(len(EXTRAS) + 1):
            body = _body(request, self.served, missing)
            try:
                answer = self._asked("POST", "chat/completions", name=request.id, body=body)
            except Refused as refused:
                named = {field for field in EXTRAS if field in body and field in str(refused)}
                if not named:
                    raise
                missing |= named
                self._missing |= named
            else:
                return Reply(_choices(answer), _prompt_tokens(answer), missing, perf_counter() - began)
        raise Refused(f"expected an answer from {self.url} without {', '.join(EXTRAS)}, got none")

    def _asked(self, method: str, path: str, *, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON of one endpoint, retried."""
        why, pause = "", 0.0
        for attempt in range(self._retries + 1):
            if attempt and self._closed.wait(min(max(pause, self._backoff(name, attempt)), LONGEST_WAIT)):
                break
            try:
                headers = {"X-Request-Id": quote(name, safe="")}
                response = self._client.request(method, f"{self.url}/{path}", json=body, headers=headers)
            except httpx2.TransportError as error:
                why, pause = f"{type(error).__name__} {error}".strip(), 0.0
                continue
            if response.status_code == 429 or response.status_code >= 500:
                why, pause = _said(response), _retry_after(response)
                continue
            if response.status_code != 200:
                raise Refused(
                    f"expected an answer from {self.url}/{path}, got {_said(response)}; see docs/remote.md for what is "
                    "sent, and the server's log"
                )
            found = _json(response.content)
            if found is not None:
                return found
            why, pause = f"JSON that is cut or none: {response.text[-60:]!r}", 0.0
        raise Unanswered(
            f"expected an answer from {self.url}/{path} for {name!r}, got none in {self._retries + 1} attempts of "
            f"{self._timeout:g} s, at last: {why}; see that the server runs, or give more timeout or less concurrency"
        )

    def _backoff(self, name: str, attempt: int) -> float:
        """Seconds before an attempt: half to the whole of a wait that doubles."""
        jitter = random.Random(f"{self._seed} {name} {attempt}").random()
        return float(self._wait * 2 ** (attempt - 1) * (1 + jitter) / 2)


def seed_of(seed: int, name: str, number: int) -> int:
    """The seed of one request, 31 bits: of the sampling's own seed, the case and the number of the answer in it."""
    digest = hashlib.blake2b(f"{seed}\0{number}\0{name}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def _address(base_url: str) -> str:
    """The address of the interface; a bare host gets the path that every such server has."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise BadInput(f"expected a server's address like http://127.0.0.1:8000/v1, got {base_url!r}")
    return base_url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")


def _body(request: Request, served: str, missing: frozenset[str]) -> dict[str, Any]:
    """What is sent; every parameter of the sampling, so that no default of the server or the checkpoint counts."""
    content = [
        {"type": "image_url", "image_url": {"url": request.image}},
        {"type": "text", "text": request.text},
    ]
    body: dict[str, Any] = {
        "model": served,
        "messages": [{"role": "user", "content": content}],
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
    }
    if request.count > 1:
        body["n"] = request.count
    extras = {
        "top_k": request.top_k or -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "skip_special_tokens": False,
        "return_token_ids": True,
    }
    if missing & set(SAMPLED):  # a server of transformers takes them as JSON of its own
        body["generation_config"] = json.dumps(_generation_config(request))
        missing |= set(SAMPLED)
    return body | {name: value for name, value in extras.items() if name not in missing}


def _generation_config(request: Request) -> dict[str, Any]:
    settings: dict[str, Any] = {"max_new_tokens": request.max_tokens, "repetition_penalty": 1.0}
    if request.temperature == 0:
        return settings | {"do_sample": False}
    drawn = {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    return settings | drawn


def _json(content: bytes) -> dict[str, Any] | None:
    """An object of JSON, or None where it is cut."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _choices(answer: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The answers in their order."""
    try:
        ordered: Sequence[Any] = sorted(answer["choices"], key=lambda choice: int(choice.get("index", 0)))
        return tuple(_choice(choice) for choice in ordered)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"expected choices with a message as OpenAI writes them, got {str(answer)[:200]}") from error


def _choice(choice: Mapping[str, Any]) -> Choice:
    ids, ended = choice.get("token_ids"), choice.get("finish_reason")
    if ended not in {"stop", "length"}:
        raise Refused(f"expected an answer that ended by stop or length, got {ended!r}")
    text = choice["message"].get("content") or ""
    return Choice(str(text), None if ids is None else tuple(int(id) for id in ids), ended)


def _prompt_tokens(answer: Mapping[str, Any]) -> int | None:
    count = (answer.get("usage") or {}).get("prompt_tokens")
    return None if count is None else int(count)


def _said(response: httpx2.Response) -> str:
    """Status and the server's own words."""
    return f"HTTP {response.status_code}: {' '.join(response.text.split())[:600]}"


def _retry_after(response: httpx2.Response) -> float:
    """Seconds that the server asks to wait: a number, or a date; 0 where it asks for none."""
    told = response.headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
