"""A worker's threads, with work of a few lines: what becomes of a part by what its work raises, and of its lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asr.errors import (
    AlreadyExistsError,
    AudioError,
    LexituneError,
    MissingDependencyError,
    ModelError,
    ModelNotFoundError,
    ResourceError,
    UnavailableError,
)
from server.jobs import worker as worker_module
from server.jobs.database import Database
from server.jobs.leases import ATTEMPTS, Leases
from server.jobs.records import Document, Job, Lease, NewJob, NewPart
from server.jobs.states import JobKind, JobState
from server.jobs.store import JobStore
from server.jobs.worker import Held, PartFailed, Worker

BATCH = JobKind.BATCH
Act = Callable[[Held], None]


class Doing:
    """Work that is one function."""

    max_s = 60.0

    def __init__(self, act: Act) -> None:
        self._act = act
        self.kept_tokens: list[str] = []

    def __call__(self, held: Held) -> tuple[Document, float]:
        self._act(held)
        return {"attempt": held.lease.attempt}, 1.0

    def kept(self, lease: Lease) -> None:
        self.kept_tokens.append(lease.token)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as a machine in trouble needs."""
    for name, value in (("POLL_S", 0.02), ("RETRY_S", 0.05), ("MAX_RETRY_S", 0.1)):
        monkeypatch.setattr(worker_module, name, value)


class Bench:
    """A database with one job, and workers at it."""

    def __init__(self, uri: str, *, lease_s: float = 5.0, num_parts: int = 1) -> None:
        self.database = Database(uri)
        self.store = JobStore(self.database)
        self.leases = Leases(self.database, lease_s=lease_s, max_attempts=3)
        parts = tuple(NewPart(name=str(index), document={}) for index in range(num_parts))
        new = NewJob(tenant="", kind=BATCH, request_id="x", payload_sha256="", spec={}, parts=parts)
        self.job = self.store.create(new, max_open=1)

    @contextmanager
    def worker(self, act: Act, *, threads: int = 1) -> Iterator[Worker]:
        made = Worker(self.leases, {BATCH: Doing(act)}, {BATCH: threads})
        made.start()
        try:
            yield made
        finally:
            made.stop(5)

    def over(self) -> Job:
        """The job, once it is over."""
        return self.when(lambda job: job.state.is_over)

    def when(self, condition: Callable[[Job], bool]) -> Job:
        """The job, once the condition holds."""
        end_s = time.monotonic() + 30
        while not condition(job := self.store.get("", BATCH, self.job.id)):
            assert time.monotonic() < end_s, job
            time.sleep(0.01)
        return job


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield made
    made.database.close()


def raising(error: Exception, *, times: int = 99) -> Act:
    left = [error] * times

    def act(_held: Held) -> None:
        if left:
            raise left.pop()

    return act


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AudioError("bad"), "INVALID_AUDIO"),
        (ModelNotFoundError("none"), "INVALID_INPUT"),
        (ModelError("broken"), "MODEL_FAILED"),
        (PartFailed("TIME_LIMIT", "long"), "TIME_LIMIT"),
        (MissingDependencyError("pip install"), "MISSING_DEPENDENCY"),
        (AlreadyExistsError("a name"), "FAILED"),
        (LexituneError("odd"), "FAILED"),
        (RuntimeError("a bug in /secret/path"), ATTEMPTS),
        (MemoryError(), ATTEMPTS),
    ],
)
def test_what_cannot_be_done_fails_with_its_reason(bench: Bench, error: Exception, reason: str) -> None:
    with bench.worker(raising(error)):
        over = bench.over()
    assert over.state is JobState.FAILED and over.failure is not None and over.failure.reason == reason
    if reason == ATTEMPTS:
        assert type(error).__name__ in over.failure.message and "begun 3 times" in over.failure.message
        assert "/secret" not in over.failure.message
    else:
        assert over.failure.message == str(error)


@pytest.mark.parametrize(
    ("error", "attempt"),
    [
        (ResourceError("full"), 1),
        (UnavailableError("away"), 1),
        (OSError(28, "full"), 1),
        (ValueError("odd"), 3),
    ],
)
def test_what_may_go_better_is_done_again(bench: Bench, error: Exception, attempt: int) -> None:
    times = 6 if attempt == 1 else 2
    with bench.worker(raising(error, times=times)):
        assert bench.over().state is JobState.SUCCEEDED
    (result,) = bench.store.results("", BATCH, bench.job.id, limit=9)
    assert result.document == {"attempt": attempt}


def test_work_that_outlasts_its_lease_keeps_it(tmp_path: Path) -> None:
    bench = Bench(f"sqlite:///{tmp_path / 'jobs.db'}", lease_s=0.5)
    began: list[float] = []

    def act(_held: Held) -> None:
        began.append(time.monotonic())
        time.sleep(1.5)  # the work itself

    with bench.worker(act), bench.worker(act):
        assert bench.over().state is JobState.SUCCEEDED
    assert len(began) == 1
    bench.database.close()


