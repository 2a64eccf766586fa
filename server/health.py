"""Health of each service (grpc.health.v1): SERVING once the models are warm, until a drain."""

from __future__ import annotations

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from asr.v1 import models_pb2, speech_pb2
from server.listener import Listener

SERVICE_NAMES = (
    speech_pb2.DESCRIPTOR.services_by_name["Speech"].full_name,
    models_pb2.DESCRIPTOR.services_by_name["Models"].full_name,
)
_STATUS = health_pb2.HealthCheckResponse


class Health:
    """The health of the server as a whole ("") and of each service, all the same in this release."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()

    def mount(self, listener: Listener) -> None:
        """Answer on a listener, too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, listener)

    async def loading(self) -> None:
        """Answer NOT_SERVING."""
        await self._set(_STATUS.NOT_SERVING)

    async def serving(self) -> None:
        """Answer SERVING."""
        await self._set(_STATUS.SERVING)

    async def draining(self) -> None:
        """Answer NOT_SERVING for good."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, status: int) -> None:
        for name in ("", *SERVICE_NAMES):
            await self._servicer.set(name, status)
