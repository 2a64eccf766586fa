"""The Uploads service: files that jobs read, written as they come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc

from asr.errors import ExpiredError, LexituneError, LimitError, ProtocolError
from asr.v1 import uploads_pb2, uploads_pb2_grpc
from server import convert_job_answers as answers
from server import convert_jobs
from server.caller import current_caller
from server.errors import status_boundary
from server.jobs.records import Upload
from server.jobs.uploads import UploadWriter
from server.jobs_service import JobsService, max_stored_bytes
from server.limits import Limits

Context = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[uploads_pb2.UploadFileRequest]


@asynccontextmanager
async def _closing(begin: Coroutine[Any, Any, UploadWriter]) -> AsyncIterator[UploadWriter]:
    """A block with the writer that is begun, which is closed at the end even of a call that was cancelled."""
    beginning = asyncio.ensure_future(begin)
    try:
        yield await asyncio.shield(beginning)
    finally:
        await asyncio.shield(asyncio.ensure_future(_close(beginning)))


async def _close(beginning: asyncio.Future[UploadWriter]) -> None:
    with suppress(LexituneError):  # who waits for it is told
        writer = await beginning
        await asyncio.to_thread(writer.close)


class UploadsServicer(uploads_pb2_grpc.UploadsServicer):
    """Serves asr.v1.Uploads.

    Args:
        jobs: access to the store.
        limits: of one stream.
    """

    def __init__(self, *, jobs: JobsService, limits: Limits) -> None:
        self._jobs, self._limits = jobs, limits
        self._open: Counter[str] = Counter()  # by tenant

    async def UploadFile(  # noqa: N802
        self, request_iterator: Requests, context: Context
    ) -> uploads_pb2.UploadFileResponse:
        """Keep a file."""
        async with status_boundary(context, "UploadFile"):
            self._jobs.check_serving()
            with self._place():
                return answers.upload_response(await self._keep(request_iterator))
        raise AssertionError("unreachable: the boundary aborts")

    async def ListUploads(  # noqa: N802
        self, request: uploads_pb2.ListUploadsRequest, context: Context
    ) -> uploads_pb2.ListUploadsResponse:
        """The caller's files, newest first."""
        async with status_boundary(context, "ListUploads"):
            size, before = convert_jobs.newest_first(request)
            tenant = current_caller().name
            page = await self._jobs.ask(
                lambda parts: list(parts.uploads.page(tenant, limit=size, before=before))
            )
            return answers.uploads_response(page, size)
        raise AssertionError("unreachable: the boundary aborts")

    async def DeleteUpload(  # noqa: N802
        self, request: uploads_pb2.DeleteUploadRequest, context: Context
    ) -> uploads_pb2.DeleteUploadResponse:
        """Delete a file."""
        async with status_boundary(context, "DeleteUpload"):
            tenant = current_caller().name
            await self._jobs.ask(lambda parts: parts.uploads.delete(tenant, request.id))
            return answers.delete_upload_response()
        raise AssertionError("unreachable: the boundary aborts")

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places for uploads."""
        tenant, options = current_caller().name, self._jobs.options
        if self._open.total() >= (most := options.max_uploads):
            raise LimitError(
                f"{most} files are being sent to this server, its limit; try again, or have jobs.max_uploads raised",
                reason="UPLOADS",
            )
        if tenant and self._open[tenant] >= (most := options.max_tenant_uploads):
            raise LimitError(
                f"{most} files of this tenant are being sent to this server, its limit; try again when one has ended, or "
                "have jobs.max_tenant_uploads raised",
                reason="TENANT_QUOTA",
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            self._open += Counter()  # forgets those that have none

    async def _keep(self, requests: Requests) -> Upload:
        spec = convert_jobs.upload_spec(await self._next(requests, self._limits.first_message_s))
        caller, room = current_caller(), max_stored_bytes(current_caller(), self._jobs.options)
        begin = self._jobs.ask(
            lambda parts: parts.uploads.begin(
                caller.name, spec.name, spec.size_bytes, spec.sha256, max_stored_bytes=room
            )
        )
        async with _closing(begin) as writer:
            return await self._receive(requests, writer)

    async def _receive(self, requests: Requests, writer: UploadWriter) -> Upload:
        """Write what comes until the client has sent all."""
        longest_s = self._jobs.options.max_upload_s
        try:
            async with asyncio.timeout(longest_s):
                while (request := await self._next_or_end(requests, self._limits.idle_s)) is not None:
                    self._jobs.check_serving()  # so that a client sends it elsewhere while there is time
                    content = convert_jobs.upload_content(request, self._limits.max_message_bytes)
                    await asyncio.to_thread(writer.write, content)
        except TimeoutError:
            raise ExpiredError(
                f"the upload took {longest_s:g} s, the limit; send it on a faster connection, in parts, or have "
                "jobs.max_upload_s raised",
                reason="MAX_DURATION",
            ) from None
        return await asyncio.to_thread(writer.finish)

    async def _next(self, requests: Requests, timeout_s: float) -> uploads_pb2.UploadFileRequest:
        request = await self._next_or_end(requests, timeout_s)
        if request is None:
            raise ProtocolError("an upload without a message; send its spec first", field="spec")
        return request

    async def _next_or_end(
        self, requests: Requests, timeout_s: float
    ) -> uploads_pb2.UploadFileRequest | None:
        try:
            async with asyncio.timeout(timeout_s):
                return await anext(requests, None)
        except TimeoutError:
            raise ExpiredError(
                f"no message for {timeout_s:g} s; send the file again, without such pauses", reason="IDLE"
            ) from None
