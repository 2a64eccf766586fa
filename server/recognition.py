"""The Speech service: from RPCs to recognition streams and back; a unary call is a stream of one recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc

from asr.errors import ExpiredError, OptionError, ProtocolError, UnavailableError
from asr.streaming.messages import (
    Goodbye,
    ModelIdentity,
    Progress,
    Ready,
    RecognitionResult,
    StreamConfig,
    StreamInput,
    StreamUpdate,
)
from asr.text.languages import language_code
from asr.v1 import speech_pb2, speech_pb2_grpc
from server import convert
from server.catalog import Catalog
from server.deadlines import Deadlines
from server.errors import status_boundary
from server.leg import StreamServices
from server.limits import Admission, Limits
from server.pool import ModelPool
from server.stream import RecognitionStream
from server.workers import ServedModel

UNARY_PIECE_S = 5.0  # a whole recording is worked on in pieces, so that others get their turn
FLUSH_S = 10.0  # for finals of streams that a drain has ended

Context = grpc.aio.ServicerContext[Any, Any]


class SpeechServicer(speech_pb2_grpc.SpeechServicer):
    """Serves asr.v1.Speech.

    Args:
        admission: the server's slots.
        limits: what one client may use.
        catalog: resolves selectors.
        pool: the models in memory.
        services: what streams share.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        limits: Limits,
        catalog: Catalog,
        pool: ModelPool[ServedModel],
        services: StreamServices,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._catalog = catalog
        self._pool = pool
        self._services = services
        self._streams: dict[RecognitionStream, asyncio.Task[Any] | None] = {}

    async def Recognize(  # noqa: N802
        self, request: speech_pb2.RecognizeRequest, context: Context
    ) -> speech_pb2.RecognizeResponse:
        """Recognise one recording."""
        async with status_boundary(context, "Recognize"):
            with self._admission.slot():
                return await self._recognize(request)
        raise AssertionError("unreachable: the boundary aborts")

    async def StreamingRecognize(  # noqa: N802
        self, request_iterator: AsyncIterator[speech_pb2.StreamingRecognizeRequest], context: Context
    ) -> None:
        """Recognise audio while it arrives."""
        async with status_boundary(context, "StreamingRecognize"):
            with self._admission.slot():
                await self._stream(request_iterator, context)

    async def drain(self, grace_s: float) -> None:
        """Say goodbye to all streams; end those still open after ``grace_s``, their finals sent."""
        for stream in self._streams:
            stream.announce(Goodbye(reason="DRAINING", time_left_s=grace_s))
        await self._wait_for_streams(grace_s)
        for stream in self._streams:
            stream.end(
                UnavailableError("the server is shutting down; open the stream again", reason="DRAINING")
            )
        await self._wait_for_streams(FLUSH_S)

    async def _wait_for_streams(self, timeout_s: float) -> None:
        if tasks := {task for task in self._streams.values() if task is not None}:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _recognize(self, request: speech_pb2.RecognizeRequest) -> speech_pb2.RecognizeResponse:
        call = convert.unary_call(request)
        duration_s = self._check_recording(call)
        results: list[RecognitionResult] = []

        async def collect(update: StreamUpdate) -> None:
            if isinstance(update.event, RecognitionResult) and update.event.is_final:
                results.append(update.event)

        async with self._lease(call.config) as model:
            stream = RecognitionStream(call.config, model, self._services, collect)
            with self._admission.slot(call.config.num_legs - 1), self._open(stream):
                await stream.run(_pieces(call))
        results.sort(key=lambda result: (result.start_s, result.channel))
        return convert.recognize_response(results, _identity(model), duration_s, call.ignored_fields)

    async def _stream(
        self, requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest], context: Context
    ) -> None:
        call = await self._first_message(requests)
        # a call holds a slot for each leg, and has one already
        with self._admission.slot(call.config.num_legs - 1):
            async with self._lease(call.config) as model:
                await self._run(call, model, requests, context)

    async def _run(
        self, call: convert.Call, model: ServedModel,
        requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest], context: Context,
    ) -> None:  # fmt: skip
        async def send(update: StreamUpdate) -> None:
            await context.write(convert.stream_response(update))

        ready = Ready(model=_identity(model), limits=self._limits, ignored_fields=call.ignored_fields)
        await send(StreamUpdate(event=ready, progress=Progress()))
        stream = RecognitionStream(call.config, model, self._services, send)
        deadlines = Deadlines(self._limits)
        watcher = asyncio.create_task(deadlines.watch(stream))
        try:
            with self._open(stream):
                await stream.run(self._inputs(requests, deadlines))
        finally:
            watcher.cancel()

    async def _first_message(
        self, requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest]
    ) -> convert.Call:
        try:
            async with asyncio.timeout(self._limits.first_message_s):
                return convert.stream_call(await anext(requests))
        except StopAsyncIteration:
            message = "the stream ended without a message; send config first"
            raise ProtocolError(message, field="config") from None
        except TimeoutError:
            message = f"no config within {self._limits.first_message_s:g} s; send it as the first message"
            raise ExpiredError(message, reason="FIRST_MESSAGE") from None

    async def _inputs(
        self, requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest], deadlines: Deadlines
    ) -> AsyncIterator[StreamInput]:
        async for request in requests:
            deadlines.touch()
            yield convert.stream_input(request, self._limits)

    @asynccontextmanager
    async def _lease(self, config: StreamConfig) -> AsyncIterator[ServedModel]:
        """The model that the selector means now, pinned until the call ends."""
        reference = await asyncio.to_thread(self._catalog.resolve, config.model)
        async with self._pool.lease(reference) as model:
            _check_language(config.language, model)
            yield model

    def _check_recording(self, call: convert.Call) -> float:
        """Length of a unary call's recording, s, within its limits."""
        config, audio = call.config, call.audio
        duration_s = len(audio) / config.frame_bytes / config.sample_rate_hz
        remedy = "stream it, or send it in parts"
        if len(audio) > self._limits.max_unary_bytes:
            message = f"{len(audio)} bytes of audio; at most {self._limits.max_unary_bytes}: {remedy}"
            raise ProtocolError(message, field="audio")
        if duration_s > self._limits.max_unary_s:
            message = f"{duration_s:.1f} s of audio; at most {self._limits.max_unary_s:g} s: {remedy}"
            raise ProtocolError(message, field="audio")
        return duration_s

    @contextmanager
    def _open(self, stream: RecognitionStream) -> Iterator[None]:
        """Let a drain know of the stream and of the task that serves it."""
        self._streams[stream] = asyncio.current_task()
        try:
            yield
        finally:
            del self._streams[stream]


async def _pieces(call: convert.Call) -> AsyncIterator[StreamInput]:
    step = int(UNARY_PIECE_S * call.config.sample_rate_hz) * call.config.frame_bytes
    for start in range(0, len(call.audio), step):
        yield call.audio[start : start + step]


def _identity(model: ServedModel) -> ModelIdentity:
    return ModelIdentity(
        name=model.name,
        version=model.version,
        reference=model.reference,
        sha256=model.sha256,
    )


def _check_language(language: str, model: ServedModel) -> None:
    code = language_code(language)
    if code and code not in model.languages:
        known = ", ".join(sorted(model.languages))
        message = f"{model.name} does not know the language {language!r}; it knows {known}"
        raise OptionError(message, field="config.language_code")
