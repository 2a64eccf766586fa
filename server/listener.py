"""A port: a gRPC server with its guard and TLS, on which nothing can be mounted that has no policy.

Which services are mounted where is ``server.app``'s business.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc

from asr.errors import UnavailableError
from server.certificates import Certificates
from server.guard import Guard
from server.policies import Policies
from server.reload import Reloaded

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Listener:
    """Serves what is mounted on it with generated ``add_..._to_server`` functions.

    Args:
        address: HOST:PORT; port 0 lets the system choose.
        policies: of every RPC that will be mounted.
        guard: holds every RPC to them.
        observer: sees every RPC, those too that the guard refuses.
        options: gRPC's.
        certificates: for TLS; looked at again with every new connection.
    """

    def __init__(
        self,
        address: str,
        policies: Policies,
        guard: Guard,
        *,
        observer: grpc.aio.ServerInterceptor | None = None,
        options: Sequence[tuple[str, int]] = (),
        certificates: Reloaded[Certificates] | None = None,
    ) -> None:
        self._address = address
        self._policies = policies
        self._certificates = certificates
        self._services: set[str] = set()
        self._methods: set[str] = set()
        interceptors = [guard] if observer is None else [observer, guard]
        self._server = grpc.aio.server(options=list(options), interceptors=interceptors)

    @property
    def mounted(self) -> frozenset[str]:
        """Paths of the RPCs."""
        return frozenset(self._methods)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Called by generated code."""
        handlers = tuple(handlers)
        self._services |= {getattr(handler, "service_name", lambda: "")() for handler in handlers}
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Called by generated code: says which methods a service has."""
        self._methods |= {f"/{service}/{method}" for method in handlers}

    def mount(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Serve methods that no code was generated for."""
        self.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(handlers)),))
        self.add_registered_method_handlers(service, handlers)

    def bind(self) -> str:
        """Take the port; the address with its actual number.

        Raises:
            UnavailableError: it is in use.
        """
        host, _, port = self._address.rpartition(":")
        try:
            if port.isdigit():
                _check_free(host.strip("[]"), int(port))
            bound_port = self._add_port()
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "in use, or not an address"
            raise UnavailableError(
                f"cannot listen on {self._address}: {reason}; stop the other server or give another address, HOST:PORT",
                reason="PORT_IN_USE",
            ) from error
        return f"{host}:{bound_port}" if port.isdigit() else self._address

    async def start(self) -> None:
        """Serve.

        Raises:
            RuntimeError: something is mounted that the policies do not name, a fault of ours.
        """
        known = {method.split("/")[1] for method in self._methods}
        unnamed = sorted(self._methods - self._policies.keys()) + sorted(self._services - known)
        if unnamed:
            raise RuntimeError(f"without a policy: {', '.join(unnamed)}; name them in server.policies")
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls; cancel those that are open after ``grace_s``."""
        await self._server.stop(grace_s)

    def _add_port(self) -> int:
        if self._certificates is None:
            return self._server.add_insecure_port(self._address)
        return self._server.add_secure_port(self._address, _credentials(self._certificates))


def _credentials(certificates: Reloaded[Certificates]) -> grpc.ServerCredentials:
    """Credentials whose certificates are those of the files at each handshake; open connections keep theirs."""
    first = used = certificates.current()

    def newer() -> Any:  # None for no change, which the stubs do not know
        nonlocal used
        before, used = used, certificates.current()
        return None if used is before else _configuration(used)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(first), newer, require_client_authentication=first.client_ca is not None
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.private_key, certificates.certificate)], root_certificates=certificates.client_ca
    )


def _check_free(host: str, port: int) -> None:
    """Bind and let go: gRPC would say the same with log lines of its own."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
