"""What surrounds every RPC: its ids, its count, its span and its line in the log.

The outermost interceptor, so that what others refuse is seen, too. It decides nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeAlias

import grpc

from server.call_ids import CallIds, begin_call
from server.metrics import UNKNOWN_METHOD, Metrics
from server.tracing import Tracing

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # a generic type in its stubs only
Context = grpc.aio.ServicerContext[Any, Any]
Details = grpc.HandlerCallDetails

_LOG = logging.getLogger("lexitune.rpc")


class Observer(grpc.aio.ServerInterceptor):
    """Observes RPCs.

    Args:
        metrics: counts them.
        methods: that are served, as SERVICE/METHOD; any other is counted as one.
        tracing: makes spans of them, if given.
    """

    def __init__(self, metrics: Metrics, methods: frozenset[str], tracing: Tracing | None = None) -> None:
        self._metrics, self._methods, self._tracing = metrics, methods, tracing

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler | None]], handler_call_details: Details
    ) -> Handler | None:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._metrics.rpc_ended(UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED.name, "")
            return None  # grpc answers UNIMPLEMENTED
        return self._observed(handler, handler_call_details)

    def _observed(self, handler: Handler, details: Details) -> Handler:
        made, behavior = _parts(handler)
        is_stream = handler.request_streaming and handler.response_streaming

        async def one(request: Any, context: Context) -> Any:
            async with self._call(details, context, is_stream):
                return await behavior(request, context)

        async def many(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._call(details, context, is_stream):
                async for response in behavior(request, context):
                    yield response

        wrapped = many if inspect.isasyncgenfunction(behavior) else one
        return made(wrapped, handler.request_deserializer, handler.response_serializer)

    @asynccontextmanager
    async def _call(self, details: Details, context: Context, is_stream: bool) -> AsyncIterator[None]:
        path = details.method.strip("/")
        method = path if path in self._methods else UNKNOWN_METHOD
        metadata = details.invocation_metadata or ()
        call = begin_call(method, metadata, is_stream=is_stream)
        # Trailing, not initial: a refusal whose headers came first would be retried by no client and no proxy.
        context.set_trailing_metadata(call.metadata)
        began_s, code = time.monotonic(), grpc.StatusCode.UNKNOWN
        span = self._tracing.rpc(call, metadata) if self._tracing is not None else nullcontext(None)
        with self._metrics.open_rpc(), span as ended:
            try:
                yield
                code = _code(context)
            except (asyncio.CancelledError, GeneratorExit):
                code = grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                code = _code(context)
                raise
            finally:
                self._metrics.rpc_ended(method, code.name, call.failure)
                if ended is not None:
                    ended(code.name)
                _log(call, code, time.monotonic() - began_s)


def _log(call: CallIds, code: grpc.StatusCode, duration_s: float) -> None:
    if _LOG.isEnabledFor(logging.INFO):
        fields = {"method": call.method, "code": code.name, "duration_s": round(duration_s, 3)}
        if call.failure:
            fields["reason"] = call.failure
        text = " ".join(str(value) for value in fields.values())
        _LOG.info("%s", text, extra={"fields": fields})


def _code(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.OK


def _parts(handler: Handler) -> tuple[Callable[..., Handler], Callable[..., Any]]:
    """What makes such a handler, and what it calls."""
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler, handler.stream_stream  # type: ignore[return-value]
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary  # type: ignore[return-value]
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream  # type: ignore[return-value]
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary  # type: ignore[return-value]
