"""Health (grpc.health.v1) of the process, of each service and of each model, from what is known of them now.

Our own servicer: that of grpcio-health-checking makes every other watcher of a name deaf when one of them leaves, and
waits for a slow watcher before it tells anybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from asr.v1 import (
    adaptation_pb2,
    batch_pb2,
    corrections_pb2,
    models_pb2,
    phrases_pb2,
    speech_pb2,
    uploads_pb2,
)
from server.limits import ServingState
from server.listener import Listener

LIVENESS = "liveness"
SERVICE_NAMES = (
    speech_pb2.DESCRIPTOR.services_by_name["Speech"].full_name,
    models_pb2.DESCRIPTOR.services_by_name["Models"].full_name,
    phrases_pb2.DESCRIPTOR.services_by_name["PhraseSets"].full_name,
    uploads_pb2.DESCRIPTOR.services_by_name["Uploads"].full_name,
    batch_pb2.DESCRIPTOR.services_by_name["Batch"].full_name,
    adaptation_pb2.DESCRIPTOR.services_by_name["Adaptation"].full_name,
    corrections_pb2.DESCRIPTOR.services_by_name["Corrections"].full_name,
)
_STATUS = health_pb2.HealthCheckResponse


def model_service(name: str, version: str = "") -> str:
    """What to ask for a model: any version of a name that is in memory, or one of them."""
    return f"models/{name}@{version}" if version else f"models/{name}"


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Serves grpc.health.v1.Health. For one event loop.

    ``liveness`` is SERVING for as long as the process answers. "" and the services are SERVING once all models of the
    start have decoded something, until a drain; a model is meanwhile while it is in memory.

    Args:
        services: names of the gRPC services.
        models: names of the models of the start; others are known while they are in memory.
    """

    def __init__(self, services: Iterable[str], models: Iterable[str]) -> None:
        self._services = ("", *services)
        self._expected = {model_service(name) for name in models}
        self._loaded: dict[str, tuple[str, str]] = {}  # by reference: what a model is asked for by
        self._state = ServingState.LOADING
        self._changed = asyncio.Event()

    def mount(self, listener: Listener) -> None:
        """Answer on a listener."""
        health_pb2_grpc.add_HealthServicer_to_server(self, listener)

    def enter(self, state: ServingState) -> None:
        """The server is in another part of its life."""
        self._state = state
        self._tell()

    def model_loaded(self, reference: str, name: str, version: str) -> None:
        """A model is in memory and has decoded something."""
        self._loaded[reference] = model_service(name), model_service(name, version)
        self._tell()

    def model_unloaded(self, reference: str) -> None:
        """A model was let go of."""
        self._loaded.pop(reference, None)
        self._tell()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a name that means nothing."""
        status = self._status(request.service)
        if status == _STATUS.SERVICE_UNKNOWN:
            known = ", ".join(
                repr(name) for name in (*self._services, LIVENESS)
            )  # models are not for everybody
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"no health of {request.service[:100]!r}; there is that of {known} and of models/NAME in memory",
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802
        """The status now, and whenever it is another."""
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            await changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _status(self, service: str) -> Any:
        if service == LIVENESS:
            return _STATUS.SERVING
        is_loaded = any(service in names for names in self._loaded.values())
        if not (is_loaded or service in self._services or service in self._expected):
            return _STATUS.SERVICE_UNKNOWN
        is_serving = self._state is ServingState.SERVING and (is_loaded or service in self._services)
        return _STATUS.SERVING if is_serving else _STATUS.NOT_SERVING
