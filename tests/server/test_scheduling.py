"""Laws of the decode queue: finals first, cancelled work never runs, every caller is resolved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import pytest

from asr.errors import LimitError, UnavailableError
from server.scheduling import DecodeQueue, Urgency


class Gate:
    """Work that says when it began and ends when it is let through."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self._open = threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self._open.wait(10)
        return "gate"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def queue() -> Iterator[DecodeQueue[str]]:
    made: DecodeQueue[str] = DecodeQueue(num_workers=1, max_waiting=3)
    yield made
    made.close()


def _busy(queue: DecodeQueue[str]) -> Gate:
    """Occupy the only worker."""
    gate = Gate()
    queue.submit(gate, Urgency.FINAL)
    assert gate.began.wait(10)
    return gate


def _ordered(queue: DecodeQueue[str], order: list[str], name: str, urgency: Urgency) -> Future[str]:
    def work() -> str:
        order.append(name)
        return name

    return queue.submit(work, urgency)


def test_finals_go_before_interims_and_each_in_order(queue: DecodeQueue[str]) -> None:
    gate, order = _busy(queue), list[str]()
    futures = [
        _ordered(queue, order, "interim", Urgency.INTERIM),
        _ordered(queue, order, "first final", Urgency.FINAL),
        _ordered(queue, order, "second final", Urgency.FINAL),
    ]
    gate.open()
    assert [future.result(10) for future in futures] == ["interim", "first final", "second final"]
    assert order == ["first final", "second final", "interim"]


def test_cancelled_work_never_runs_and_makes_room(queue: DecodeQueue[str]) -> None:
    gate, order = _busy(queue), list[str]()
    futures = [_ordered(queue, order, str(index), Urgency.INTERIM) for index in range(3)]
    with pytest.raises(LimitError, match="3 decodings wait already") as caught:
        _ordered(queue, order, "too many", Urgency.FINAL)
    assert caught.value.reason == "DECODE_QUEUE"
    assert all(future.cancel() for future in futures)
    assert queue.num_waiting == 0
    last = _ordered(queue, order, "last", Urgency.FINAL)
    gate.open()
    assert last.result(10) == "last"
    assert order == ["last"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_reaches_the_caller_and_the_worker_lives_on(
    queue: DecodeQueue[str], error: BaseException
) -> None:
    def failing() -> str:
        raise error

    with pytest.raises(type(error)):
        queue.submit(failing, Urgency.FINAL).result(10)
    assert queue.submit(lambda: "fine", Urgency.FINAL).result(10) == "fine"


def test_closing_resolves_those_who_wait() -> None:
    queue: DecodeQueue[str] = DecodeQueue(num_workers=1, max_waiting=3)
    gate = _busy(queue)
    waiting = queue.submit(lambda: "never", Urgency.FINAL)
    closing = threading.Thread(target=queue.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(10)
    gate.open()
    closing.join(10)
    with pytest.raises(UnavailableError, match="shutting down"):
        queue.submit(lambda: "late", Urgency.FINAL)
