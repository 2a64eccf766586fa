"""The decode queue: finals before interims, on worker threads (the engine releases the GIL).

A waiting decode is cancelled by its future, which is looked at when the work is taken. Every future is
resolved, whatever its work raises.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from asr.errors import LimitError, UnavailableError

Result = TypeVar("Result")


class Urgency(enum.IntEnum):
    """What is taken first."""

    FINAL = 0
    INTERIM = 1


@dataclass(order=True, slots=True)
class _Job(Generic[Result]):
    urgency: Urgency
    number: int
    work: Callable[[], Result] = field(compare=False)
    future: Future[Result] = field(compare=False)


class DecodeQueue(Generic[Result]):
    """Runs work on ``num_workers`` threads, most urgent first, then first come first served.

    Args:
        num_workers: how much runs at the same time.
        max_waiting: how much may wait.
    """

    def __init__(self, *, num_workers: int, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._numbers = itertools.count()
        self._jobs: list[_Job[Result]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._workers = [
            threading.Thread(target=self._work, name=f"decode-{index}", daemon=True)
            for index in range(num_workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def num_waiting(self) -> int:
        """Work that waits and was not cancelled."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._jobs)

    def submit(self, work: Callable[[], Result], urgency: Urgency) -> Future[Result]:
        """Queue ``work``; cancel the future to take it back while it waits.

        Raises:
            LimitError: the queue is full.
            UnavailableError: the queue was closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise UnavailableError("the server is shutting down; try again", reason="DRAINING")
            if len(self._jobs) >= self._max_waiting:
                self._forget_cancelled()
            heapq.heappush(self._jobs, _Job(urgency, next(self._numbers), work, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Cancel what waits, let what runs finish, end the threads."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _forget_cancelled(self) -> None:
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]
        heapq.heapify(self._jobs)
        if len(self._jobs) >= self._max_waiting:
            raise LimitError(
                f"{self._max_waiting} decodings wait already; try again later or raise max_waiting_decodes",
                reason="DECODE_QUEUE",
            )

    def _work(self) -> None:
        while (job := self._take()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = job.work()
            except BaseException as error:  # the batch boundary: whoever waits must learn of it
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
            del job  # hold no audio while waiting for the next

    def _take(self) -> _Job[Result] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return heapq.heappop(self._jobs) if self._jobs else None
