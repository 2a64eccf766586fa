"""The guard of a listener: a gRPC interceptor that holds every RPC to its policy before anything of it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc

from asr.errors import NotPermittedError
from server.caller import Caller, set_caller
from server.errors import status_boundary
from server.policies import READ_WHOLE, Policies, Policy

AUTHORIZATION = "authorization"

Authenticate = Callable[[Sequence[str]], Caller]
"""From the values of ``authorization`` to who calls; raises UnauthenticatedError."""

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Guard(grpc.aio.ServerInterceptor):
    """Lets through what the policies allow.

    Args:
        policies: of the listener.
        authenticate: says whose token it is.
        check_room: raises unless a call of this caller may begin; asked ahead of requests that are read whole, or a
            server without a free slot would hold all of a recording to refuse it.
    """

    def __init__(
        self,
        policies: Policies,
        authenticate: Authenticate,
        check_room: Callable[[Caller], None] = lambda _: None,
    ) -> None:
        self._policies = policies
        self._authenticate = authenticate
        self._check_room = check_room

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """See :class:`grpc.aio.ServerInterceptor`."""
        method = handler_call_details.method
        policy = self._policies.get(method)
        if policy is None:
            return None  # UNIMPLEMENTED, whatever may be mounted
        if policy is not Policy.PUBLIC:
            try:
                set_caller(self._admit(method, policy, handler_call_details.invocation_metadata))
            except Exception as error:  # the RPC boundary, which is in the handler
                return _refusing(method, error)
        return await continuation(handler_call_details)

    def _admit(self, method: str, policy: Policy, metadata: Any) -> Caller:
        caller = self._authenticate([value for key, value in metadata or () if key == AUTHORIZATION])
        name = method.rpartition("/")[2]
        if policy is Policy.REFUSED:
            raise NotPermittedError(
                f"{name} is an administrative method, which this address never serves; set admin_address in the "
                "server's configuration and call it there"
            )
        if policy is Policy.ADMIN and not caller.is_admin:
            raise NotPermittedError(
                f"{name} is for administrators, and the tenant {caller.name} is none; set admin = true for it in the "
                "tenants file"
            )
        if method in READ_WHOLE:
            self._check_room(caller)
        return caller


def _refusing(method: str, error: Exception) -> _Handler:
    """A handler that ends the call with the error's status.

    Of a stream whatever the method is: such a handler runs before a message was read, of a unary call or a stream.
    """

    async def refuse(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async with status_boundary(context, method):
            raise error

    return grpc.stream_stream_rpc_method_handler(refuse)
