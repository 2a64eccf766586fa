"""The Corrections service: candidates listed, heard, corrected and deleted by the tenant whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from asr.v1 import corrections_pb2, corrections_pb2_grpc
from server import convert_corrections
from server.caller import current_caller
from server.errors import status_boundary
from server.jobs_service import JobsService

Context = grpc.aio.ServicerContext[Any, Any]


class CorrectionsServicer(corrections_pb2_grpc.CorrectionsServicer):
    """Serves asr.v1.Corrections.

    Args:
        jobs: access to the store.
    """

    def __init__(self, *, jobs: JobsService) -> None:
        self._jobs = jobs

    async def ListCandidates(  # noqa: N802
        self, request: corrections_pb2.ListCandidatesRequest, context: Context
    ) -> corrections_pb2.ListCandidatesResponse:
        """The caller's candidates, the lowest confidence first."""
        async with status_boundary(context, "ListCandidates"):
            asked, tenant = convert_corrections.list_request(request), current_caller().name
            page, options = await self._jobs.ask(
                lambda parts: (
                    parts.candidates.page(tenant, limit=asked.limit, state=asked.state, after=asked.after),
                    parts.candidates.options,
                )
            )
            return convert_corrections.list_response(page, asked.limit, options)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetCandidateAudio(  # noqa: N802
        self, request: corrections_pb2.GetCandidateAudioRequest, context: Context
    ) -> AsyncIterator[corrections_pb2.GetCandidateAudioResponse]:
        """What was heard."""
        async with status_boundary(context, "GetCandidateAudio"):
            tenant = current_caller().name
            content = await self._jobs.ask(lambda parts: parts.candidates.audio(tenant, request.id))
            for response in convert_corrections.audio_responses(content):
                yield response

    async def CorrectCandidate(  # noqa: N802
        self, request: corrections_pb2.CorrectCandidateRequest, context: Context
    ) -> corrections_pb2.CorrectCandidateResponse:
        """Keep what was said."""
        async with status_boundary(context, "CorrectCandidate"):
            text, reviewer = convert_corrections.correction(request), convert_corrections.reviewer(request)
            tenant = current_caller().name
            candidate, options = await self._jobs.ask(
                lambda parts: (
                    parts.candidates.correct(tenant, request.id, text, reviewer),
                    parts.candidates.options,
                )
            )
            return convert_corrections.correct_response(candidate, options)
        raise AssertionError("unreachable: the boundary aborts")

    async def RejectCandidate(  # noqa: N802
        self, request: corrections_pb2.RejectCandidateRequest, context: Context
    ) -> corrections_pb2.RejectCandidateResponse:
        """Keep that nothing can be learned of it."""
        async with status_boundary(context, "RejectCandidate"):
            tenant, reviewer = current_caller().name, convert_corrections.reviewer(request)
            candidate, options = await self._jobs.ask(
                lambda parts: (
                    parts.candidates.reject(tenant, request.id, reviewer),
                    parts.candidates.options,
                )
            )
            return convert_corrections.reject_response(candidate, options)
        raise AssertionError("unreachable: the boundary aborts")

    async def DeleteCandidates(  # noqa: N802
        self, request: corrections_pb2.DeleteCandidatesRequest, context: Context
    ) -> corrections_pb2.DeleteCandidatesResponse:
        """Delete some, or all."""
        async with status_boundary(context, "DeleteCandidates"):
            tenant, ids = current_caller().name, convert_corrections.deleted_ids(request)
            number = await self._jobs.ask(
                lambda parts: (
                    parts.candidates.delete_all(tenant)
                    if ids is None
                    else parts.candidates.delete(tenant, ids)
                )
            )
            return convert_corrections.delete_response(number)
        raise AssertionError("unreachable: the boundary aborts")
