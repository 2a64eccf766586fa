"""The client of jobs for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc

from asr.client import wire, wire_jobs
from asr.client.aio_connected import AsyncConnected
from asr.client.connected import PATIENCE_S
from asr.client.credentials import Credentials
from asr.client.job_values import (
    Adaptation,
    AdaptationJob,
    BatchJob,
    BatchResult,
    FileOnServer,
    ManifestOnServer,
    RecordingOnServer,
    UploadedFile,
)
from asr.client.retries import Backoff
from asr.client.wire_jobs import Content
from asr.streaming.messages import Vocabulary
from asr.v1 import (
    adaptation_pb2,
    adaptation_pb2_grpc,
    batch_pb2,
    batch_pb2_grpc,
    uploads_pb2,
    uploads_pb2_grpc,
)

Value = TypeVar("Value")


class AsyncJobsClient(AsyncConnected):
    """``JobsClient`` for asyncio: the same methods, awaited, or iterated with ``async for``. Make it in an event loop.

    Args:
        address: HOST:PORT.
        credentials: TLS and token; without them the connection is in plain text and says not who asks.
        patience_s: how long a call is made again.

    Raises:
        OptionError: the credentials cannot be used for this address.
    """

    def __init__(
        self, address: str, credentials: Credentials | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        super().__init__(address, credentials, patience_s=patience_s)
        self._uploads = uploads_pb2_grpc.UploadsStub(self._channel)  # type: ignore[no-untyped-call]
        self._batch = batch_pb2_grpc.BatchStub(self._channel)  # type: ignore[no-untyped-call]
        self._adaptation = adaptation_pb2_grpc.AdaptationStub(self._channel)  # type: ignore[no-untyped-call]

    async def upload(self, content: Content, *, name: str = "") -> UploadedFile:
        """Send a file, whole or not at all.

        Args:
            content: its path, or its bytes.
            name: what it is called; its suffix tells .ulaw and .alaw from other recordings. Default: the path's.
        """
        spec = wire_jobs.upload_spec(content, name)
        response = await self._ask(
            lambda: self._uploads.UploadFile(
                wire_jobs.upload_requests(content, spec), metadata=self._metadata
            )
        )
        return wire_jobs.uploaded_file(response.upload)

    async def upload_manifest(self, manifest: Path) -> ManifestOnServer:
        """Send a manifest and every recording that its rows name.

        Raises:
            ManifestError: it cannot be read.
        """
        audio = {
            name: (await self.upload(path)).id for name, path in wire_jobs.manifest_audio(manifest).items()
        }
        file = FileOnServer(upload_id=(await self.upload(manifest)).id)
        return ManifestOnServer(file=file, audio=audio)

    async def uploads(self) -> AsyncIterator[UploadedFile]:
        """The caller's files, newest first."""
        async for response in self._pages(self._uploads.ListUploads, uploads_pb2.ListUploadsRequest()):
            for message in response.uploads:
                yield wire_jobs.uploaded_file(message)

    async def delete_upload(self, upload_id: str) -> None:
        """Have the server delete a file that no open job needs."""
        await self._call(self._uploads.DeleteUpload, uploads_pb2.DeleteUploadRequest(id=upload_id))

    async def create_batch_job(
        self,
        recordings: Sequence[RecordingOnServer | FileOnServer],
        *,
        model: str = "",
        language: str = "",
        separate_channels: bool = False,
        vocabulary: Vocabulary | None = None,
        request_id: str = "",
    ) -> BatchJob:
        """Have recordings transcribed.

        Args:
            recordings: where they are.
            model: as a call's; the version that it means now counts for the whole job.
            language: BCP-47 code; "" leaves it to the model.
            separate_channels: whether each channel is recognised by itself.
            vocabulary: what utterances may hold.
            request_id: the caller's name of the job: the same again gives the same job. "" makes one up, which is
                enough against a connection that breaks.
        """
        request = wire_jobs.batch_request(
            recordings,
            model=model,
            language=language,
            separate_channels=separate_channels,
            vocabulary=vocabulary,
            request_id=request_id,
        )
        response = await self._call(self._batch.CreateBatchJob, request)
        return wire_jobs.created_batch_job(response)

    async def batch_job(self, job_id: str) -> BatchJob:
        """One job."""
        response = await self._call(self._batch.GetBatchJob, batch_pb2.GetBatchJobRequest(id=job_id))
        return wire_jobs.batch_job(response.job)

    async def batch_jobs(self) -> AsyncIterator[BatchJob]:
        """The caller's jobs, newest first."""
        async for response in self._pages(self._batch.ListBatchJobs, batch_pb2.ListBatchJobsRequest()):
            for message in response.jobs:
                yield wire_jobs.batch_job(message)

    async def cancel_batch_job(self, job_id: str) -> BatchJob:
        """End a job; the job as it ended."""
        response = await self._call(self._batch.CancelBatchJob, batch_pb2.CancelBatchJobRequest(id=job_id))
        return wire_jobs.batch_job(response.job)

    async def delete_batch_job(self, job_id: str) -> None:
        """Have the server delete a job, its results, and its recordings if they were sent for it alone."""
        await self._call(self._batch.DeleteBatchJob, batch_pb2.DeleteBatchJobRequest(id=job_id))

    async def watch_batch_job(self, job_id: str) -> AsyncIterator[BatchJob]:
        """The job now and whenever it is another, the last time when it is over. Goes on when a server is replaced."""
        request = batch_pb2.WatchBatchJobRequest(id=job_id)
        async for job in self._watched(self._batch.WatchBatchJob, request, wire_jobs.batch_job):
            yield job

    async def batch_results(self, job_id: str) -> AsyncIterator[BatchResult]:
        """The results so far, in the order of the recordings."""
        request = batch_pb2.ListBatchResultsRequest(id=job_id)
        async for response in self._pages(self._batch.ListBatchResults, request):
            for message in response.results:
                yield wire_jobs.batch_result(message)

    async def create_adaptation_job(self, adaptation: Adaptation, *, request_id: str = "") -> AdaptationJob:
        """Have a model adapted; ``request_id`` as for batch jobs."""
        request = wire_jobs.adaptation_request(adaptation, request_id)
        response = await self._call(self._adaptation.CreateAdaptationJob, request)
        return wire_jobs.adaptation_job(response.job)

    async def adaptation_job(self, job_id: str) -> AdaptationJob:
        """One job."""
        request = adaptation_pb2.GetAdaptationJobRequest(id=job_id)
        response = await self._call(self._adaptation.GetAdaptationJob, request)
        return wire_jobs.adaptation_job(response.job)

    async def adaptation_jobs(self) -> AsyncIterator[AdaptationJob]:
        """The caller's jobs, newest first, without points and notes."""
        request = adaptation_pb2.ListAdaptationJobsRequest()
        async for response in self._pages(self._adaptation.ListAdaptationJobs, request):
            for message in response.jobs:
                yield wire_jobs.adaptation_job(message)

    async def cancel_adaptation_job(self, job_id: str) -> AdaptationJob:
        """End a job; the job as it ended. What it has published stays."""
        request = adaptation_pb2.CancelAdaptationJobRequest(id=job_id)
        response = await self._call(self._adaptation.CancelAdaptationJob, request)
        return wire_jobs.adaptation_job(response.job)

    async def delete_adaptation_job(self, job_id: str) -> None:
        """Have the server delete a job, and its files if they were sent for it alone."""
        request = adaptation_pb2.DeleteAdaptationJobRequest(id=job_id)
        await self._call(self._adaptation.DeleteAdaptationJob, request)

    async def watch_adaptation_job(self, job_id: str) -> AsyncIterator[AdaptationJob]:
        """The job now and whenever it is another, the last time when it is over. Goes on when a server is replaced."""
        request = adaptation_pb2.WatchAdaptationJobRequest(id=job_id)
        async for job in self._watched(
            self._adaptation.WatchAdaptationJob, request, wire_jobs.adaptation_job
        ):
            yield job

    async def _watched(
        self, method: Callable[..., Any], request: Any, read: Callable[[Any], Value]
    ) -> AsyncIterator[Value]:
        """What a watch tells, each time another, on as many calls as it takes."""
        backoff = Backoff(self._patience_s)
        told: Value | None = None
        while True:
            call = method(request, metadata=self._metadata)
            try:
                async for response in call:
                    backoff.succeeded()
                    if (value := read(response.job)) != told:
                        told = value
                        yield value
                return
            except grpc.aio.AioRpcError as error:
                if (wait_s := backoff.after(error)) is None:
                    raise wire.error_of(error, self.address) from error
            finally:
                call.cancel()
            await asyncio.sleep(wait_s)
