"""The ports of a server: the public one and the administrators', each with its policies, guard and TLS.

A part of ``server.app``, which mounts the services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from server.caller import ANYONE, Caller
from server.certificates import read_certificates
from server.config import ServerConfig
from server.guard import Guard
from server.health import SERVICE_NAMES
from server.listener import Listener
from server.observe import Observer
from server.policies import ADMIN_LISTENER, PUBLIC_LISTENER, Policies
from server.reload import Reloaded
from server.tenants import Tenants

MESSAGE_OVERHEAD_BYTES = 64 << 10  # a request around its audio
METHODS = frozenset(path.strip("/") for path in (*PUBLIC_LISTENER, *ADMIN_LISTENER))


def channel_options(config: ServerConfig) -> list[tuple[str, int]]:
    """gRPC's options of the listener: one process a port, small windows, dead peers noticed."""
    return [
        ("grpc.so_reuseport", 0),
        # With the default windows a client may push minutes of audio ahead; with these under a second.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 16_384),
        ("grpc.max_receive_message_length", config.limits.max_unary_bytes + MESSAGE_OVERHEAD_BYTES),
        ("grpc.keepalive_time_ms", 45_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    ]


def make_listeners(
    config: ServerConfig, observer: Observer, check_room: Callable[[Caller], None]
) -> tuple[Listener, Listener | None]:
    """The public listener and the administrators', which there is if the config names an address.

    Args:
        config: the options.
        observer: of every RPC.
        check_room: raises unless a call of a caller may begin.

    Raises:
        OptionError: certificates or tenants cannot be read.
    """
    tls = config.tls
    certificates = (
        Reloaded("the server's certificate", tls.paths, lambda: read_certificates(tls)) if tls.is_on else None
    )
    authenticate = Tenants(Path(config.tenants)).authenticate if config.tenants else _anyone

    def listener(address: str, policies: Policies) -> Listener:
        return Listener(
            address,
            policies,
            Guard(policies, authenticate, check_room),
            observer=observer,
            options=channel_options(config),
            certificates=certificates,
        )

    public = listener(config.address, PUBLIC_LISTENER)
    return public, listener(config.admin_address, ADMIN_LISTENER) if config.admin_address else None


def _anyone(_authorizations: Sequence[str]) -> Caller:
    return ANYONE


def describe(listener: Listener) -> None:
    """Mount reflection."""
    servicer = reflection.aio.ReflectionServicer((*SERVICE_NAMES, reflection.SERVICE_NAME))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, listener)
