"""OpenTelemetry spans: one for an RPC, below it one for each wait in the queue and each decoding.

Off unless the config names a collector; OpenTelemetry is imported only then (extra ``otel``). A caller's trace goes on by
its ``traceparent`` metadata. Attributes are ids, versions, codes and numbers, never text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asr.errors import MissingDependencyError
from server.batching import BatchTimes
from server.call_ids import CallIds

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NS = 1_000_000_000
_PROPAGATED = ("traceparent", "tracestate")


class Tracing:
    """Makes spans.

    Args:
        provider: where they go; closed with this.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("lexitune.server")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def rpc(
        self, call: CallIds, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Iterator[Callable[[str], None]]:
        """A span around an RPC; call what is yielded with the name of its status."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        carrier = {key: value for key, value in metadata if key in _PROPAGATED and isinstance(value, str)}
        attributes = {"rpc.system": "grpc", "rpc.method": call.method, "lexitune.request_id": call.request_id}
        if call.stream_id:
            attributes["lexitune.stream_id"] = call.stream_id
        with self._tracer.start_as_current_span(
            call.method,
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,  # its message may quote what a client wrote
            set_status_on_exception=False,
        ) as span:

            def end(code: str) -> None:
                span.set_attribute("rpc.grpc.status", code)
                if code != "OK":
                    span.set_status(Status(StatusCode.ERROR, call.failure or code))

            yield end

    def batch_decoded(self, batch: BatchTimes) -> None:
        """Spans of a batch that is over, each below the span of the RPC that asked for it."""
        to_epoch_ns = time.time_ns() - time.monotonic_ns()
        attributes: dict[str, str | int] = {
            "lexitune.model": batch.model,
            "lexitune.urgency": batch.urgency.name.lower(),
            "lexitune.batch_size": len(batch.submitted),
        }
        for submitted in batch.submitted:
            for name, begin_s, end_s in (
                ("queue", submitted.at_s, batch.taken_s),
                ("decode", batch.taken_s, batch.done_s),
            ):
                span = submitted.context.run(
                    self._tracer.start_span,
                    name,
                    attributes=attributes,
                    start_time=int(begin_s * _NS) + to_epoch_ns,
                )
                span.end(int(end_s * _NS) + to_epoch_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_tracing(endpoint: str) -> Tracing:
    """Spans for a collector that speaks OTLP over HTTP, e.g. http://localhost:4318/v1/traces.

    Raises:
        MissingDependencyError: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingDependencyError(
            "traces need OpenTelemetry; install it with pip install 'lexitune[otel]', or leave trace_endpoint empty"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "lexitune"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider)
