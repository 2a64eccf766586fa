"""The Models service: what can be asked for, and moving an alias.

Moving an alias is an administrative method: switched off unless the server's config says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from asr.errors import ModelNotFoundError, NotPermittedError
from asr.recognizer import Recognizer
from asr.registry import Registry
from asr.v1 import models_pb2, models_pb2_grpc
from server import convert
from server.catalog import Catalog
from server.errors import status_boundary
from server.limits import Limits
from server.pool import ModelPool

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
        pool: ModelPool[Recognizer],
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
            loaded = self._pool.loaded
            registered = [convert.model_message(summary, loaded) for summary in summaries]
            models: list[models_pb2.Model] = [*registered, *self._unregistered(loaded)]
            models.sort(key=lambda model: model.name)
            return models_pb2.ListModelsResponse(models=models)
        raise AssertionError("unreachable: the boundary aborts")

    async def GetModel(  # noqa: N802
        self, request: models_pb2.GetModelRequest, context: Context
    ) -> models_pb2.GetModelResponse:
        """Describe one model and the limits."""
        async with status_boundary(context, "GetModel"):
            limits = convert.limits_message(self._limits)
            return models_pb2.GetModelResponse(model=await self._get(request.name), limits=limits)
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
            return models_pb2.SetAliasResponse(model=await self._get(request.name))
        raise AssertionError("unreachable: the boundary aborts")

    async def _get(self, name: str) -> models_pb2.Model:
        loaded = self._pool.loaded
        fixed = [model for model in self._unregistered(loaded) if model.name == name]
        if fixed:
            return fixed[0]
        summaries = await asyncio.to_thread(lambda: self._open_registry().list_models())
        for summary in summaries:
            if summary.name == name:
                return convert.model_message(summary, loaded)
        raise ModelNotFoundError(self._catalog.unknown(name, [summary.name for summary in summaries]))

    def _unregistered(self, loaded: frozenset[str]) -> list[models_pb2.Model]:
        return [
            convert.unregistered_model_message(name, version, is_loaded=reference in loaded)
            for name, version, reference in self._catalog.unregistered()
        ]
