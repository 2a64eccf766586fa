"""Spans leave by OTLP over HTTP, for a collector that is a real port; without the extra there is one clear error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from asr.errors import MissingDependencyError
from server.call_ids import CallIds
from server.tracing import open_tracing


class Collector(HTTPServer):
    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_what_is_left_is_sent_at_the_end(collector: Collector) -> None:
    tracing = open_tracing(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    with tracing.rpc(CallIds(method="asr.v1.Speech/Recognize", request_id="seventeen"), ()) as end:
        end("OK")
    tracing.close()
    ((path, body),) = collector.received
    request = ExportTraceServiceRequest.FromString(body)
    (resource,) = request.resource_spans
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    (span,) = resource.scope_spans[0].spans
    assert (path, names["service.name"], span.name) == ("/v1/traces", "lexitune", "asr.v1.Speech/Recognize")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingDependencyError, match=r"lexitune\[otel\]"):
        open_tracing("http://localhost:4318/v1/traces")
