"""Uploads: whole or not at all, within a tenant's room, swept when their time is over; on a full disk, too."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr.errors import (
    InputError,
    LimitError,
    OptionError,
    ResourceError,
    UnavailableError,
    UploadInUseError,
    UploadNotFoundError,
)
from server.jobs.database import Database
from server.jobs.installation import Installation
from server.jobs.leases import Leases
from server.jobs.options import DAY_S, HOUR_S, JobsOptions
from server.jobs.records import NewJob, NewPart, Upload
from server.jobs.schema import UPLOADS
from server.jobs.states import JobKind
from server.jobs.store import JobStore
from server.jobs.sweep import ADAPTATIONS, JOBS_AT_ONCE, sweep
from server.jobs.uploads import UNFINISHED_S, UploadStore

ROOM = 1000


@pytest.fixture
def uploads(database: Database, tmp_path: Path) -> UploadStore:
    return UploadStore(database, tmp_path, max_file_bytes=500)


def send(
    uploads: UploadStore,
    content: bytes = b"12345",
    *,
    tenant: str = "t",
    name: str = "a.wav",
    size_bytes: int | None = None,
    sha256: str = "",
) -> Upload:
    writer = uploads.begin(
        tenant, name, len(content) if size_bytes is None else size_bytes, sha256, max_stored_bytes=ROOM
    )
    try:
        for start in range(0, len(content), 3):
            writer.write(content[start : start + 3])
        return writer.finish()
    finally:
        writer.close()


def files(uploads: UploadStore) -> list[str]:
    return sorted(path.name for path in uploads.folder.iterdir())


def test_what_is_kept_is_what_was_sent(uploads: UploadStore) -> None:
    sha256 = hashlib.sha256(b"12345").hexdigest()
    kept = send(uploads, sha256=sha256)
    assert (kept.name, kept.size_bytes, kept.sha256) == ("a.wav", 5, sha256)
    assert uploads.path(kept).read_bytes() == b"12345"
    assert uploads.get("t", kept.id) == kept and uploads.page("t", limit=9) == [kept]
    assert files(uploads) == [f"{kept.id}.wav"]
    uploads.delete("t", kept.id)
    assert uploads.page("t", limit=9) == [] and files(uploads) == []


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("call.ULAW", ".ulaw"),
        ("../../etc/passwd", ""),
        ("/etc/x.wav", ".wav"),
        ("a.w/../v", ""),
        ("a." + "x" * 9, ""),
    ],
)
def test_of_the_name_only_the_suffix_reaches_the_disk(uploads: UploadStore, name: str, suffix: str) -> None:
    kept = send(uploads, name=name)
    assert (kept.name, kept.file_name) == (name, kept.id + suffix)
    assert uploads.path(kept).parent == uploads.folder


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"size_bytes": 4}, InputError),
        ({"size_bytes": 6}, InputError),
        ({"sha256": "0" * 64}, InputError),
        ({"sha256": "no hash"}, OptionError),
        ({"size_bytes": 0}, OptionError),
        ({"size_bytes": 501}, OptionError),
        ({"name": ""}, OptionError),
        ({"name": "x" * 256}, OptionError),
        ({"name": "a\0b"}, OptionError),
    ],
)
def test_what_is_not_as_it_was_said_leaves_nothing(
    uploads: UploadStore, change: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        send(uploads, **change)
    assert uploads.page("t", limit=9) == [] and files(uploads) == []


def test_room_is_a_tenants_and_taken_from_the_first_byte(uploads: UploadStore) -> None:
    first = uploads.begin("t", "a", 500, "", max_stored_bytes=ROOM)
    second = uploads.begin("t", "b", 500, "", max_stored_bytes=ROOM)
    with pytest.raises(LimitError, match="1 bytes more, with 1000 stored"):
        uploads.begin("t", "c", 1, "", max_stored_bytes=ROOM)
    send(uploads, tenant="u")
    first.close()
    second.close()
    send(uploads, bytes(500))


def test_another_tenants_file_is_none(uploads: UploadStore) -> None:
    kept = send(uploads)
    for ask in (uploads.get, uploads.delete):
        with pytest.raises(UploadNotFoundError):
            ask("u", kept.id)
    unfinished = uploads.begin("t", "b", 1, "", max_stored_bytes=ROOM)
    assert uploads.page("t", limit=9) == [kept]
    unfinished.close()


def _job(store: JobStore, *upload_ids: str, request_id: str = "one") -> str:
    new = NewJob(
        tenant="t",
        kind=JobKind.BATCH,
        request_id=request_id,
        payload_sha256="",
        spec={},
        parts=(NewPart(name="0", document={}),),
        upload_ids=frozenset(upload_ids),
    )
    return store.create(new, max_open=9).id


def test_what_a_job_needs_stays_and_goes_with_the_last_job(uploads: UploadStore, database: Database) -> None:
    store = JobStore(database)
    kept, other = send(uploads), send(uploads)
    first = _job(store, kept.id, other.id)
    second = _job(store, kept.id, request_id="two")
    with pytest.raises(UploadInUseError, match="is not over and needs upload"):
        uploads.delete("t", kept.id)
    assert store.delete("t", JobKind.BATCH, first) == [other.id]
    assert store.delete("t", JobKind.BATCH, second) == [kept.id]


def test_what_is_over_its_time_goes(
    uploads: UploadStore, database: Database, clock: Any, tmp_path: Path
) -> None:
    options = JobsOptions(result_days=2, upload_hours=24)
    store, leases = JobStore(database), Leases(database, lease_s=1, max_attempts=1)
    needed, idle, done = (send(uploads) for _ in range(3))
    done_job = _job(store, done.id, request_id="done")
    lease = leases.claim([JobKind.BATCH])
    assert lease is not None and leases.complete(lease, {})
    open_job = _job(store, needed.id)
    hanging = uploads.begin("t", "b", 1, "", max_stored_bytes=ROOM)
    orphans = (uploads.folder / "left.wav", tmp_path / ADAPTATIONS / "left")
    orphans[0].write_bytes(b"")
    orphans[1].mkdir(parents=True)  # of a job that was deleted: it goes at once
    os.utime(orphans[0], (0, 0))
    young = uploads.folder / "young.wav"
    young.write_bytes(b"")
    assert sweep(database, uploads, tmp_path, options).files == 2
    assert not any(path.exists() for path in orphans) and young.exists()
    young.unlink()
    clock.now_s += 25 * HOUR_S
    swept = sweep(database, uploads, tmp_path, options)
    assert (swept.jobs, swept.uploads) == (0, 3)  # idle, done, and the one that never came
    assert files(uploads) == [needed.file_name]
    hanging.close()
    clock.now_s += 2 * DAY_S
    assert sweep(database, uploads, tmp_path, options).jobs == 1
    assert [one.id for one in store.page("t", JobKind.BATCH, limit=9)] == [open_job]
    assert done_job != open_job and idle.id


def test_an_upload_lives_while_bytes_come(database: Database, clock: Any, tmp_path: Path) -> None:
    uploads = UploadStore(database, tmp_path, max_file_bytes=500, clock=clock)
    writer = uploads.begin("t", "a.wav", 100, "", max_stored_bytes=ROOM)
    for _ in range(100):
        clock.now_s += UNFINISHED_S / 10
        writer.write(b"x")
        assert sweep(database, uploads, tmp_path, JobsOptions()).uploads == 0
    assert writer.finish().size_bytes == 100
    writer.close()


@pytest.mark.parametrize("then", ["write", "finish"])
def test_an_upload_that_was_swept_says_so(database: Database, clock: Any, tmp_path: Path, then: str) -> None:
    uploads = UploadStore(database, tmp_path, max_file_bytes=500, clock=clock)
    writer = uploads.begin("t", "a.wav", 1 + (then == "write"), "", max_stored_bytes=ROOM)
    writer.write(b"x")
    clock.now_s += 2 * UNFINISHED_S
    assert sweep(database, uploads, tmp_path, JobsOptions()).uploads == 1
    with pytest.raises(UnavailableError, match="send the file again"):
        writer.write(b"x") if then == "write" else writer.finish()
    writer.close()
    assert files(uploads) == []


def test_a_sweep_takes_more_than_one_statement_has_room_for(
    database: Database, clock: Any, tmp_path: Path
) -> None:
    uploads = UploadStore(database, tmp_path, max_file_bytes=1)
    number = 70_000  # PostgreSQL's protocol numbers the values of a statement with 16 bits
    rows = [
        {"id": f"{index:06}", "tenant": "t", "name": "a", "file_name": f"{index:06}", "size_bytes": 1,
         "sha256": "0" * 64, "created_at": 0.0}
        for index in range(number)
    ]  # fmt: skip
    with database.writing() as connection:
        connection.execute(UPLOADS.insert(), rows)
    clock.now_s += 100 * HOUR_S
    jobs = 2 * JOBS_AT_ONCE + 1
    for index in range(jobs):
        job_id = _job(JobStore(database), request_id=str(index))
        JobStore(database).cancel("t", JobKind.BATCH, job_id)
    clock.now_s += 3 * DAY_S
    swept = sweep(database, uploads, tmp_path, JobsOptions(result_days=2))
    assert (swept.jobs, swept.uploads) == (jobs, number)


def test_nothing_is_left_of_an_adaptation_that_was_deleted(tmp_path: Path) -> None:
    parts = Installation.open(
        JobsOptions(database=f"sqlite:///{tmp_path / 'jobs.db'}", folder=str(tmp_path / "files"))
    )
    kept = send(parts.uploads)
    new = NewJob(
        tenant="t", kind=JobKind.ADAPTATION, request_id="one", payload_sha256="", spec={},
        parts=(NewPart(name="0", document={}),), upload_ids=frozenset({kept.id}),
    )  # fmt: skip
    job = parts.store.create(new, max_open=1)
    folder = parts.folder / ADAPTATIONS / job.id
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "checkpoint").write_bytes(b"of the tenant's speech")
    assert parts.sweep().files == 0 and folder.exists()
    parts.delete("t", JobKind.ADAPTATION, job.id)
    assert [path for path in parts.folder.rglob("*") if path.is_file()] == []
    assert not folder.exists()
    folder.mkdir()  # by a worker that is killed before it finds that the job is gone
    assert parts.sweep().files == 1 and not folder.exists()
    parts.database.close()


def test_a_full_disk_is_said_and_spoils_nothing(small_disk: Path, fill: Callable[[Path], Path]) -> None:
    options = JobsOptions(database=f"sqlite:///{small_disk / 'jobs.db'}", folder=str(small_disk))
    parts = Installation.open(options)
    before = send(parts.uploads, b"before")
    job_id = _job(parts.store, before.id)
    lease = parts.leases.claim([JobKind.BATCH])
    assert lease is not None
    ballast = fill(small_disk)
    numbers = iter(range(99))
    for ask in (
        lambda: send(parts.uploads, bytes(500)),
        lambda: parts.leases.complete(lease, {"text": "x" * 200_000}),
        lambda: _job(parts.store, request_id=f"more {next(numbers)}"),
    ):
        for _ in range(20):  # what is left of the last page is used up first
            try:
                ask()
            except ResourceError as error:
                assert "free some space" in str(error)
                break
        else:
            pytest.fail("the disk is not full")
    assert parts.store.get("t", JobKind.BATCH, job_id).state.value == "running"
    assert not [path for path in parts.uploads.folder.iterdir() if path.suffix == ".part"]
    ballast.unlink()
    assert parts.leases.complete(lease, {"text": "after"})
    (result,) = parts.store.results("t", JobKind.BATCH, job_id, limit=9)
    assert result.document == {"text": "after"}
    assert parts.uploads.path(send(parts.uploads, b"after")).read_bytes() == b"after"
    assert parts.uploads.path(parts.uploads.get("t", before.id)).read_bytes() == b"before"
    with parts.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    parts.database.close()
