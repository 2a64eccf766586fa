"""Riva's speech recognition on the same port, so that software written for it works with this server unchanged.

Mounted by method path with messages of our own: Riva's file of messages would clash with that of a client in the same
process. What a client asks for and does not get is named in the trailing metadata under ``lexitune-ignored``; where
finals of low confidence are kept (``server.candidates``), ``lexitune-keeps-candidates`` is "true" there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from asr.riva.v1 import riva_pb2
from asr.streaming.messages import RecognitionResult, StreamUpdate
from server import riva_convert
from server.caller import Caller, current_caller
from server.calls import Calls
from server.errors import status_boundary
from server.listener import Listener
from server.riva_convert import RivaCall
from server.vocabulary import ServedInput

SERVICE_NAME = "nvidia.riva.asr.RivaSpeechRecognition"
IGNORED_KEY = "lexitune-ignored"
KEEPS_KEY = "lexitune-keeps-candidates"

Context = grpc.aio.ServicerContext[Any, Any]


class RivaServicer:
    """Serves Riva's three methods.

    Args:
        calls: runs what is asked for.
        models: selectors by the names that clients write.
        languages: of the models that can be asked for, by name.
        has_consent: whether what a caller says may be kept.
    """

    def __init__(
        self,
        calls: Calls,
        models: Mapping[str, str],
        languages: dict[str, str],
        has_consent: Callable[[Caller], bool],
    ) -> None:
        self._calls = calls
        self._models = models
        self._languages = languages
        self._has_consent = has_consent

    def mount(self, listener: Listener) -> None:
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
        listener.mount(SERVICE_NAME, handlers)

    async def recognize(
        self, request: riva_pb2.RecognizeRequest, context: Context
    ) -> riva_pb2.RecognizeResponse:
        """Recognise one recording."""
        async with status_boundary(context, "Riva Recognize"):
            with self._calls.slot():
                call = riva_convert.unary_call(request, self._models, self._calls.limits)
                done = await self._calls.recognize(call.config, request.audio)
                self._tell(context, call)
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
                call = riva_convert.stream_call(
                    await self._calls.first(requests), self._models, self._calls.limits
                )
                self._tell(context, call)
                await self._calls.stream(call.config, self._inputs(requests), send)

    async def list_models(
        self, request: riva_pb2.RivaSpeechRecognitionConfigRequest, context: Context
    ) -> riva_pb2.RivaSpeechRecognitionConfigResponse:
        """The models that the caller can ask for."""
        async with status_boundary(context, "Riva GetRivaSpeechRecognitionConfig"):
            self._calls.check_serving()  # before, not all models are known
            may_use = current_caller().may_use
            own = {name: code for name, code in self._languages.items() if may_use(name)}
            mapped = {name: own.get(model.partition("@")[0]) for name, model in self._models.items()}
            known = own | {name: code for name, code in mapped.items() if code}
            return riva_convert.models_response(known, request.model_name)
        raise AssertionError("unreachable: the boundary aborts")

    async def _inputs(
        self, requests: AsyncIterator[riva_pb2.StreamingRecognizeRequest]
    ) -> AsyncIterator[ServedInput]:
        async for request in requests:
            inputs = riva_convert.stream_inputs(request, self._calls.limits)
            for one in inputs or [b""]:  # without audio, too, it is a message: the stream does not idle
                yield one

    def _tell(self, context: Context, call: RivaCall) -> None:
        """What the protocol has no field for, in the trailing metadata behind the call's ids."""
        told = [(IGNORED_KEY, ",".join(call.ignored))] if call.ignored else []
        if self._has_consent(current_caller()):
            told.append((KEEPS_KEY, "true"))
        if told:
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), *told))
