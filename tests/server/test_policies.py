"""Every RPC has a policy on the listener where it is mounted; what has none stops the start and is never served."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool

from asr.v1 import (
    adaptation_pb2,
    batch_pb2,
    corrections_pb2,
    models_pb2,
    phrases_pb2,
    speech_pb2,
    uploads_pb2,
)
from server.app import Application
from server.caller import ANYONE, current_caller
from server.config import ServerConfig
from server.guard import Guard
from server.listener import Listener
from server.policies import ADMIN_LISTENER, PUBLIC_LISTENER, Policy


async def _echo(request: bytes, _context: Any) -> bytes:
    return request


def _handlers(*names: str) -> dict[str, Any]:
    return {name: grpc.unary_unary_rpc_method_handler(_echo) for name in names}


def _listener(policies: dict[str, Policy]) -> Listener:
    return Listener("127.0.0.1:0", policies, Guard(policies, lambda _: ANYONE))


async def test_all_that_is_mounted_is_in_the_table_of_its_listener() -> None:
    config = ServerConfig(
        address="127.0.0.1:0", admin_address="127.0.0.1:0", reflection=True, decode_workers=1
    )
    application = Application(config)
    try:
        public, admin = application.listeners
        for listener, table in ((public, PUBLIC_LISTENER), (admin, ADMIN_LISTENER)):
            assert listener.mounted <= table.keys()
            assert table.keys() - listener.mounted <= {"/grpc.health.v1.Health/List"}
        assert not any("Speech" in method for method in admin.mounted)
    finally:
        await application.stop()


def test_every_method_of_our_protos_is_in_a_table() -> None:
    services = [
        descriptor_pool.Default().FindServiceByName(f"asr.v1.{name}")
        for file in (
            adaptation_pb2,
            batch_pb2,
            corrections_pb2,
            models_pb2,
            phrases_pb2,
            speech_pb2,
            uploads_pb2,
        )
        for name in file.DESCRIPTOR.services_by_name
    ]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert methods <= PUBLIC_LISTENER.keys()


def test_administrative_methods_are_refused_on_the_public_listener() -> None:
    refused = {method for method, policy in PUBLIC_LISTENER.items() if policy is Policy.REFUSED}
    assert refused == {f"/asr.v1.Models/{name}" for name in ("SetAlias", "LoadModel", "UnloadModel")}
    served = {method for method, policy in ADMIN_LISTENER.items() if policy is not Policy.PUBLIC}
    assert {ADMIN_LISTENER[method] for method in served} == {Policy.ADMIN}


async def test_a_method_without_a_policy_stops_the_start() -> None:
    listener = _listener({"/a.B/Known": Policy.PUBLIC})
    listener.mount("a.B", _handlers("Known", "Unknown"))
    with pytest.raises(RuntimeError, match=r"without a policy: /a\.B/Unknown"):
        await listener.start()
    await listener.stop(0)


async def test_a_service_that_does_not_say_its_methods_stops_the_start() -> None:
    listener = _listener({"/a.B/Known": Policy.PUBLIC})
    listener.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", _handlers("Known")),))
    with pytest.raises(RuntimeError, match=r"without a policy: a\.B"):
        await listener.start()
    await listener.stop(0)


async def test_what_no_guard_saw_is_nobodys_and_what_is_unknown_is_unimplemented() -> None:
    seen: list[Any] = []

    async def look(request: bytes, _context: Any) -> bytes:
        try:
            seen.append(current_caller())
        except LookupError as error:
            seen.append(type(error))
        return request

    listener = _listener({"/a.B/Open": Policy.PUBLIC, "/a.B/Kept": Policy.AUTHENTICATED})
    handler = grpc.unary_unary_rpc_method_handler(look)
    listener.mount("a.B", {"Open": handler, "Kept": handler})
    address = listener.bind()
    await listener.start()
    async with grpc.aio.insecure_channel(address) as channel:
        for name in ("Open", "Kept"):
            assert await channel.unary_unary(f"/a.B/{name}")(b"x") == b"x"
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await channel.unary_unary("/a.B/Else")(b"x")
    await listener.stop(0)
    assert seen == [LookupError, ANYONE]
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
