"""The page over HTTP: what is served, what is refused, and that nothing of the machine can be asked for."""

import socket
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from starlette.testclient import TestClient

from glintbox.errors import BadInput
from glintbox.records import Grounding, from_json
from glintbox.web.asking import Found, Limits
from glintbox.web.examples import Example
from glintbox.web.server import FILES, UPLOAD, Page, names_of, serve
from tests.web.scripted_page import a_grounder, a_picture

TYPE = {"content-type": UPLOAD}
LIMITS = Limits(bytes=4000, pixels=50_000)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(a_grounder(), LIMITS, waiting=4, memory=10**7, examples=(Example("a.jpg", "cup", b"jpeg"),))


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(page.app(names_of("127.0.0.1")), base_url="http://127.0.0.1:7860") as made:
        yield made


def ended(client: TestClient, job: str) -> dict[str, Any]:
    for _ in range(2000):
        state: dict[str, Any] = client.get(f"/jobs/{job}").json()
        if state["state"] in {"done", "failed"}:
            return state
        time.sleep(0.01)
    raise AssertionError(state)


def asked(client: TestClient, words: str = "query=cup&n=2&name=my cup.png&temperatures=0.7,1") -> str:
    answer = client.post(f"/find?{words}", content=a_picture(), headers=TYPE)
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["job"])
    assert ended(client, job) == {"state": "done"}
    return job


def test_an_upload_becomes_boxes_and_the_command_lines_json(client: TestClient) -> None:
    job = asked(client)
    told = client.get(
        f"/jobs/{job}/result", params={"selector": "consensus", "temperature": "1", "multiple": "1"}
    ).json()
    kept = client.get(
        f"/jobs/{job}/grounding.json", params={"selector": "consensus", "temperature": "1", "multiple": "1"}
    )
    result = from_json(Grounding, kept.content)
    assert [one["box"] for one in told["boxes"]] == [list(best.box) for best in result.boxes]
    assert result.id == "my_cup" and kept.headers["content-disposition"].endswith("my_cup.json")
    near = client.get(f"/jobs/{job}/candidates/0").json()
    assert near["maps"] and near["candidate"]["source"] == "greedy"
    for name, kind, head in (("picture.jpg", "image/jpeg", b"\xff\xd8"), ("figure.png", "image/png", b"\x89PNG")):
        file = client.get(f"/jobs/{job}/{name}")
        assert file.headers["content-type"] == kind and file.content.startswith(head)


@pytest.mark.parametrize(
    "path",
    [
        "/file=/etc/passwd",
        "/gradio_api/file=/etc/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/examples/..%2f..%2f..%2fetc%2fpasswd",
        "/jobs/..%2f..%2fetc%2fpasswd",
        "/jobs/x/picture.jpg",
        "/server.py",
        "/page.py",
    ],
)
def test_no_path_of_the_machine_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and b"root:" not in answer.content and "error" in answer.json()


def test_what_is_served_is_a_table_of_few_files_with_strict_headers(client: TestClient) -> None:
    for path, (_, kind) in FILES.items():
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"https://" not in answer.content and b"//cdn" not in answer.content, "the page needs no network"
    assert client.get("/examples/a.jpg").content == b"jpeg"
    assert client.get("/about").json()["examples"] == [{"name": "a.jpg", "query": "cup"}]


@pytest.mark.parametrize(
    ("body", "headers", "words", "status", "told"),
    [
        (b"x" * 4001, TYPE, "query=cup", 413, "at most 0.003"),
        (b"no picture", TYPE, "query=cup", 422, "expected a picture"),
        (b"", TYPE, "query=cup", 422, "expected a picture"),
        (a_picture(width=300, height=200), TYPE, "query=cup", 422, "expected at most 50,000 pixels, got 300×200"),
        (a_picture(width=7, height=90), TYPE, "query=cup", 422, "expected at least 8 px a side"),
        (a_picture(), {"content-type": "text/plain"}, "query=cup", 415, "expected an upload of content type"),
        (a_picture(), {"content-type": "multipart/form-data"}, "query=cup", 415, "expected an upload"),
        (a_picture(), TYPE, "query=", 422, "characters that say what to find"),
        (a_picture(), TYPE, "query=cup&n=99", 422, "expected 1 to 30 samples"),
    ],
)
def test_uploads_that_are_no_such_question_are_refused_with_the_reason(
    client: TestClient, *, body: bytes, headers: dict[str, str], words: str, status: int, told: str
) -> None:
    answer = client.post(f"/find?{words}", content=body, headers=headers)
    assert answer.status_code == status and told in answer.json()["error"]


def test_an_upload_that_hides_its_size_is_cut_off(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 1000 for _ in range(50))

    answer = client.post("/find?query=cup", content=chunks(), headers=TYPE)
    assert answer.status_code == 413 and "got a larger one" in answer.json()["error"]


def test_pages_of_other_sites_reach_nothing(client: TestClient) -> None:
    assert client.get("/about", headers={"host": "evil.example"}).status_code == 400
    asked_first = client.options(
        "/find", headers={"origin": "http://evil.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in asked_first.headers
    assert names_of("0.0.0.0") == ["*"] and "localhost" in names_of("127.0.0.1") and "box.lan" in names_of("box.lan")


def test_a_full_line_is_told_to_come_back(page: Page, client: TestClient) -> None:
    go = Event()

    def held() -> Found:
        go.wait(10)
        raise BadInput("expected a picture, got none")

    first = page.desk.submit(held, 1)
    jobs = [client.post("/find?query=cup&n=2", content=a_picture(), headers=TYPE) for _ in range(5)]
    assert [answer.status_code for answer in jobs] == [202] * 4 + [503]
    assert "try again in a minute" in jobs[4].json()["error"]
    assert client.get(f"/jobs/{jobs[0].json()['job']}").json() == {"state": "waiting", "place": 1}
    go.set()
    assert [ended(client, answer.json()["job"])["state"] for answer in jobs[:4]] == ["done"] * 4
    assert client.get(f"/jobs/{first}/result").status_code == 404


def test_questions_about_what_is_not_there_are_refused(client: TestClient) -> None:
    job = asked(client)
    assert client.get("/jobs/none").status_code == client.get("/jobs/none/result").status_code == 404
    assert "none of that name" in client.get("/jobs/none").json()["error"]
    assert client.get(f"/jobs/{job}/candidates/99").status_code == 422
    assert client.get(f"/jobs/{job}/result?selector=acs-free").status_code == 422
    assert client.get("/find").status_code == 405
    look = client.post("/look?query=cup", content=a_picture(), headers=TYPE).json()["job"]
    assert "needs" in (told := ended(client, look))["error"] or "got none" in told["error"]


def test_an_address_that_is_taken_is_named(page: Page) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with (
        taken,
        pytest.raises(BadInput, match=rf"expected an address that is free, got 127\.0\.0\.1 port {port} .* another"),
    ):
        serve(page, "127.0.0.1", port, ready=lambda _: None)
