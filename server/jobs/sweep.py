"""What is over its time goes: jobs, uploads, and files that a kill left behind. Run now and then, by any server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, or_, select
from sqlalchemy.sql import and_

from asr.storage import is_older
from server.jobs.database import Database
from server.jobs.options import DAY_S, HOUR_S, JobsOptions
from server.jobs.rows import BATCH, OPEN_STATES
from server.jobs.schema import JOB_UPLOADS, JOBS, UPLOADS
from server.jobs.states import JobKind
from server.jobs.store import drop_jobs
from server.jobs.uploads import UNFINISHED_S, UploadStore

ADAPTATIONS = "adaptations"
"""Folder of what trainings need, a folder for each job."""
JOBS_AT_ONCE = 20  # in one transaction: a job has up to 100,000 parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """How many of each went."""

    jobs: int
    uploads: int
    files: int
    candidates: int = 0


def sweep(database: Database, uploads: UploadStore, folder: Path, options: JobsOptions) -> Swept:
    """Remove what is over its time. Safe to run beside everything else, killed at any instant, and twice at once.

    Args:
        database: of the jobs.
        uploads: their files.
        folder: of the jobs.
        options: how long things are kept.
    """
    num_jobs = _sweep_jobs(database, options)
    num_uploads = 0
    for gone in _sweep_uploads(database, options):
        uploads.remove_files(gone)
        num_uploads += len(gone)
    return Swept(jobs=num_jobs, uploads=num_uploads, files=_sweep_files(database, uploads, folder))


def _sweep_jobs(database: Database, options: JobsOptions) -> int:
    """Delete jobs, a few in a transaction; how many."""
    number, last = 0, ""
    while True:
        with database.writing() as connection:
            old = JOBS.c.ended_at < database.now(connection) - options.result_days * DAY_S
            query = select(JOBS.c.id).where(old, JOBS.c.id > last).order_by(JOBS.c.id).limit(JOBS_AT_ONCE)
            job_ids = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
            drop_jobs(connection, job_ids, and_uploads=False)
        if not job_ids:
            return number
        number, last = number + len(job_ids), job_ids[-1]


def _sweep_uploads(database: Database, options: JobsOptions) -> Iterator[list[str]]:
    """Delete rows of uploads, some in a transaction; their ids."""
    last: str | None = ""
    while last is not None:
        with database.writing() as connection:
            gone, last = _drop_expired(connection, database.now(connection), options, last)
        yield gone


def _drop_expired(
    connection: Connection, now: float, options: JobsOptions, last: str
) -> tuple[list[str], str | None]:
    """Delete the next rows behind an id: their ids, and the id behind which to go on, None at the end."""
    needed = (
        select(JOB_UPLOADS.c.upload_id)
        .join(JOBS, JOBS.c.id == JOB_UPLOADS.c.job_id)
        .where(JOBS.c.state.in_(OPEN_STATES))
    )
    expired = and_(
        UPLOADS.c.sha256.is_not(None),
        UPLOADS.c.created_at < now - options.upload_hours * HOUR_S,
        UPLOADS.c.id.not_in(needed),
    )
    unfinished = and_(UPLOADS.c.sha256.is_(None), UPLOADS.c.created_at < now - UNFINISHED_S)
    query = select(UPLOADS.c.id).where(or_(expired, unfinished), UPLOADS.c.id > last).order_by(UPLOADS.c.id)
    # One that is locked is being taken by a job. Whether a job has taken one is asked anew under the lock: a
    # statement sees what was committed before it began.
    locked = list(connection.execute(query.limit(BATCH).with_for_update(skip_locked=True)).scalars())
    taken = set(connection.execute(needed.where(JOB_UPLOADS.c.upload_id.in_(locked))).scalars())
    gone = [one for one in locked if one not in taken]
    connection.execute(JOB_UPLOADS.delete().where(JOB_UPLOADS.c.upload_id.in_(gone)))
    connection.execute(UPLOADS.delete().where(UPLOADS.c.id.in_(gone)))
    return gone, locked[-1] if locked else None


def _sweep_files(database: Database, uploads: UploadStore, folder: Path) -> int:
    """Remove files that have no row, for a kill came between the two, and folders of jobs that are gone or over."""
    adaptations = folder / ADAPTATIONS
    folders = list(adaptations.iterdir()) if adaptations.is_dir() else []  # each was made after its job's row
    with database.reading() as connection:
        names = set(connection.execute(select(UPLOADS.c.file_name)).scalars())
        is_open = {
            job_id: state in OPEN_STATES
            for job_id, state in connection.execute(
                select(JOBS.c.id, JOBS.c.state).where(JOBS.c.kind == JobKind.ADAPTATION.value)
            )
        }
    number = 0
    for path in uploads.folder.iterdir():
        if path.name.removesuffix(".part") not in names and is_older(path, UNFINISHED_S):
            path.unlink(missing_ok=True)
            number += 1
    for path in folders:
        if path.name not in is_open or (not is_open[path.name] and is_older(path, UNFINISHED_S)):
            shutil.rmtree(path, ignore_errors=True)
            number += 1
    return number
