"""A real server process that fails as servers do: every request is answered, or its failure is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from glintbox.errors import BadInput, Unanswered
from glintbox.lvlm.remote import _data_uri
from glintbox.lvlm.server import Refused, Reply, Request, Server, seed_of
from tests.lvlm.served import CANNED, NAME, Service
from tests.lvlm.tiny import picture

ASKED = Request("a/b", _data_uri(picture(96, 64)), "Detect owl in the image.", 2, 0.7, 0.9, 100, 20, 7)


@contextmanager
def connected(service: Service, **options: Any) -> Iterator[Server]:
    settings: dict[str, Any] = dict(served=NAME, wait=0.01, timeout=60.0) | options
    with closing(Server(service.url, **settings)) as server:
        yield server


def reply(server: Server, request: Request = ASKED) -> Reply:
    server.send(request)
    return server.receive(request)


def test_every_sampling_parameter_is_sent_with_every_request(service: Service) -> None:
    service.set(canned=True)
    with connected(service, api_key="sesame") as server:
        answer = reply(server)
        reply(server, replace(ASKED, count=1, top_k=0))
    assert [choice.text for choice in answer.choices] == [CANNED, CANNED]
    several, one = service.seen()
    explicit = dict(temperature=0.7, top_p=0.9, min_p=0.0, repetition_penalty=1.0, max_tokens=20, seed=7)
    for seen in (several, one):
        assert explicit.items() <= seen.items()
        assert seen["return_token_ids"] is True and seen["skip_special_tokens"] is False
        assert (seen["model"], seen["id"], seen["key"]) == (NAME, "a%2Fb", "Bearer sesame")
    assert (several["n"], several["top_k"]) == (2, 100)
    assert ("n" in one, one["top_k"]) == (False, -1), "every server knows one answer; 0 means off here, -1 there"
    assert several["size"] == [96, 64]


@pytest.mark.parametrize("fault", ["429", "500", "503", "cut", "drop", "slow"])
def test_a_request_that_fails_once_is_sent_again_as_it_was(service: Service, fault: str) -> None:
    service.set(canned=True, faults=[fault])
    with connected(service, timeout=4.0 if fault == "slow" else 60.0) as server:
        assert len(reply(server).choices) == 2
    first, second = service.seen()
    assert (first.pop("fault"), second.pop("fault")) == (fault, "")
    assert first == second


def test_a_server_that_never_answers_is_given_up_with_its_last_words(service: Service) -> None:
    service.set(canned=True, faults=["500", "cut", "429"])
    with connected(service, retries=2) as server:
        with pytest.raises(Unanswered, match=r"for 'a/b', got none in 3 attempts of 60 s, at last: HTTP 429: .*fail"):
            reply(server)
        assert len(reply(server).choices) == 2, "the next one is answered"


def test_a_port_where_nobody_listens_is_told(service: Service) -> None:
    with pytest.raises(Unanswered, match=r"/v1/models for 'models', got none in 2 attempts .*ConnectError"):
        Server("http://127.0.0.1:9", retries=1, wait=0.01)


@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_waited_for(service: Service, date: bool) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if date else "1"
    service.set(canned=True, faults=["429"], retry_after=told)
    began = time.monotonic()
    with connected(service) as server:
        reply(server)
    assert time.monotonic() - began >= (0.5 if date else 1.0)


def test_waits_double_with_a_jitter_that_is_seeded(service: Service) -> None:
    with connected(service, wait=1.0, seed=3) as server, connected(service, wait=1.0, seed=4) as other:
        waits = [server._backoff("a", attempt) for attempt in (1, 2, 3, 4)]
        assert all(2**k / 2 <= wait <= 2**k for k, wait in enumerate(waits))
        assert waits == [server._backoff("a", attempt) for attempt in (1, 2, 3, 4)]
        assert waits != [other._backoff("a", attempt) for attempt in (1, 2, 3, 4)]


@pytest.mark.parametrize("status", ["400", "401", "404"])
def test_a_refusal_is_not_asked_again(service: Service, status: str) -> None:
    service.set(canned=True, faults=[status])
    with connected(service) as server, pytest.raises(Refused, match=f"HTTP {status}: .*told to fail.*docs/remote.md"):
        reply(server)
    assert len(service.seen()) == 1


def test_a_server_that_knows_openais_fields_alone_gets_the_others_as_generation_config(service: Service) -> None:
    service.set(canned=True, strict=True)
    with connected(service) as server:
        answer = reply(server)
        reply(server, replace(ASKED, id="next"))
    assert answer.missing == {"top_k", "min_p", "repetition_penalty", "skip_special_tokens", "return_token_ids"}
    refused, asked_again, later = service.seen()
    assert "top_k" in refused and "top_k" not in asked_again
    assert (
        '"top_k": 100' in asked_again["generation_config"] and '"do_sample": true' in asked_again["generation_config"]
    )
    assert later["id"] == "next" and "top_k" not in later, "what it does not know is remembered"


def test_no_more_requests_than_allowed_are_in_flight(service: Service) -> None:
    service.set(canned=True, pause=0.2)
    with connected(service, concurrency=3) as server:
        requests = [replace(ASKED, id=str(k)) for k in range(9)]
        for request in requests:
            server.send(request)
        assert all(len(server.receive(request).choices) == 2 for request in requests)
    assert service.most() == 3
    assert len(service.seen()) == 9


def test_a_request_in_flight_is_not_sent_twice(service: Service) -> None:
    service.set(canned=True)
    with connected(service) as server:
        server.send(ASKED)
        assert len(reply(server).choices) == 2
    assert len(service.seen()) == 1


def test_a_server_of_one_model_names_it_and_one_of_several_has_to_be_asked_for_one(service: Service) -> None:
    service.set(faults=["503"])
    with closing(Server(service.url, wait=0.01)) as server:
        assert (server.served, server.url) == (NAME, f"{service.url}/v1")
    service.set(models=["a", "b"])
    with pytest.raises(BadInput, match=r"one of the models at .*, which are \['a', 'b'\]; give it"):
        Server(service.url)


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://host/v1", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=r"expected a server's address like http://127\.0\.0\.1:8000/v1"):
        Server(address, served=NAME)


@pytest.mark.parametrize("options", [dict(concurrency=0), dict(timeout=0.0), dict(retries=-1), dict(wait=-1.0)])
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="expected concurrency >= 1, timeout > 0 and retries, wait >= 0"):
        Server("http://127.0.0.1:9", served=NAME, **options)


def test_seeds_differ_by_seed_case_and_answer_and_fit_31_bits() -> None:
    seeds = {seed_of(seed, name, number) for seed in (0, 1) for name in ("a", "b") for number in range(50)}
    assert len(seeds) == 200
    assert max(seeds) < 2**31
