"""The Models service: what can be asked for, and moving an alias; messages are built by ``server.convert``.

Moving an alias is an administrative method: switched off unless the server's config says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from asr.errors import ModelNotFoundError, NotPermittedError
from asr.registry import Registry
from asr.v1 import models_pb2, models_pb2_grpc
from server import convert
from server.catalog import Catalog
from server.errors import status_boundary
from server.limits import Limits
from server.pool import ModelPool
from server.workers import ServedModel

Context = grpc.aio.ServicerContext[Any, Any]


class ModelsServicer(models_pb2_grpc.ModelsServicer):
    """Serves asr.v1.Models.

    Args:
        catalog: the models of the start.
        open_registry: opens the registry; blocking.
        pool: the models in memory.
        limits: under which models are served.
        allow_admin: whether aliases may be moved.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        open_registry: Callable[[], Registry],
        pool: ModelPool[ServedModel],
        limits: Limits,
        allow_admin: bool,
    ) -> None:
        self._catalog = catalog
        self._open_registry = open_registry
        self._pool = pool
        self._limits = limits
        self._allow_admin = allow_admin

    async def ListModels(  # noqa: N802
        self, request: models_pb2.ListModelsRequest, context: Context
    ) -> models_pb2.ListModelsResponse:
        """List all models by name."""
        async with status_boundary(context, "ListModels"):
            summaries = await asyncio.to_thread(lambda: self._open_registry().list_models())
            models: list[convert.ListedModel] = [*summaries, *self._catalog.unregistered()]
            return convert.list_models_response(models, self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetModel(  # noqa: N802
        self, request: models_pb2.GetModelRequest, context: Context
    ) -> models_pb2.GetModelResponse:
        """Describe one model and the limits."""
        async with status_boundary(context, "GetModel"):
            model = await self._get(request.name)
            return convert.get_model_response(model, self._limits, self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def SetAlias(  # noqa: N802
        self, request: models_pb2.SetAliasRequest, context: Context
    ) -> models_pb2.SetAliasResponse:
        """Point an alias at a version."""
        async with status_boundary(context, "SetAlias"):
            if not self._allow_admin:
                raise NotPermittedError(
                    "SetAlias is switched off on this server; start it with allow_admin = true, or use "
                    "lexitune models alias"
                )
            await asyncio.to_thread(
                lambda: self._open_registry().set_alias(request.name, request.alias, request.version)
            )
            return convert.set_alias_response(await self._get(request.name), self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def _get(self, name: str) -> convert.ListedModel:
        for unregistered in self._catalog.unregistered():
            if unregistered.name == name:
                return unregistered
        summaries = await asyncio.to_thread(lambda: self._open_registry().list_models())
        for summary in summaries:
            if summary.name == name:
                return summary
        raise ModelNotFoundError(self._catalog.unknown(name, [summary.name for summary in summaries]))
