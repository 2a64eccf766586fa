"""The Models service as every tenant sees it: what it can ask for; messages are built by ``server.convert``.

Its administrative methods are not here but in ``server.admin``: gRPC answers UNIMPLEMENTED for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from asr.errors import ModelNotFoundError
from asr.registry import Registry
from asr.v1 import models_pb2, models_pb2_grpc
from server import convert
from server.caller import current_caller
from server.catalog import Catalog, not_permitted
from server.errors import status_boundary
from server.limits import Limits
from server.pool import ModelPool
from server.workers import ServedModel

Context = grpc.aio.ServicerContext[Any, Any]


class ModelsServicer(models_pb2_grpc.ModelsServicer):
    """Serves the reading methods of asr.v1.Models.

    Args:
        catalog: the models of the start.
        open_registry: opens the registry; blocking.
        pool: the models in memory.
        limits: under which models are served.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        open_registry: Callable[[], Registry],
        pool: ModelPool[ServedModel],
        limits: Limits,
    ) -> None:
        self._catalog = catalog
        self._open_registry = open_registry
        self._pool = pool
        self._limits = limits

    async def ListModels(  # noqa: N802
        self, request: models_pb2.ListModelsRequest, context: Context
    ) -> models_pb2.ListModelsResponse:
        """List the caller's models by name."""
        async with status_boundary(context, "ListModels"):
            summaries = await asyncio.to_thread(lambda: self._open_registry().list_models())
            models: list[convert.ListedModel] = [*summaries, *self._catalog.unregistered()]
            own = [model for model in models if current_caller().may_use(model.name)]
            return convert.list_models_response(own, self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetModel(  # noqa: N802
        self, request: models_pb2.GetModelRequest, context: Context
    ) -> models_pb2.GetModelResponse:
        """Describe one model and the limits."""
        async with status_boundary(context, "GetModel"):
            if not current_caller().may_use(request.name):
                raise not_permitted(request.name)
            model = await self._get(request.name)
            return convert.get_model_response(model, self._limits, self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def _get(self, name: str) -> convert.ListedModel:
        for unregistered in self._catalog.unregistered():
            if unregistered.name == name:
                return unregistered
        summaries = await asyncio.to_thread(lambda: self._open_registry().list_models())
        for summary in summaries:
            if summary.name == name:
                return summary
        raise ModelNotFoundError(
            self._catalog.unknown(name, [summary.name for summary in summaries], current_caller().may_use)
        )
