"""Riva's speech recognition on the same port, so that software written for it works with this server unchanged.

Mounted by method path with messages of our own: Riva's file of messages would clash with that of a client in the same
process. What a client asks for and does not get is named in the trailing metadata under ``lexitune-ignored``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from asr.audio.wav_stream import WavStream
from asr.errors import ExpiredError
from asr.riva.v1 import riva_pb2
from asr.streaming.messages import RecognitionResult, StreamConfig, StreamInput, StreamUpdate
from server import riva_convert
from server.calls import Calls
from server.errors import status_boundary
from server.riva_convert import RivaCall

SERVICE_NAME = "nvidia.riva.asr.RivaSpeechRecognition"
IGNORED_KEY = "lexitune-ignored"
METHOD_PATHS = frozenset(
    f"{SERVICE_NAME}/{name}" for name in ("Recognize", "StreamingRecognize", "GetRivaSpeechRecognitionConfig")
)

Context = grpc.aio.ServicerContext[Any, Any]


class RivaServicer:
    """Serves Riva's three methods.

    Args:
        calls: runs what is asked for.
        models: selectors by the names that clients write.
        languages: of the models that can be asked for, by name.
    """

    def __init__(self, calls: Calls, models: Mapping[str, str], languages: dict[str, str]) -> None:
        self._calls = calls
        self._models = models
        self._languages = languages

    def mount(self, server: grpc.aio.Server) -> None:
        """Serve under Riva's method paths."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Recognize": grpc.unary_unary_rpc_method_handler(
                self.recognize,
                riva_pb2.RecognizeRequest.FromString,
                riva_pb2.RecognizeResponse.SerializeToString,
            ),
            "StreamingRecognize": grpc.stream_stream_rpc_method_handler(
                self.streaming_recognize,
                riva_pb2.StreamingRecognizeRequest.FromString,
                riva_pb2.StreamingRecognizeResponse.SerializeToString,
            ),
            "GetRivaSpeechRecognitionConfig": grpc.unary_unary_rpc_method_handler(
                self.list_models,
                riva_pb2.RivaSpeechRecognitionConfigRequest.FromString,
                riva_pb2.RivaSpeechRecognitionConfigResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))

    async def recognize(
        self, request: riva_pb2.RecognizeRequest, context: Context
    ) -> riva_pb2.RecognizeResponse:
        """Recognise one recording."""
        async with status_boundary(context, "Riva Recognize"):
            with self._calls.slot():
                call = riva_convert.unary_call(request, self._models)
                wav = WavStream()
                audio = wav.push(request.audio) + wav.flush()
                done = await self._calls.recognize(riva_convert.settled(call, wav.format), audio)
                _tell(context, call)
                return riva_convert.recognize_response(done.results, done.duration_s)
        raise AssertionError("unreachable: the boundary aborts")

    async def streaming_recognize(
        self, requests: AsyncIterator[riva_pb2.StreamingRecognizeRequest], context: Context
    ) -> None:
        """Recognise audio while it arrives."""

        async def send(update: StreamUpdate) -> None:
            event = update.event
            if isinstance(event, RecognitionResult) and (event.text or not event.is_final):
                await context.write(riva_convert.stream_response(event, update.progress.processed_s))

        async with status_boundary(context, "Riva StreamingRecognize"):
            with self._calls.slot():
                call = riva_convert.stream_call(await self._calls.first(requests), self._models)
                _tell(context, call)
                config, inputs = await self._begun(call, requests)
                await self._calls.stream(config, inputs, send)

    async def list_models(
        self, request: riva_pb2.RivaSpeechRecognitionConfigRequest, context: Context
    ) -> riva_pb2.RivaSpeechRecognitionConfigResponse:
        """The models that can be asked for."""
        async with status_boundary(context, "Riva GetRivaSpeechRecognitionConfig"):
            self._calls.check_serving()  # before, not all models are known
            mapped = {
                name: self._languages.get(model.partition("@")[0]) for name, model in self._models.items()
            }
            known = self._languages | {name: code for name, code in mapped.items() if code}
            return riva_convert.models_response(known, request.model_name)
        raise AssertionError("unreachable: the boundary aborts")

    async def _begun(
        self, call: RivaCall, requests: AsyncIterator[riva_pb2.StreamingRecognizeRequest]
    ) -> tuple[StreamConfig, AsyncIterator[StreamInput]]:
        """The config once the audio says whether it has a header, and all inputs from the first on."""
        wav, early = WavStream(), list[StreamInput]()
        try:
            async with self._calls.waiting(), asyncio.timeout(self._calls.limits.idle_s):
                while not wav.is_decided:
                    request = await anext(requests)
                    early += _unwrapped(wav, riva_convert.stream_inputs(request, self._calls.limits))
        except StopAsyncIteration:
            early.append(wav.flush())
        except TimeoutError:
            message = f"no audio within {self._calls.limits.idle_s:g} s; send it, silence too, as it comes"
            raise ExpiredError(message, reason="IDLE") from None
        return riva_convert.settled(call, wav.format), self._inputs(early, wav, requests)

    async def _inputs(
        self,
        early: list[StreamInput],
        wav: WavStream,
        requests: AsyncIterator[riva_pb2.StreamingRecognizeRequest],
    ) -> AsyncIterator[StreamInput]:
        for one in early:
            yield one
        async for request in requests:
            inputs = _unwrapped(wav, riva_convert.stream_inputs(request, self._calls.limits))
            for one in inputs or [b""]:  # without audio, too, it is a message: the stream does not idle
                yield one


def _unwrapped(wav: WavStream, inputs: list[StreamInput]) -> list[StreamInput]:
    """What of the inputs is known to be audio; before there is any, there is nothing to be made final."""
    unwrapped = [wav.push(one) if isinstance(one, bytes) else one for one in inputs]
    return [one for one in unwrapped if one] if wav.is_decided else []


def _tell(context: Context, call: RivaCall) -> None:
    if call.ignored:
        told = context.trailing_metadata() or ()  # the call's ids
        context.set_trailing_metadata((*told, (IGNORED_KEY, ",".join(call.ignored))))
