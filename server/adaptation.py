"""The Adaptation service: jobs are kept and looked at here, and done by workers; messages by ``server.convert_jobs``.

Of training it knows the spec alone, which checks what a client asks for before a worker meets it.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from asr.errors import NotPermittedError, OptionError
from asr.v1 import adaptation_pb2, adaptation_pb2_grpc
from server import convert_job_answers as answers
from server import convert_jobs
from server.caller import Caller, current_caller
from server.catalog import Catalog
from server.convert_jobs import AdaptationRequest
from server.errors import status_boundary
from server.jobs.installation import Installation
from server.jobs.options import JobsOptions
from server.jobs.records import Document, Job, NewJob, NewPart
from server.jobs.states import JobKind, JobState
from server.jobs_service import JobsService, check_root
from training.spec import spec_of

Context = grpc.aio.ServicerContext[Any, Any]
MAX_CONFIG_BYTES = 64 << 10


class AdaptationServicer(adaptation_pb2_grpc.AdaptationServicer):
    """Serves asr.v1.Adaptation.

    Args:
        jobs: of the kind ADAPTATION.
        catalog: resolves models.
        is_allowed: whether new jobs are taken.
    """

    def __init__(self, *, jobs: JobsService, catalog: Catalog, is_allowed: bool) -> None:
        self._jobs, self._catalog, self._is_allowed = jobs, catalog, is_allowed

    async def CreateAdaptationJob(  # noqa: N802
        self, request: adaptation_pb2.CreateAdaptationJobRequest, context: Context
    ) -> adaptation_pb2.CreateAdaptationJobResponse:
        """Keep a job."""
        async with status_boundary(context, "CreateAdaptationJob"):
            self._jobs.check_serving()
            caller = current_caller()
            self._check_permitted(caller, request.name)
            asked = convert_jobs.adaptation_request(request)
            job = await self._jobs.asked_before(asked.request_id, asked.payload_sha256)
            if job is None:
                job = await self._new(caller, asked)
            return answers.create_adaptation_response(*await self._whole(job))
        raise AssertionError("unreachable: the boundary aborts")

    async def GetAdaptationJob(  # noqa: N802
        self, request: adaptation_pb2.GetAdaptationJobRequest, context: Context
    ) -> adaptation_pb2.GetAdaptationJobResponse:
        """One job."""
        async with status_boundary(context, "GetAdaptationJob"):
            job = await self._jobs.get(request.id)
            return answers.get_adaptation_response(*await self._whole(job))
        raise AssertionError("unreachable: the boundary aborts")

    async def ListAdaptationJobs(  # noqa: N802
        self, request: adaptation_pb2.ListAdaptationJobsRequest, context: Context
    ) -> adaptation_pb2.ListAdaptationJobsResponse:
        """The caller's jobs, newest first."""
        async with status_boundary(context, "ListAdaptationJobs"):
            size, before = convert_jobs.newest_first(request)
            page = await self._jobs.page(size, before)
            outcomes = await self._jobs.ask(lambda parts: parts.store.outcomes([job.id for job in page]))
            return answers.list_adaptation_response(page, outcomes, size, self._jobs.options)
        raise AssertionError("unreachable: the boundary aborts")

    async def CancelAdaptationJob(  # noqa: N802
        self, request: adaptation_pb2.CancelAdaptationJobRequest, context: Context
    ) -> adaptation_pb2.CancelAdaptationJobResponse:
        """End a job."""
        async with status_boundary(context, "CancelAdaptationJob"):
            job = await self._jobs.cancel(request.id)
            return answers.cancel_adaptation_response(*await self._whole(job))
        raise AssertionError("unreachable: the boundary aborts")

    async def DeleteAdaptationJob(  # noqa: N802
        self, request: adaptation_pb2.DeleteAdaptationJobRequest, context: Context
    ) -> adaptation_pb2.DeleteAdaptationJobResponse:
        """Delete a job and its files."""
        async with status_boundary(context, "DeleteAdaptationJob"):
            await self._jobs.delete(request.id)
            return answers.delete_adaptation_response()
        raise AssertionError("unreachable: the boundary aborts")

    async def WatchAdaptationJob(  # noqa: N802
        self, request: adaptation_pb2.WatchAdaptationJobRequest, context: Context
    ) -> AsyncIterator[adaptation_pb2.WatchAdaptationJobResponse]:
        """The job now, and whenever it is another."""
        async with status_boundary(context, "WatchAdaptationJob"):
            async for job in self._jobs.watch(request.id):
                yield answers.watch_adaptation_response(*await self._whole(job))

    async def _new(self, caller: Caller, asked: AdaptationRequest) -> Job:
        """Keep a job that was not asked for before, or is being asked for twice just now."""
        for field, source in asked.files.items():
            check_root(caller, source, field)
        for field, manifest in asked.manifests.items():
            check_root(caller, manifest.file, f"{field}.file")
        config = read_config(asked.config_toml)
        base = await asyncio.to_thread(self._catalog.resolve, asked.base, caller.may_use)
        return await self._jobs.ask(lambda parts: self._create(parts, caller, asked, base, config))

    def _check_permitted(self, caller: Caller, name: str) -> None:
        if not self._is_allowed:
            raise NotPermittedError(
                "this server takes no adaptation jobs; give it tenants, or an address that only its machine reaches, and "
                "leave jobs.allow_adaptation true"
            )
        if not caller.may_publish(name):
            raise NotPermittedError(
                f"the name {name[:128]!r} is not among those under which this tenant may publish; publishes in the "
                "server's tenants file adds one"
            )

    async def _whole(self, job: Job) -> tuple[Job, Document | None, JobsOptions]:
        """A job with what came of it."""
        outcome = None
        if job.state is JobState.SUCCEEDED:
            outcomes = await self._jobs.ask(lambda parts: parts.store.outcomes([job.id]))
            outcome = outcomes.get(job.id)
        return job, outcome, self._jobs.options

    def _create(
        self,
        parts: Installation,
        caller: Caller,
        asked: AdaptationRequest,
        base: str,
        config: Mapping[str, Any],
    ) -> Job:
        """Look for the files, check the spec and keep the job; on a thread."""
        files: dict[str, Path] = {
            field: parts.inputs.path(caller.name, source, field=field)
            for field, source in asked.files.items()
        }
        for field, manifest in asked.manifests.items():
            files[field] = parts.inputs.path(caller.name, manifest.file, field=f"{field}.file")
            parts.inputs.rows(caller.name, manifest, field=field)
        what = {"base": base, "name": asked.name, "alias": asked.alias, "method": asked.method}
        spec_of({**what, "config": config, "files": files})
        sources = [*asked.files.values(), *(one.file for one in asked.manifests.values())]
        sent = {one.upload_id for one in sources if one.upload_id}
        sent |= {audio for one in asked.manifests.values() for audio in one.audio.values()}
        return parts.store.create(
            NewJob(
                tenant=caller.name,
                kind=JobKind.ADAPTATION,
                request_id=asked.request_id,
                payload_sha256=asked.payload_sha256,
                spec={
                    **what,
                    "config": config,
                    "files": {field: one.as_document() for field, one in asked.files.items()},
                    "manifests": {field: one.as_document() for field, one in asked.manifests.items()},
                },
                parts=(NewPart(name=asked.name, document={}),),
                upload_ids=frozenset(sent),
            ),
            max_open=self._jobs.max_open(caller),
        )


def read_config(text: str) -> Mapping[str, Any]:
    """The options of a job, as a table.

    Raises:
        OptionError: it is too long, or no TOML.
    """
    if len(text.encode()) > MAX_CONFIG_BYTES:
        raise OptionError(
            f"config_toml has over {MAX_CONFIG_BYTES} bytes; give what differs from the defaults",
            field="config_toml",
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"config_toml is not TOML: {error}", field="config_toml") from error