def test_a_result_that_cannot_be_kept_ends_no_thread(bench: Bench) -> None:
    class Odd(Doing):
        def __call__(self, held: Held) -> tuple[Document, float]:
            document, audio_s = super().__call__(held)
            return {"odd": object()} if held.lease.attempt == 1 else document, audio_s

    made = Worker(bench.leases, {BATCH: Odd(lambda _: None)}, {BATCH: 1})
    made.start()
    assert bench.over().state is JobState.SUCCEEDED
    made.stop(5)
    (result,) = bench.store.results("", BATCH, bench.job.id, limit=9)
    assert result.document == {"attempt": 2}


def test_only_what_was_committed_is_cleared_away(bench: Bench) -> None:
    """Of two that did a part, the one that was too late leaves the other's folder alone."""
    tokens: list[str] = []

    def act(held: Held) -> None:
        tokens.append(held.lease.token)
        if len(tokens) == 1:
            assert bench.leases.release(held.lease, counts=False)  # as if it had been taken for dead

    work = Doing(act)
    made = Worker(bench.leases, {BATCH: work}, {BATCH: 1})
    made.start()
    assert bench.over().state is JobState.SUCCEEDED
    made.stop(5)
    assert len(tokens) == 2 and work.kept_tokens == tokens[1:]


def test_a_cancelled_part_is_told_so(tmp_path: Path) -> None:
    bench = Bench(f"sqlite:///{tmp_path / 'jobs.db'}", lease_s=0.5)
    told = threading.Event()

    def act(held: Held) -> None:
        assert held.over.wait(10) and held.lost.is_set()
        told.set()

    with bench.worker(act):
        bench.when(lambda job: job.state is JobState.RUNNING)
        bench.store.cancel("", BATCH, bench.job.id)
        assert told.wait(10)
    assert bench.store.results("", BATCH, bench.job.id, limit=9) == []
    bench.database.close()


def test_what_a_worker_died_with_is_done_alone(tmp_path: Path) -> None:
    bench = Bench(f"sqlite:///{tmp_path / 'jobs.db'}", lease_s=0.5, num_parts=6)
    for _ in range(2):  # by a worker that is not heard of again
        assert bench.leases.claim([BATCH]) is not None
    together: list[tuple[bool, int]] = []
    at_work: list[str] = []
    lock = threading.Lock()

    def act(held: Held) -> None:
        with lock:
            at_work.append(held.lease.token)
            together.append((held.lease.is_suspect, len(at_work)))
        if not held.lease.is_suspect:
            held.over.wait(0.6)  # longer than the dead worker's lease
        with lock:
            together.append((held.lease.is_suspect, len(at_work)))
            at_work.remove(held.lease.token)

    with bench.worker(act, threads=3):
        over = bench.over()
    assert over.state is JobState.SUCCEEDED and over.counts.succeeded == 6
    assert [number for is_suspect, number in together if is_suspect] == [1] * 4
    assert max(number for _, number in together) > 1
    bench.database.close()


def test_one_that_waits_to_be_alone_is_given_back_when_the_worker_stops(tmp_path: Path) -> None:
    bench = Bench(f"sqlite:///{tmp_path / 'jobs.db'}", lease_s=0.5, num_parts=2)
    assert bench.leases.claim([BATCH]) is not None
    release = threading.Event()
    made = Worker(bench.leases, {BATCH: Doing(lambda _: release.wait(30) and None)}, {BATCH: 2})
    made.start()
    bench.when(lambda _: made.num_held == 2)
    made.stop(0.1)
    lease = bench.leases.claim([BATCH])
    assert lease is not None and lease.attempt == 1
    release.set()
    bench.database.close()


def test_a_worker_that_stops_gives_back_what_does_not_end(bench: Bench) -> None:
    release = threading.Event()

    def hang(_held: Held) -> None:
        release.wait(30)

    made = Worker(bench.leases, {BATCH: Doing(hang)}, {BATCH: 1})
    made.start()
    bench.when(lambda job: job.state is JobState.RUNNING)
    made.stop(0.1)
    lease = bench.leases.claim([BATCH])
    assert lease is not None and lease.attempt == 1  # at once, and it was no attempt
    release.set()
    assert bench.leases.complete(lease, {"by": "another"})
    (result,) = bench.store.results("", BATCH, bench.job.id, limit=9)
    assert result.document == {"by": "another"}


def test_a_result_waits_for_room_on_the_disk(
    small_disk: Path, fill: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(f"sqlite:///{small_disk / 'jobs.db'}", lease_s=0.5)
    ballast: list[Path] = []

    class Large(Doing):
        """A result for which there is no room on what the database has left."""

        def __call__(self, held: Held) -> tuple[Document, float]:
            super().__call__(held)
            return {"text": "x" * 300_000}, 1.0

    def act(_held: Held) -> None:
        if not ballast:
            ballast.append(fill(small_disk))

    made = Worker(bench.leases, {BATCH: Large(act)}, {BATCH: 1})
    made.start()
    bench.when(lambda _: bool(ballast))
    bench.when(lambda _: caplog.text.count("is not kept yet") > 1)
    assert bench.store.get("", BATCH, bench.job.id).state is JobState.RUNNING
    ballast[0].unlink()
    assert bench.over().state is JobState.SUCCEEDED
    made.stop(5)
    bench.database.close()
