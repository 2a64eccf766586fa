"""Laws of the decode queue: finals first, what fits together in one batch, every caller resolved, whatever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from asr.errors import LimitError, OptionError, UnavailableError
from asr.models.base import CPU_BATCH_SEGMENTS, DecodingOptions
from asr.results import Hypothesis
from server.batching import DecodeQueue, DecodeWork, Urgency, WorkerDiedError

GREEDY = DecodingOptions(beam_size=1)
Result = Future[list[Hypothesis]]


class Engine:
    """A worker that says each segment's first sample and keeps its batches; waits, fails and dies as told."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.batches: list[list[str]] = []
        self.fault: BaseException | None = None
        self.dies_on = ""
        self.num_deaths = 0
        self.is_closed = False

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        assert len({work.group for work in batch}) == 1
        names = [str(int(work.samples[0])) for work in batch]
        self.batches.append(names)
        assert self.go_on.wait(10)
        if self.dies_on in names:
            raise WorkerDiedError("killed")
        if self.fault is not None:
            raise self.fault
        return [[Hypothesis(text=name)] for name in names]

    def wait_alive(self) -> None:
        self.num_deaths += 1

    def close(self) -> None:
        self.is_closed = True


def _work(
    number: int, *, model: str = "m", context: int = 500, options: DecodingOptions = GREEDY
) -> DecodeWork:
    samples = np.full(4, number, np.float32)
    return DecodeWork(model=model, samples=samples, options=options, context=context)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def queue(engine: Engine) -> Iterator[DecodeQueue]:
    made = DecodeQueue([engine], max_waiting=100)
    yield made
    engine.go_on.set()
    made.close()


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        threading.Event().wait(0.002)  # a condition of threads, which have no event for it
    raise AssertionError("it never came true")


@pytest.fixture
def busy(queue: DecodeQueue, engine: Engine) -> Result:
    """The only worker decodes number 0 until ``go_on`` is set."""
    engine.go_on.clear()
    future = queue.submit(_work(0), Urgency.FINAL)
    _until(lambda: engine.batches == [["0"]])
    return future


def test_finals_go_before_interims_and_the_earliest_deadline_first(
    queue: DecodeQueue, engine: Engine, busy: Result
) -> None:
    queue.submit(_work(1, context=1), Urgency.INTERIM)
    queue.submit(_work(2, context=2), Urgency.FINAL, within_s=9)
    queue.submit(_work(3, context=3), Urgency.FINAL, within_s=5)
    queue.submit(_work(4, context=4), Urgency.FINAL, within_s=5)
    engine.go_on.set()
    _until(lambda: len(engine.batches) == 5)
    assert engine.batches[1:] == [["3"], ["4"], ["2"], ["1"]]


def test_a_batch_holds_what_fits_to_its_most_urgent_and_no_more_than_it_may(
    queue: DecodeQueue, engine: Engine, busy: Result
) -> None:
    futures = [queue.submit(_work(number), Urgency.FINAL) for number in range(1, CPU_BATCH_SEGMENTS + 3)]
    others = [
        queue.submit(_work(21, model="other"), Urgency.FINAL),
        queue.submit(_work(22, context=100), Urgency.FINAL),
        queue.submit(_work(23, options=DecodingOptions()), Urgency.FINAL),
        queue.submit(_work(24), Urgency.INTERIM),
    ]
    engine.go_on.set()
    assert [future.result(10)[0].text for future in futures] == [
        str(n) for n in range(1, CPU_BATCH_SEGMENTS + 3)
    ]
    assert [future.result(10)[0].text for future in others] == ["21", "22", "23", "24"]
    sizes = [len(batch) for batch in engine.batches]
    assert sizes == [1, CPU_BATCH_SEGMENTS, 2, 1, 1, 1, 1]


def test_idle_workers_share_what_waits() -> None:
    engine = Engine()
    queue = DecodeQueue([engine, engine], max_waiting=100)
    engine.go_on.clear()
    for number in (1, 2):
        queue.submit(_work(number, context=number), Urgency.FINAL)
    _until(lambda: len(engine.batches) == 2)
    futures = [queue.submit(_work(number), Urgency.FINAL) for number in range(10, 16)]
    engine.go_on.set()
    assert [future.result(10)[0].text for future in futures] == [str(number) for number in range(10, 16)]
    queue.close()


