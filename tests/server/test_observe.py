"""Every RPC has ids, a count and a line in the log, and a span if wanted: a real port, handlers of every kind."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry

from asr.errors import LimitError
from asr.models.base import DecodingOptions
from asr.results import Hypothesis
from server.batching import BatchTimes, DecodeQueue, DecodeWork, Urgency
from server.call_ids import current_call
from server.errors import status_boundary
from server.logs import configure_logging
from server.metrics import Metrics
from server.observe import Observer
from server.tracing import Tracing

SERVICE = "test.Echo"
METHODS = frozenset(f"{SERVICE}/{name}" for name in ("Say", "Stream", "Count", "Full", "Bug", "Wait"))
_LOG = logging.getLogger("server.test")


class Engine:
    """Decodes at once."""

    def decode(self, batch: list[DecodeWork]) -> list[list[Hypothesis]]:
        return [[Hypothesis(text="x")] for _ in batch]

    def wait_alive(self) -> None:
        raise AssertionError("it never dies")

    def close(self) -> None:
        pass


class Echo:
    """Handlers: unary, bidirectional, an asynchronous generator, one that is full, one with a bug, one that waits."""

    def __init__(self, decodes: DecodeQueue) -> None:
        self._decodes = decodes
        self.waits = asyncio.Event()

    async def say(self, request: bytes, context: Any) -> bytes:
        _LOG.warning("saying")
        work = DecodeWork(model="m", samples=np.zeros(1, np.float32), options=DecodingOptions())
        future: Future[Any] = self._decodes.submit(work, Urgency.FINAL)
        await asyncio.wrap_future(future)
        return request

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        call = current_call()
        assert call is not None
        async for request in requests:
            await context.write(request + call.stream_id.encode())

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"1"
        yield b"2"

    async def full(self, request: bytes, context: Any) -> bytes:
        async with status_boundary(context, "Full"):
            raise LimitError("no room", reason="STREAM_SLOTS")
        raise AssertionError

    async def bug(self, request: bytes, context: Any) -> bytes:
        raise ZeroDivisionError("what a client wrote")

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.waits.set()
        await asyncio.Event().wait()
        return b""

    def handlers(self) -> dict[str, Any]:
        return {
            "Say": grpc.unary_unary_rpc_method_handler(self.say),
            "Stream": grpc.stream_stream_rpc_method_handler(self.stream),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Full": grpc.unary_unary_rpc_method_handler(self.full),
            "Bug": grpc.unary_unary_rpc_method_handler(self.bug),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "Hidden": grpc.unary_unary_rpc_method_handler(self.say),
        }


class Port:
    """A server with the observer, its channel, what it counts and the spans it makes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracing = Tracing(provider)
        self.metrics = Metrics(self.registry)
        self.batches: list[BatchTimes] = []
        self.decodes = DecodeQueue([Engine()], max_waiting=9, observe=self._decoded)
        self.echo = Echo(self.decodes)
        self.server = grpc.aio.server(interceptors=(Observer(self.metrics, METHODS, self.tracing),))
        handlers = grpc.method_handlers_generic_handler(SERVICE, self.echo.handlers())
        self.server.add_generic_rpc_handlers((handlers,))
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}")

    def counted(self, method: str, code: str) -> float | None:
        return self.registry.get_sample_value("lexitune_rpc_total", {"method": method, "code": code})

    def unary(self, name: str, *metadata: tuple[str, str]) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{name}")(b"hi", metadata=metadata)

    def _decoded(self, batch: BatchTimes) -> None:
        self.tracing.batch_decoded(batch)
        self.batches.append(batch)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    made = Port()
    await made.server.start()
    yield made
    await made.channel.close()
    await made.server.stop(0)
    await asyncio.to_thread(made.decodes.close)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Where the log goes; what was configured before comes back."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    handler = configure_logging(level="info", form="json")
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    handler.setStream(written)
    yield written
    root.handlers, root.level = before
    for name in ("lexitune", "server", "asr"):
        logging.getLogger(name).setLevel(logging.NOTSET)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.005)


async def test_a_well_formed_request_id_comes_back_and_any_other_is_replaced(port: Port) -> None:
    call = port.unary("Say", ("x-request-id", "order-17:a_b.c"))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "order-17:a_b.c"
    for bad in ("", "two words", "x" * 65, "a/b"):
        call = port.unary("Say", ("x-request-id", bad))
        await call
        told = dict(await call.trailing_metadata())
        assert re.fullmatch("[0-9a-f]{12}", told["x-request-id"])
        assert "lexitune-stream-id" not in told


async def test_a_stream_has_an_id_of_ours(port: Port) -> None:
    call = port.channel.stream_stream(f"/{SERVICE}/Stream")(iter([b"a", b"b"]))
    said = [response async for response in call]
    told = dict(await call.trailing_metadata())
    assert said == [b"a" + told["lexitune-stream-id"].encode(), b"b" + told["lexitune-stream-id"].encode()]
    assert [one async for one in port.channel.unary_stream(f"/{SERVICE}/Count")(b"")] == [b"1", b"2"]
    await _until(
        lambda: port.counted(f"{SERVICE}/Stream", "OK") == port.counted(f"{SERVICE}/Count", "OK") == 1
    )


