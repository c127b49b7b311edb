"""Jobs for a model, one at a time, in the order in which they came; results stay until newer ones need their room."""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

from glintbox.errors import Busy, GlintboxError, Gone
from glintbox.lvlm.progress import Written, telling

T = TypeVar("T")

MOST = 1000
"""Jobs that are known at all, so that results that weigh nothing, and errors, are let go too."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    future: Future[T]
    weight: int
    written: Written | None = None
    began: float | None = None


class Desk(Generic[T]):
    """Takes work from any thread and does it in one of its own.

    waiting: jobs that may wait. memory: bytes of what waits and of results; weigh: bytes of a result. The newest result
    is kept however much it weighs.
    """

    def __init__(self, *, waiting: int, memory: int, weigh: Callable[[T], int]) -> None:
        self._waiting, self._memory, self._weigh = waiting, memory, weigh
        self._jobs: OrderedDict[str, _Job[T]] = OrderedDict()
        self._lock = Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")

    def submit(self, work: Callable[[], T], weight: int) -> str:
        """Put a job that holds `weight` bytes last in line; its name cannot be guessed.

        Raises:
            Busy: too many jobs wait, or those that wait hold too much.
        """
        name = secrets.token_urlsafe(16)
        with self._lock:
            line = [job for job in self._jobs.values() if not job.future.done()]
            if len(line) > self._waiting or sum(job.weight for job in line) + weight > self._memory:
                raise Busy(
                    f"expected at most {self._waiting} pictures in line, of {self._memory:,} bytes together, got "
                    f"{len(line)} already; try again in a minute"
                )
            job = _Job[T](Future(), weight)
            job.future = self._worker.submit(self._do, job, work)
            self._jobs[name] = job
        job.future.add_done_callback(lambda _: self._ended(job))
        return name

    def state(self, name: str) -> dict[str, Any]:
        """Where a job stands: waiting (place in line, the first is 1), working, done or failed (and why).

        Raises:
            Gone: no such job, or its result is no longer kept.
        """
        with self._lock:
            job = self._job(name)
            if job.future.done():
                error = job.future.exception()
                return {"state": "done"} if error is None else {"state": "failed", "error": _told(error)}
            if job.began is None:
                before = [other for other in self._jobs.values() if not other.future.done()]
                return {"state": "waiting", "place": before.index(job)}
            seconds = round(time.monotonic() - job.began, 1)
            return {"state": "working", "seconds": seconds, **(job.written._asdict() if job.written else {})}

    def result(self, name: str) -> T:
        """The result of a job that is done; it counts as used now.

        Raises:
            Gone: no such job, it is not done, it failed, or its result is no longer kept.
        """
        with self._lock:
            job = self._job(name)
            if not job.future.done() or job.future.exception() is not None:
                raise Gone("expected a result that is there, got one that is not done or failed; look at the job first")
            self._jobs.move_to_end(name)
            return job.future.result()

    def close(self) -> None:
        """Let go of what waits, and end after the job at hand."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _do(self, job: _Job[T], work: Callable[[], T]) -> T:
        job.began = time.monotonic()

        def listen(written: Written) -> None:
            job.written = written

        with telling(listen):
            return work()

    def _ended(self, job: _Job[T]) -> None:
        if job.future.cancelled():
            return
        error = job.future.exception()
        if error is not None and not isinstance(error, GlintboxError):
            log.error("a job failed", exc_info=error)
        while error is not None:  # what was on the stack, caches among it, must not be kept with the message
            error.__traceback__, error = None, error.__cause__ or error.__context__
        with self._lock:
            job.weight = 0 if job.future.exception() else self._weigh(job.future.result())
            self._let_go(job)

    def _let_go(self, newest: _Job[T]) -> None:
        """Of finished jobs the least recently used first."""
        held = sum(job.weight for job in self._jobs.values())
        for name, job in list(self._jobs.items()):
            if held <= self._memory and len(self._jobs) <= MOST:
                return
            if job is not newest and job.future.done():
                held -= self._jobs.pop(name).weight

    def _job(self, name: str) -> _Job[T]:
        if name not in self._jobs:
            raise Gone(
                "expected a result that is still kept, got none of that name; newer ones took its room, ask again"
            )
        return self._jobs[name]


def _told(error: BaseException) -> str:
    """An error raised on purpose in its own words; another is a bug, of which a stranger sees no more than its kind."""
    if isinstance(error, GlintboxError):
        return str(error)
    return f"expected a result, got {type(error).__name__} inside the server; its log says more"