def test_cancelled_work_is_never_decoded_and_makes_room(engine: Engine) -> None:
    queue = DecodeQueue([engine], max_waiting=3)
    engine.go_on.clear()
    queue.submit(_work(0), Urgency.FINAL)
    _until(lambda: engine.batches == [["0"]])
    futures = [queue.submit(_work(number), Urgency.FINAL) for number in (1, 2, 3)]
    with pytest.raises(LimitError, match="3 decodings wait already") as caught:
        queue.submit(_work(4), Urgency.FINAL)
    assert caught.value.reason == "DECODE_QUEUE"
    assert all(future.cancel() for future in futures)
    assert queue.num_waiting == 0
    last = queue.submit(_work(5), Urgency.FINAL)
    engine.go_on.set()
    assert last.result(10)[0].text == "5"
    assert engine.batches == [["0"], ["5"]]
    queue.close()


def test_a_final_takes_the_place_of_an_interim_where_there_is_no_room(engine: Engine) -> None:
    queue = DecodeQueue([engine], max_waiting=2)
    engine.go_on.clear()
    queue.submit(_work(0), Urgency.FINAL)
    _until(lambda: engine.batches == [["0"]])
    first = queue.submit(_work(1), Urgency.INTERIM, within_s=1)
    last = queue.submit(_work(2), Urgency.INTERIM, within_s=2)
    final = queue.submit(_work(3), Urgency.FINAL)
    assert last.cancelled() and not first.cancelled()
    with pytest.raises(LimitError):
        queue.submit(_work(4), Urgency.INTERIM)
    engine.go_on.set()
    assert (final.result(10)[0].text, first.result(10)[0].text) == ("3", "1")
    queue.close()


def test_what_was_cancelled_takes_no_place_in_a_batch(
    queue: DecodeQueue, engine: Engine, busy: Result
) -> None:
    for number in range(1, 8):
        queue.submit(_work(number), Urgency.INTERIM).cancel()
    futures = [
        queue.submit(_work(number), Urgency.INTERIM, within_s=1)
        for number in range(10, 10 + CPU_BATCH_SEGMENTS)
    ]
    engine.go_on.set()
    for future in futures:
        future.result(10)
    assert [len(batch) for batch in engine.batches] == [1, CPU_BATCH_SEGMENTS]


@pytest.mark.parametrize("error", [OptionError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_reaches_the_caller_and_the_thread_lives_on(
    queue: DecodeQueue, engine: Engine, error: BaseException
) -> None:
    engine.fault = error
    with pytest.raises(type(error)):
        queue.submit(_work(1), Urgency.FINAL).result(10)
    engine.fault = None
    assert queue.submit(_work(2), Urgency.FINAL).result(10)[0].text == "2"


def test_of_a_batch_whose_worker_died_only_the_cause_fails(
    queue: DecodeQueue, engine: Engine, busy: Result
) -> None:
    futures = [queue.submit(_work(number), Urgency.FINAL) for number in (1, 2, 3)]
    engine.dies_on = "2"
    engine.go_on.set()
    assert [futures[index].result(10)[0].text for index in (0, 2)] == ["1", "3"]
    with pytest.raises(UnavailableError, match="2 times") as caught:
        futures[1].result(10)
    assert caught.value.reason == "ENGINE_CRASH"
    assert engine.batches[1:] == [["1", "2", "3"], ["1"], ["2"], ["3"]]  # again, but alone
    assert engine.num_deaths == 2


def test_closing_resolves_those_who_wait_and_ends_the_workers(
    queue: DecodeQueue, engine: Engine, busy: Result
) -> None:
    waiting = queue.submit(_work(1), Urgency.FINAL)
    closing = threading.Thread(target=queue.close)
    closing.start()
    with pytest.raises(UnavailableError, match="shutting down"):
        waiting.result(10)
    engine.go_on.set()
    closing.join(10)
    assert engine.is_closed
    assert busy.result(0)[0].text == "0"  # what ran was let finish
    with pytest.raises(UnavailableError, match="shutting down"):
        queue.submit(_work(2), Urgency.FINAL)
