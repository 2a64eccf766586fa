"""Health of the process, the services and the models, over a real port: what is SERVING when, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.health import LIVENESS, SERVICE_NAMES, Health
from server.limits import ServingState

UNKNOWN, SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)
SPEECH = SERVICE_NAMES[0]


class Port:
    def __init__(self) -> None:
        self.health = Health(SERVICE_NAMES, ["orders"])
        self.server = grpc.aio.server()
        self.health.mount(self.server)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}")
        self._stub = health_pb2_grpc.HealthStub(self.channel)

    async def check(self, service: str) -> int:
        reply = await self._stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(reply.status)

    def watch(self, service: str) -> Any:
        return self._stub.Watch(health_pb2.HealthCheckRequest(service=service))


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    made = Port()
    await made.server.start()
    yield made
    await made.channel.close()
    await made.server.stop(0)


async def _next(watch: Any) -> int:
    return int((await asyncio.wait_for(watch.read(), 10)).status)


async def test_a_server_that_loads_is_alive_and_serves_nothing(port: Port) -> None:
    assert await port.check(LIVENESS) == SERVING
    for name in ("", *SERVICE_NAMES, "models/orders"):
        assert await port.check(name) == NOT_SERVING
    port.health.model_loaded("models:/orders/3", "orders", "3")
    assert await port.check("models/orders") == NOT_SERVING  # others still load: calls are refused
    port.health.enter(ServingState.SERVING)
    for name in ("", *SERVICE_NAMES, "models/orders", "models/orders@3", LIVENESS):
        assert await port.check(name) == SERVING


async def test_a_model_serves_while_a_version_of_it_is_in_memory(port: Port) -> None:
    port.health.enter(ServingState.SERVING)
    for version in ("3", "4"):
        port.health.model_loaded(f"models:/orders/{version}", "orders", version)
    port.health.model_loaded("models:/other/1", "other", "1")
    port.health.model_unloaded("models:/orders/3")
    port.health.model_unloaded("never loaded")
    assert await port.check("models/orders") == await port.check("models/orders@4") == SERVING
    assert await port.check("models/other") == SERVING
    port.health.model_unloaded("models:/orders/4")
    port.health.model_unloaded("models:/other/1")
    assert await port.check("models/orders") == NOT_SERVING
    for gone in ("models/orders@4", "models/other"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await port.check(gone)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "models/NAME" in (caught.value.details() or "")
        assert "models/orders@3" not in (caught.value.details() or "")  # not for everybody to know


async def test_a_drain_ends_everything_but_liveness(port: Port) -> None:
    port.health.model_loaded("models:/orders/3", "orders", "3")
    port.health.enter(ServingState.SERVING)
    port.health.enter(ServingState.DRAINING)
    for name in ("", *SERVICE_NAMES, "models/orders", "models/orders@3"):
        assert await port.check(name) == NOT_SERVING
    assert await port.check(LIVENESS) == SERVING


async def test_every_watcher_is_told_of_every_change_though_another_leaves(port: Port) -> None:
    leaves, stays, of_version = port.watch(SPEECH), port.watch(SPEECH), port.watch("models/orders@3")
    assert await _next(leaves) == await _next(stays) == NOT_SERVING
    assert await _next(of_version) == UNKNOWN
    leaves.cancel()
    port.health.enter(ServingState.SERVING)
    assert await _next(stays) == SERVING
    port.health.model_loaded("models:/orders/3", "orders", "3")
    assert await _next(of_version) == SERVING
    port.health.enter(ServingState.DRAINING)
    assert await _next(stays) == await _next(of_version) == NOT_SERVING