async def test_a_refusal_has_its_ids_its_details_and_no_headers_before(port: Port) -> None:
    call = port.unary("Full", ("x-request-id", "mine"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told = dict(caught.value.trailing_metadata() or ())
    assert told["x-request-id"] == "mine"
    assert b"STREAM_SLOTS" in told["grpc-status-details-bin"]
    assert "x-request-id" not in dict(await call.initial_metadata())  # or no client would retry it
    await _until(lambda: port.counted(f"{SERVICE}/Full", "RESOURCE_EXHAUSTED") == 1)
    rejected = port.registry.get_sample_value("lexitune_streams_rejected_total", {"reason": "STREAM_SLOTS"})
    assert rejected == 1


async def test_what_is_not_served_is_one_label(port: Port) -> None:
    for number in range(20):
        with pytest.raises(grpc.aio.AioRpcError):
            await port.channel.unary_unary(f"/test.Nothing/M{number}")(b"")
    await port.unary("Hidden")  # served, but not among the methods that are counted by name
    methods = {
        sample.labels["method"]
        for family in port.registry.collect()
        for sample in family.samples
        if "method" in sample.labels
    }
    assert methods == {"other"}
    assert port.counted("other", "UNIMPLEMENTED") == 20


async def test_a_cancelled_call_and_a_bug_are_counted(port: Port) -> None:
    call = port.unary("Wait")
    await asyncio.wait_for(port.echo.waits.wait(), 10)
    call.cancel()
    await _until(lambda: port.counted(f"{SERVICE}/Wait", "CANCELLED") == 1)
    with pytest.raises(grpc.aio.AioRpcError):
        await port.unary("Bug")
    assert port.counted(f"{SERVICE}/Bug", "UNKNOWN") == 1


async def test_the_log_has_the_ids_in_json(port: Port, logged: io.StringIO) -> None:
    await port.unary("Say", ("x-request-id", "seventeen"))
    with pytest.raises(grpc.aio.AioRpcError):
        await port.unary("Full", ("x-request-id", "eighteen"))
    await _until(
        lambda: logged.getvalue().count("\n") == 3
    )  # a refusal is on its way before its line is written
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    said, done, refused = lines
    assert (said["logger"], said["level"], said["message"]) == ("server.test", "warning", "saying")
    assert said["request_id"] == done["request_id"] == "seventeen"
    assert (done["logger"], done["method"], done["code"]) == ("lexitune.rpc", f"{SERVICE}/Say", "OK")
    assert done["duration_s"] >= 0
    assert (refused["code"], refused["reason"]) == ("RESOURCE_EXHAUSTED", "STREAM_SLOTS")
    assert refused["request_id"] == "eighteen"


def test_text_is_readable_and_has_the_ids_at_the_end(logged: io.StringIO) -> None:
    from server.call_ids import begin_call

    handler = configure_logging(level="warning", form="text")
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(logged)

    def log() -> None:
        begin_call("m", [("x-request-id", "abc")], is_stream=False)
        _LOG.warning("no room")
        _LOG.info("not shown")

    contextvars.copy_context().run(log)
    assert logged.getvalue().endswith(" WARNING server.test: no room [request_id=abc]\n")
    assert "not shown" not in logged.getvalue()


async def test_spans_follow_the_callers_trace(port: Port) -> None:
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    await port.unary("Say", ("traceparent", f"00-{trace_id}-{span_id}-01"), ("x-request-id", "traced"))
    await _until(lambda: len(port.spans.get_finished_spans()) == 3)
    spans = {span.name: span for span in port.spans.get_finished_spans()}
    rpc, queue, decode = spans[f"{SERVICE}/Say"], spans["queue"], spans["decode"]
    assert {format(span.context.trace_id, "032x") for span in spans.values() if span.context} == {trace_id}
    assert rpc.parent is not None
    assert format(rpc.parent.span_id, "016x") == span_id
    assert rpc.kind is SpanKind.SERVER
    assert rpc.attributes is not None
    assert rpc.attributes["lexitune.request_id"] == "traced"
    assert rpc.attributes["rpc.grpc.status"] == "OK"
    for child in (queue, decode):
        assert child.parent is not None
        assert rpc.context is not None
        assert child.parent.span_id == rpc.context.span_id
        assert child.attributes is not None
        assert child.attributes["lexitune.urgency"] == "final"
    assert queue.end_time == decode.start_time
    assert abs((decode.end_time or 0) - time.time_ns()) < 60 * 10**9


async def test_a_span_tells_the_reason_of_a_failure_and_no_message(port: Port) -> None:
    for name in ("Full", "Bug"):
        with pytest.raises(grpc.aio.AioRpcError):
            await port.unary(name)
    await _until(lambda: len(port.spans.get_finished_spans()) == 2)
    full, bug = port.spans.get_finished_spans()
    assert full.status.description == "STREAM_SLOTS"
    assert (bug.status.is_ok, bug.events) == (False, ())
    assert "what a client wrote" not in full.to_json() + bug.to_json()
