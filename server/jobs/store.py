"""What clients do with jobs: create, look, list, cancel, delete, read results. Every question names its tenant.

What workers do with their parts is ``server.jobs.leases``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, or_, select
from sqlalchemy.sql import and_

from asr.errors import AlreadyExistsError, LimitError, UploadNotFoundError
from server.jobs.database import Database
from server.jobs.records import Document, Job, NewJob, PartResult, ResultsPage
from server.jobs.rows import (
    OPEN_STATES,
    batched,
    change_job,
    dumped,
    is_id,
    locked_job,
    own_job,
    read_job,
    read_result,
    unknown_job,
)
from server.jobs.schema import JOB_UPLOADS, JOBS, PARTS, RESULTS, UPLOADS
from server.jobs.states import JobKind, JobState, PartState, cancelled

Before = tuple[float, str]
"""The last row of a page that lists newest first: its time of creation and its id."""


class JobStore:
    """Jobs in a database. Safe to use from several threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewJob, *, max_open: int) -> Job:
        """Keep a job, or find the one that was kept when the same was asked for before.

        Raises:
            AlreadyExistsError: its request_id names a job of the tenant's that was asked for otherwise.
            LimitError: the tenant has ``max_open`` jobs that are not over.
            UploadNotFoundError: a file is not there, or not the tenant's.
        """
        with self._database.writing() as connection:
            self._database.alone(connection, new.tenant)
            known = _asked_before(connection, new.tenant, new.kind, new.request_id, new.payload_sha256)
            if known is not None:
                return known
            _check_room(connection, new.tenant, max_open)
            _check_uploads(connection, new)
            job_id = uuid.uuid4().hex
            self._insert(connection, job_id, new)
            made = connection.execute(select(JOBS).where(JOBS.c.id == job_id))
            return read_job(made.mappings().one())

    def asked_before(self, tenant: str, kind: JobKind, request_id: str, payload_sha256: str) -> Job | None:
        """The job that was kept when the same was asked for before, whether or not its inputs are still there.

        Raises:
            AlreadyExistsError: the request_id names a job of the tenant's that was asked for otherwise.
        """
        with self._database.reading() as connection:
            return _asked_before(connection, tenant, kind, request_id, payload_sha256)

    def get(self, tenant: str, kind: JobKind, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFoundError: the tenant has none of this id.
        """
        with self._database.reading() as connection:
            query = select(JOBS).where(*own_job(tenant, kind, job_id))
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise unknown_job(job_id)
        return read_job(row)

    def page(self, tenant: str, kind: JobKind, *, limit: int, before: Before | None = None) -> Sequence[Job]:
        """The tenant's jobs, newest first."""
        where = [JOBS.c.tenant == tenant, JOBS.c.kind == kind.value]
        if before is not None:
            created_at, job_id = before
            older = and_(JOBS.c.created_at == created_at, JOBS.c.id < job_id)
            where.append(or_(JOBS.c.created_at < created_at, older))
        query = select(JOBS).where(*where).order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [read_job(row) for row in connection.execute(query).mappings()]

    def cancel(self, tenant: str, kind: JobKind, job_id: str) -> Job:
        """End a job: nothing of it is begun any more, and what workers are at is not kept. One that is over stays.

        Raises:
            JobNotFoundError: the tenant has none of this id.
        """
        with self._database.writing() as connection:
            row = locked_job(connection, *own_job(tenant, kind, job_id))
            if row is None:
                raise unknown_job(job_id)
            job = read_job(row)
            if job.state.is_over:
                return job
            return change_job(
                connection, row, state=cancelled(job.state).value, ended_at=self._database.now(connection)
            )

    def delete(self, tenant: str, kind: JobKind, job_id: str) -> list[str]:
        """Forget a job, its results and its uploads; ids of the uploads, whose files can go.

        Raises:
            JobNotFoundError: the tenant has none of this id.
        """
        with self._database.writing() as connection:
            row = locked_job(connection, *own_job(tenant, kind, job_id))
            if row is None:
                raise unknown_job(job_id)
            return drop_jobs(connection, [job_id], and_uploads=True)

    def results(
        self, tenant: str, kind: JobKind, job_id: str, *, limit: int, after: int = -1
    ) -> list[PartResult]:
        """What came of the parts that are done, in their order, behind the one of index ``after``.

        Raises:
            JobNotFoundError: the tenant has no such job.
        """
        page = self.results_page(tenant, kind, job_id, limit=limit, after=after, max_chars=None)
        return list(page.results)

    def results_page(
        self, tenant: str, kind: JobKind, job_id: str, *, limit: int, after: int, max_chars: int | None
    ) -> ResultsPage:
        """The same, and no more of them than ``max_chars`` allows for, but one: others are not even read.

        Raises:
            JobNotFoundError: the tenant has no such job.
        """
        behind = (RESULTS.c.job_id == job_id, RESULTS.c.index > after)
        length = func.coalesce(func.length(RESULTS.c.document), func.length(RESULTS.c.failure))
        lengths = select(RESULTS.c.index, length).where(*behind).order_by(RESULTS.c.index).limit(limit)
        with self._database.reading() as connection:
            owned = connection.execute(select(JOBS.c.id).where(*own_job(tenant, kind, job_id)))
            if owned.one_or_none() is None:
                raise unknown_job(job_id)
            last, num_chars, number, is_cut = after, 0, 0, False
            for index, chars in connection.execute(lengths).all():
                num_chars += chars
                if is_cut := max_chars is not None and number > 0 and num_chars > max_chars:
                    break
                last, number = index, number + 1
            query = select(RESULTS).where(*behind, RESULTS.c.index <= last).order_by(RESULTS.c.index)
            found = tuple(read_result(row) for row in connection.execute(query).mappings())
        return ResultsPage(results=found, is_last=number < limit and not is_cut)

    def outcomes(self, job_ids: Sequence[str]) -> dict[str, Document]:
        """What came of jobs of one part that succeeded, by their ids, which the caller knows to be the tenant's."""
        query = select(RESULTS.c.job_id, RESULTS.c.document).where(
            RESULTS.c.job_id.in_(job_ids), RESULTS.c.index == 0, RESULTS.c.document.is_not(None)
        )
        with self._database.reading() as connection:
            return {job_id: json.loads(document) for job_id, document in connection.execute(query)}

    def num_by_state(self) -> dict[tuple[str, str], int]:
        """How many jobs of all tenants there are, by kind and state."""
        query = select(JOBS.c.kind, JOBS.c.state, func.count()).group_by(JOBS.c.kind, JOBS.c.state)
        with self._database.reading() as connection:
            return {(kind, state): number for kind, state, number in connection.execute(query)}

    def _insert(self, connection: Connection, job_id: str, new: NewJob) -> None:
        connection.execute(
            JOBS.insert().values(
                id=job_id,
                tenant=new.tenant,
                kind=new.kind.value,
                request_id=new.request_id,
                payload_sha256=new.payload_sha256,
                spec=dumped(new.spec),
                state=JobState.QUEUED.value,
                num_parts=len(new.parts),
                created_at=self._database.now(connection),
            )
        )
        rows = [
            {
                "job_id": job_id,
                "index": index,
                "tenant": new.tenant,
                "name": part.name,
                "document": dumped(part.document),
                "state": PartState.WAITING.value,
            }
            for index, part in enumerate(new.parts)
        ]
        connection.execute(PARTS.insert(), rows)
        if new.upload_ids:
            used = [{"job_id": job_id, "upload_id": one} for one in sorted(new.upload_ids)]
            connection.execute(JOB_UPLOADS.insert(), used)


def drop_jobs(connection: Connection, job_ids: Sequence[str], *, and_uploads: bool) -> list[str]:
    """Delete jobs with all that is theirs; ids of the uploads that went, for no other job uses them."""
    used = select(JOB_UPLOADS.c.upload_id).where(JOB_UPLOADS.c.job_id.in_(job_ids))
    candidates = list(connection.execute(used).scalars()) if and_uploads else []
    for table in (RESULTS, PARTS, JOB_UPLOADS):
        connection.execute(table.delete().where(table.c.job_id.in_(job_ids)))
    connection.execute(JOBS.delete().where(JOBS.c.id.in_(job_ids)))
    return drop_uploads(connection, candidates)


def drop_uploads(connection: Connection, upload_ids: Iterable[str]) -> list[str]:
    """Delete those uploads that no job uses; their ids.

    Rows are locked before it is asked who uses them: the question is a statement, and so a snapshot, of its own, and
    sees what a transaction that held the lock has committed meanwhile.
    """
    gone: list[str] = []
    for some in batched(sorted(set(upload_ids))):
        query = select(UPLOADS.c.id).where(UPLOADS.c.id.in_(some)).order_by(UPLOADS.c.id).with_for_update()
        locked = list(connection.execute(query).scalars())
        used = select(JOB_UPLOADS.c.upload_id).where(JOB_UPLOADS.c.upload_id.in_(locked))
        free = sorted(set(locked) - set(connection.execute(used).scalars()))
        connection.execute(UPLOADS.delete().where(UPLOADS.c.id.in_(free)))
        gone += free
    return gone


def _asked_before(
    connection: Connection, tenant: str, kind: JobKind, request_id: str, payload_sha256: str
) -> Job | None:
    query = select(JOBS).where(
        JOBS.c.tenant == tenant, JOBS.c.kind == kind.value, JOBS.c.request_id == request_id
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    if row["payload_sha256"] != payload_sha256:
        raise AlreadyExistsError(
            f"request_id {request_id!r} names job {row['id']}, which was asked for otherwise; give another request_id "
            "for another job"
        )
    return read_job(row)


def _check_room(connection: Connection, tenant: str, max_open: int) -> None:
    query = select(func.count()).where(JOBS.c.tenant == tenant, JOBS.c.state.in_(OPEN_STATES))
    if (number := connection.execute(query).scalar_one()) >= max_open:
        raise LimitError(
            f"{number} jobs of this tenant are not over, and {max_open} are the limit; wait for one, cancel one, or have "
            "jobs.max_open_jobs or quotas.max_jobs raised",
            reason="TENANT_QUOTA",
            retry_s=30.0,
        )


def _check_uploads(connection: Connection, new: NewJob) -> None:
    for upload_id in sorted(new.upload_ids):
        query = select(UPLOADS.c.id).where(
            UPLOADS.c.id == upload_id, UPLOADS.c.tenant == new.tenant, UPLOADS.c.sha256.is_not(None)
        )
        if not is_id(upload_id) or connection.execute(query.with_for_update()).one_or_none() is None:
            raise UploadNotFoundError(
                f"no upload {upload_id[:40]!r} is kept; it was never sent whole, or deleted, or its time is over: send "
                "the file again"
            )
