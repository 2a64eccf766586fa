"""What the services of jobs share: the store off the event loop, a caller's room in it, and watching one job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from server.caller import Caller, current_caller
from server.jobs.inputs import Source, not_your_root
from server.jobs.installation import Installation, LazyInstallation
from server.jobs.options import JobsOptions
from server.jobs.records import Job
from server.jobs.states import JobKind
from server.limits import Admission

WATCH_S = 0.5  # between two looks at a job that is watched: no database tells of it

Answer = TypeVar("Answer")


class JobsService:
    """Access to the store for one kind of job.

    Args:
        installation: opened when it is first needed.
        admission: knows whether the server serves.
        kind: of the jobs.
    """

    def __init__(self, installation: LazyInstallation, admission: Admission, kind: JobKind) -> None:
        self._installation = installation
        self._admission = admission
        self._kind = kind

    @property
    def options(self) -> JobsOptions:
        """Of jobs."""
        return self._installation.options

    def check_serving(self) -> None:
        """Refuse unless new jobs are welcome.

        Raises:
            UnavailableError: the server loads or drains.
        """
        self._admission.check_serving()

    async def ask(self, question: Callable[[Installation], Answer]) -> Answer:
        """Ask the store, on a thread."""
        return await asyncio.to_thread(lambda: question(self._installation.get()))

    async def asked_before(self, request_id: str, payload_sha256: str) -> Job | None:
        """The caller's job of this request_id, whatever has become of its model and files since.

        Raises:
            AlreadyExistsError: it was asked for otherwise.
        """
        tenant, kind = current_caller().name, self._kind
        return await self.ask(
            lambda parts: parts.store.asked_before(tenant, kind, request_id, payload_sha256)
        )

    async def get(self, job_id: str) -> Job:
        """The caller's job.

        Raises:
            JobNotFoundError: the caller has none of this id.
        """
        tenant, kind = current_caller().name, self._kind
        return await self.ask(lambda parts: parts.store.get(tenant, kind, job_id))

    async def page(self, limit: int, before: tuple[float, str] | None) -> list[Job]:
        """The caller's jobs, newest first."""
        tenant, kind = current_caller().name, self._kind
        return await self.ask(lambda parts: list(parts.store.page(tenant, kind, limit=limit, before=before)))

    async def cancel(self, job_id: str) -> Job:
        """End the caller's job."""
        tenant, kind = current_caller().name, self._kind
        return await self.ask(lambda parts: parts.store.cancel(tenant, kind, job_id))

    async def delete(self, job_id: str) -> None:
        """Delete the caller's job, and the files that were its alone."""
        tenant, kind = current_caller().name, self._kind
        await self.ask(lambda parts: parts.delete(tenant, kind, job_id))

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The caller's job now and whenever it is another, until it is over.

        Raises:
            JobNotFoundError: the caller has none of this id, or it was deleted meanwhile.
            UnavailableError: the server stops.
        """
        told = -1
        while True:
            self.check_serving()
            job = await self.get(job_id)
            if job.revision != told:
                told = job.revision
                yield job
            if job.state.is_over:
                return
            await asyncio.sleep(WATCH_S)

    def max_open(self, caller: Caller) -> int:
        """Jobs of a tenant that may be open."""
        return caller.quotas.max_jobs or self.options.max_open_jobs


def max_stored_bytes(caller: Caller, options: JobsOptions) -> int:
    """What a tenant's uploads may take."""
    return (caller.quotas.max_stored_mb or options.max_stored_mb) << 20


def check_root(caller: Caller, source: Source, field: str) -> None:
    """Refuse a root that is not the caller's.

    Raises:
        NotPermittedError: it is not.
    """
    if not source.upload_id and not caller.may_read(source.root):
        raise not_your_root(source.root, field)
