"""Between rows of the tables and plain values; what several parts of the store ask of a transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from asr.errors import JobNotFoundError
from server.jobs.records import Document, Failure, Job, PartResult, Upload
from server.jobs.schema import JOBS
from server.jobs.states import OPEN, Counts, JobKind, JobState

OPEN_STATES = sorted(OPEN)
MAX_ID = 40
BATCH = 1000  # values of one IN: databases limit how many a statement may have


def batched(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Ids in groups for which one statement has room."""
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def dumped(document: Document) -> str:
    """A document as it is kept."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def dumped_failure(failure: Failure) -> str:
    """A failure as it is kept."""
    return dumped({"reason": failure.reason, "message": failure.message})


def read_failure(text: str | None) -> Failure | None:
    """A failure as it was kept."""
    return None if text is None else Failure(**json.loads(text))


def read_job(row: RowMapping) -> Job:
    """A row of the table of jobs."""
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        kind=JobKind(row["kind"]),
        request_id=row["request_id"],
        spec=json.loads(row["spec"]),
        state=JobState(row["state"]),
        counts=Counts(total=row["num_parts"], succeeded=row["num_succeeded"], failed=row["num_failed"]),
        revision=row["revision"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        audio_s=row["audio_s"],
        progress=json.loads(row["progress"]),
        failure=read_failure(row["failure"]),
    )


def read_result(row: RowMapping) -> PartResult:
    """A row of the table of results."""
    return PartResult(
        index=row["index"],
        name=row["name"],
        document=None if row["document"] is None else json.loads(row["document"]),
        failure=read_failure(row["failure"]),
    )


def read_upload(row: RowMapping) -> Upload:
    """A row of the table of uploads."""
    return Upload(
        id=row["id"],
        tenant=row["tenant"],
        name=row["name"],
        file_name=row["file_name"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        created_at=row["created_at"],
    )


def is_id(text: str) -> bool:
    """Whether a text may be an id of ours."""
    return text.isascii() and text.isalnum() and len(text) <= MAX_ID


def own_job(tenant: str, kind: JobKind, job_id: str) -> tuple[ColumnElement[bool], ...]:
    """What is true of one job of a tenant's, and of no other row.

    Raises:
        JobNotFoundError: no id is written so, and PostgreSQL knows no NUL.
    """
    if not is_id(job_id):
        raise unknown_job(job_id)
    return JOBS.c.id == job_id, JOBS.c.tenant == tenant, JOBS.c.kind == kind.value


def locked_job(connection: Connection, *where: ColumnElement[bool]) -> RowMapping | None:
    """A job's row, which no other transaction changes until this one ends. Always before rows of its parts."""
    return connection.execute(select(JOBS).where(*where).with_for_update()).mappings().one_or_none()


def change_job(connection: Connection, row: RowMapping, **values: Any) -> Job:
    """Change a locked job in a way that clients see; the job after it."""
    changed = {**row, **values, "revision": row["revision"] + 1}
    connection.execute(
        JOBS.update().where(JOBS.c.id == row["id"]).values(**values, revision=changed["revision"])
    )
    return read_job(changed)  # type: ignore[arg-type]  # as a row: read by name


def unknown_job(job_id: str) -> JobNotFoundError:
    """The error for a job that is not this tenant's, whether or not there is one."""
    return JobNotFoundError(
        f"no job {job_id[:40]!r}; it was never created, or deleted, or its time is over: list the jobs to see those kept"
    )
