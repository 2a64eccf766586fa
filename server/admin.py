"""The Models service as administrators see it, on a listener of its own: aliases moved, versions loaded and let go of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asr.registry import Registry
from asr.v1 import models_pb2
from server import convert
from server.catalog import Catalog
from server.errors import status_boundary
from server.limits import Admission, Limits
from server.models import Context, ModelsServicer
from server.pool import ModelPool
from server.workers import ServedModel


class AdminServicer(ModelsServicer):
    """Serves all of asr.v1.Models.

    Args:
        admission: knows whether the server serves.
        catalog: the models of the start.
        open_registry: opens the registry; blocking.
        pool: the models in memory.
        limits: under which models are served.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        catalog: Catalog,
        open_registry: Callable[[], Registry],
        pool: ModelPool[ServedModel],
        limits: Limits,
    ) -> None:
        super().__init__(catalog=catalog, open_registry=open_registry, pool=pool, limits=limits)
        self._admission = admission

    async def SetAlias(  # noqa: N802
        self, request: models_pb2.SetAliasRequest, context: Context
    ) -> models_pb2.SetAliasResponse:
        """Point an alias at a version."""
        async with status_boundary(context, "SetAlias"):
            await asyncio.to_thread(
                lambda: self._open_registry().set_alias(request.name, request.alias, request.version)
            )
            return convert.set_alias_response(await self._get(request.name), self._pool.loaded)
        raise AssertionError("unreachable: the boundary aborts")

    async def LoadModel(  # noqa: N802
        self, request: models_pb2.LoadModelRequest, context: Context
    ) -> models_pb2.LoadModelResponse:
        """Load a version and warm it up; one that is loaded stays as it is."""
        async with status_boundary(context, "LoadModel"):
            self._admission.check_serving()
            reference = await asyncio.to_thread(self._catalog.resolve, request.model)
            async with self._pool.lease(reference) as model:
                return convert.load_model_response(model.identity)
        raise AssertionError("unreachable: the boundary aborts")

    async def UnloadModel(  # noqa: N802
        self, request: models_pb2.UnloadModelRequest, context: Context
    ) -> models_pb2.UnloadModelResponse:
        """Let go of a version that no call holds."""
        async with status_boundary(context, "UnloadModel"):
            self._admission.check_serving()
            reference = await asyncio.to_thread(self._catalog.resolve, request.model)
            return convert.unload_model_response(reference, was_loaded=self._pool.unload(reference))
        raise AssertionError("unreachable: the boundary aborts")
