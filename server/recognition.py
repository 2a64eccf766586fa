"""The Speech service: from RPCs of asr.v1 to calls and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from asr.streaming.messages import StreamUpdate, Vocabulary
from asr.v1 import speech_pb2, speech_pb2_grpc
from server import convert
from server.calls import Calls
from server.errors import status_boundary
from server.vocabulary import ServedInput

Context = grpc.aio.ServicerContext[Any, Any]


class SpeechServicer(speech_pb2_grpc.SpeechServicer):
    """Serves asr.v1.Speech; ``calls`` runs what it is asked for."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Recognize(  # noqa: N802
        self, request: speech_pb2.RecognizeRequest, context: Context
    ) -> speech_pb2.RecognizeResponse:
        """Recognise one recording."""
        async with status_boundary(context, "Recognize"):
            with self._calls.slot():
                call = convert.unary_call(request, self._calls.limits)
                done = await self._calls.recognize(call.config, call.audio)
                return convert.recognize_response(
                    done.results,
                    done.model,
                    done.duration_s,
                    call.ignored_fields,
                    done.phrases,
                    keeps_candidates=done.keeps_candidates,
                )
        raise AssertionError("unreachable: the boundary aborts")

    async def StreamingRecognize(  # noqa: N802
        self, request_iterator: AsyncIterator[speech_pb2.StreamingRecognizeRequest], context: Context
    ) -> None:
        """Recognise audio while it arrives."""

        async def send(update: StreamUpdate) -> None:
            await context.write(convert.stream_response(update))

        async with status_boundary(context, "StreamingRecognize"):
            with self._calls.slot():
                call = convert.stream_call(await self._calls.first(request_iterator), self._calls.limits)
                await self._calls.stream(
                    call.config, self._inputs(request_iterator), send, call.ignored_fields
                )

    async def _inputs(
        self, requests: AsyncIterator[speech_pb2.StreamingRecognizeRequest]
    ) -> AsyncIterator[ServedInput]:
        async for request in requests:
            asked = convert.stream_input(request, self._calls.limits)
            yield await self._calls.change(asked) if isinstance(asked, Vocabulary) else asked
