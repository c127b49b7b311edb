"""One job at a time, in order; nothing is lost, and nothing is kept for ever."""

import time
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pytest

from glintbox.errors import BadInput, Busy, Gone
from glintbox.lvlm.progress import Written, tell
from glintbox.web.desk import MOST, Desk


@pytest.fixture
def desk() -> Iterator[Desk[str]]:
    made = Desk[str](waiting=3, memory=100, weigh=len)
    yield made
    made.close()


def done(desk: Desk[Any], name: str) -> dict[str, Any]:
    for _ in range(2000):
        if (state := desk.state(name))["state"] in {"done", "failed"}:
            return state
        time.sleep(0.005)
    raise AssertionError(f"{state} after ten seconds")


def test_jobs_are_done_one_at_a_time_in_their_order(desk: Desk[str]) -> None:
    go, order = Event(), list[int]()

    def work(number: int) -> str:
        assert go.wait(10)
        order.append(number)
        tell(Written(3, 1, 2))
        return f"result {number}"

    names = [desk.submit(partial(work, number), 1) for number in range(4)]
    places = [desk.state(name).get("place") for name in names]
    assert places[1:] == [1, 2, 3], "before them stands the one that is worked on"
    with pytest.raises(Busy, match="expected at most 3 pictures in line, of 100 bytes together, got 4 already"):
        desk.submit(lambda: "", 1)
    with pytest.raises(Gone, match="not done or failed"):
        desk.result(names[3])
    go.set()
    assert [done(desk, name)["state"] for name in names] == ["done"] * 4 and order == [0, 1, 2, 3]
    assert [desk.result(name) for name in names] == [f"result {number}" for number in range(4)]
    assert len(set(names)) == 4 and min(map(len, names)) >= 20, "names that nobody guesses"


def test_what_waits_may_not_hold_too_much(desk: Desk[str]) -> None:
    go = Event()
    first = desk.submit(lambda: str(go.wait(10)), 60)
    with pytest.raises(Busy, match="of 100 bytes together"):
        desk.submit(lambda: "", 41)
    go.set()
    assert done(desk, first) == {"state": "done"}


def test_a_job_tells_how_far_it_is(desk: Desk[str]) -> None:
    told, go = Event(), Event()

    def work() -> str:
        tell(Written(5, 1, 11))
        told.set()
        return str(go.wait(10))

    name = desk.submit(work, 1)
    assert told.wait(10)
    state = desk.state(name)
    assert {key: state[key] for key in ("state", "tokens", "finished", "answers")} == {
        "state": "working",
        "tokens": 5,
        "finished": 1,
        "answers": 11,
    }
    assert 0 <= state["seconds"] < 10
    go.set()
    done(desk, name)


def test_the_least_recently_used_results_make_room(desk: Desk[str]) -> None:
    first, second = (desk.submit(lambda: "x" * 40, 1) for _ in range(2))
    done(desk, first), done(desk, second)
    assert desk.result(first) == "x" * 40, "used last"
    third = desk.submit(lambda: "y" * 50, 1)
    done(desk, third)
    for _ in range(200):
        if second not in desk._jobs:
            break
        time.sleep(0.005)
    with pytest.raises(Gone, match="newer ones took its room, ask again"):
        desk.result(second)
    assert desk.result(first) == "x" * 40 and desk.result(third) == "y" * 50
    huge = desk.submit(lambda: "z" * 1000, 1)
    done(desk, huge)
    assert desk.result(huge) == "z" * 1000, "the newest is kept however much it weighs"


def test_jobs_that_weigh_nothing_are_let_go_too() -> None:
    desk = Desk[str](waiting=MOST * 2, memory=10**9, weigh=len)
    names = [desk.submit(lambda: "", 0) for _ in range(MOST + 5)]
    done(desk, names[-1])
    desk.close()
    assert len(desk._jobs) == MOST and names[0] not in desk._jobs


def test_a_job_that_fails_says_why_and_stops_no_other(desk: Desk[str], caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> str:
        raise BadInput("expected this, got that; do so")

    def bug() -> str:
        return f"{1 // len('')}"

    names = [desk.submit(wrong, 1), desk.submit(bug, 1), desk.submit(lambda: "fine", 1)]
    states = [done(desk, name) for name in names]
    assert states[0] == {"state": "failed", "error": "expected this, got that; do so"}
    assert states[1]["error"] == "expected a result, got ZeroDivisionError inside the server; its log says more"
    assert "a job failed" in caplog.text and "division" in caplog.text and desk.result(names[2]) == "fine"
    with pytest.raises(Gone, match="not done or failed"):
        desk.result(names[0])
    with pytest.raises(Gone, match="none of that name"):
        desk.state("guessed")
    for _ in range(200):
        error = desk._jobs[names[1]].future.exception()
        if error is not None and error.__traceback__ is None:
            break
        time.sleep(0.005)
    assert error is not None and error.__traceback__ is None, "the stack of a failure, caches and all, is not kept"
