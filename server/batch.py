"""The Batch service: jobs are kept and looked at here, and done by workers; messages by ``server.convert_jobs``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import grpc

from asr.decoding.ctc_tokens import CtcTokens
from asr.models.resolve import resolve_model
from asr.models.writable import tokens_of
from asr.v1 import batch_pb2, batch_pb2_grpc
from server import convert_job_answers as answers
from server import convert_jobs
from server.caller import Caller, current_caller
from server.catalog import Catalog
from server.convert_jobs import BatchRequest
from server.errors import status_boundary
from server.jobs.batch_work import phrases_document, read_reports, reports_document
from server.jobs.installation import Installation
from server.jobs.records import Job, NewJob, NewPart
from server.jobs.states import JobKind
from server.jobs_service import JobsService, check_root
from server.limits import Limits
from server.vocabulary import Resolved, Vocabularies

MAX_PAGE_CHARS = 2 * answers.MAX_RESULTS_BYTES  # as the store writes them, more than their messages have

Context = grpc.aio.ServicerContext[Any, Any]


@lru_cache(maxsize=64)
def _tokens_of(reference: str) -> CtcTokens | None:
    """What a CTC model can write; None for any other. References are immutable."""
    return tokens_of(resolve_model(reference))


class BatchServicer(batch_pb2_grpc.BatchServicer):
    """Serves asr.v1.Batch.

    Args:
        jobs: of the kind BATCH.
        catalog: resolves models.
        vocabularies: resolve phrases.
        limits: of one vocabulary.
    """

    def __init__(
        self, *, jobs: JobsService, catalog: Catalog, vocabularies: Vocabularies, limits: Limits
    ) -> None:
        self._jobs, self._catalog, self._vocabularies = jobs, catalog, vocabularies
        self._limits = limits

    async def CreateBatchJob(  # noqa: N802
        self, request: batch_pb2.CreateBatchJobRequest, context: Context
    ) -> batch_pb2.CreateBatchJobResponse:
        """Keep a job."""
        async with status_boundary(context, "CreateBatchJob"):
            self._jobs.check_serving()
            caller = current_caller()
            asked = convert_jobs.batch_request(request, self._limits, self._jobs.options)
            job = await self._jobs.asked_before(asked.request_id, asked.payload_sha256)
            if job is None:
                job = await self._new(caller, asked)
            return answers.create_batch_response(job, read_reports(job.spec), self._jobs.options)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetBatchJob(  # noqa: N802
        self, request: batch_pb2.GetBatchJobRequest, context: Context
    ) -> batch_pb2.GetBatchJobResponse:
        """One job."""
        async with status_boundary(context, "GetBatchJob"):
            return answers.get_batch_response(await self._jobs.get(request.id), self._jobs.options)
        raise AssertionError("unreachable: the boundary aborts")

    async def ListBatchJobs(  # noqa: N802
        self, request: batch_pb2.ListBatchJobsRequest, context: Context
    ) -> batch_pb2.ListBatchJobsResponse:
        """The caller's jobs, newest first."""
        async with status_boundary(context, "ListBatchJobs"):
            size, before = convert_jobs.newest_first(request)
            page = await self._jobs.page(size, before)
            return answers.list_batch_response(page, size, self._jobs.options)
        raise AssertionError("unreachable: the boundary aborts")

    async def CancelBatchJob(  # noqa: N802
        self, request: batch_pb2.CancelBatchJobRequest, context: Context
    ) -> batch_pb2.CancelBatchJobResponse:
        """End a job."""
        async with status_boundary(context, "CancelBatchJob"):
            return answers.cancel_batch_response(await self._jobs.cancel(request.id), self._jobs.options)
        raise AssertionError("unreachable: the boundary aborts")

    async def DeleteBatchJob(  # noqa: N802
        self, request: batch_pb2.DeleteBatchJobRequest, context: Context
    ) -> batch_pb2.DeleteBatchJobResponse:
        """Delete a job, its results and its files."""
        async with status_boundary(context, "DeleteBatchJob"):
            await self._jobs.delete(request.id)
            return answers.delete_batch_response()
        raise AssertionError("unreachable: the boundary aborts")

    async def WatchBatchJob(  # noqa: N802
        self, request: batch_pb2.WatchBatchJobRequest, context: Context
    ) -> AsyncIterator[batch_pb2.WatchBatchJobResponse]:
        """The job now, and whenever it is another."""
        async with status_boundary(context, "WatchBatchJob"):
            async for job in self._jobs.watch(request.id):
                yield answers.watch_batch_response(job, self._jobs.options)

    async def ListBatchResults(  # noqa: N802
        self, request: batch_pb2.ListBatchResultsRequest, context: Context
    ) -> batch_pb2.ListBatchResultsResponse:
        """The results so far."""
        async with status_boundary(context, "ListBatchResults"):
            size, after = convert_jobs.behind_index(request)
            tenant = current_caller().name
            page = await self._jobs.ask(
                lambda parts: parts.store.results_page(
                    tenant, JobKind.BATCH, request.id, limit=size, after=after, max_chars=MAX_PAGE_CHARS
                )
            )
            return answers.results_response(page)
        raise AssertionError("unreachable: the boundary aborts")

    async def _new(self, caller: Caller, asked: BatchRequest) -> Job:
        """Keep a job that was not asked for before, or is being asked for twice just now."""
        for index, source in enumerate(asked.recordings.values()):
            check_root(caller, source, f"recordings[{index}].file")
        model = await asyncio.to_thread(self._catalog.resolve, asked.model, caller.may_use)
        phrases = await self._vocabularies.resolve(asked.vocabulary, caller.name, "vocabulary")
        if phrases.phrases:
            phrases = phrases.by(await asyncio.to_thread(_tokens_of, model))
        return await self._jobs.ask(lambda parts: self._create(parts, caller, asked, model, phrases))

    def _create(
        self, parts: Installation, caller: Caller, asked: BatchRequest, model: str, phrases: Resolved
    ) -> Job:
        """Look for the files and keep the job; on a thread."""
        for index, source in enumerate(asked.recordings.values()):
            if not source.upload_id:  # uploads are looked for when the job is kept
                parts.inputs.path(caller.name, source, field=f"recordings[{index}].file.root_file.path")
        return parts.store.create(
            NewJob(
                tenant=caller.name,
                kind=JobKind.BATCH,
                request_id=asked.request_id,
                payload_sha256=asked.payload_sha256,
                spec={
                    "model": model,
                    "language": asked.language,
                    "separate_channels": asked.separate_channels,
                    "phrases": phrases_document(phrases.phrases),
                    "reports": reports_document(phrases.reports),
                },
                parts=tuple(
                    NewPart(name=name, document={"file": source.as_document()})
                    for name, source in asked.recordings.items()
                ),
                upload_ids=frozenset(one.upload_id for one in asked.recordings.values() if one.upload_id),
            ),
            max_open=self._jobs.max_open(caller),
        )
