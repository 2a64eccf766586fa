"""Two transactions of PostgreSQL that meet: a job that was answered with OK keeps its uploads, whoever deletes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from server.jobs.database import Database
from server.jobs.options import HOUR_S, JobsOptions
from server.jobs.records import NewJob, NewPart
from server.jobs.states import JobKind
from server.jobs.store import JobStore
from server.jobs.sweep import sweep
from server.jobs.uploads import UploadStore

WAIT_S = 30.0
_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


class Pausing(Database):
    """Stops before it commits, once it is armed, until it may go on."""

    def __init__(self, uri: str, clock: Callable[[], float]) -> None:
        self.is_armed = False
        self.is_at_end, self.may_commit = threading.Event(), threading.Event()
        super().__init__(uri, clock)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with super().writing() as connection:
            yield connection
            if self.is_armed:
                self.is_at_end.set()
                assert self.may_commit.wait(WAIT_S)


@pytest.fixture
def pausing(database_uri: str, clock: Any) -> Iterator[Pausing]:
    made = Pausing(database_uri, clock)
    yield made
    made.may_commit.set()
    made.close()


@pytest.fixture
def database_uri(postgresql_uri: str) -> str:
    """Sqlite has one writer at a time."""
    return postgresql_uri


def _until_it_waits_or_ends(database: Database, thread: threading.Thread) -> None:
    end_s = time.monotonic() + WAIT_S
    while thread.is_alive():
        with database.reading() as connection:
            if connection.execute(_WAITING).scalar_one():
                return
        assert time.monotonic() < end_s
        thread.join(0.01)


@pytest.mark.parametrize("who", ["delete", "sweep"])
def test_an_upload_that_a_job_takes_meanwhile_stays(
    pausing: Pausing, database: Database, clock: Any, tmp_path: Path, who: str
) -> None:
    uploads, store = UploadStore(database, tmp_path, max_file_bytes=9), JobStore(database)
    writer = uploads.begin("t", "a.wav", 1, "", max_stored_bytes=9)
    writer.write(b"x")
    kept = writer.finish()
    writer.close()

    def a_job(request_id: str) -> NewJob:
        return NewJob(
            tenant="t", kind=JobKind.BATCH, request_id=request_id, payload_sha256="", spec={},
            parts=(NewPart(name="0", document={}),), upload_ids=frozenset({kept.id}),
        )  # fmt: skip

    first = store.create(a_job("first"), max_open=9)
    store.cancel("t", JobKind.BATCH, first.id)
    clock.now_s += 100 * HOUR_S
    pausing.is_armed = True
    creating = threading.Thread(
        target=JobStore(pausing).create, args=(a_job("second"),), kwargs={"max_open": 9}
    )
    creating.start()
    assert pausing.is_at_end.wait(WAIT_S)
    dropped: list[Any] = []

    def drop() -> None:
        if who == "delete":
            dropped.append(store.delete("t", JobKind.BATCH, first.id))
        else:
            dropped.append(sweep(database, uploads, tmp_path, JobsOptions(upload_hours=1)).uploads)

    dropping = threading.Thread(target=drop)
    dropping.start()
    _until_it_waits_or_ends(database, dropping)
    pausing.may_commit.set()
    for thread in (creating, dropping):
        thread.join(WAIT_S)
    assert dropped in ([[]], [0])
    assert uploads.path(uploads.get("t", kept.id)).read_bytes() == b"x"
    (second, *_) = store.page("t", JobKind.BATCH, limit=9)
    assert store.delete("t", JobKind.BATCH, second.id) == ([kept.id] if who == "delete" else [])
