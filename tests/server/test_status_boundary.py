"""On the wire, a fault of ours is INTERNAL with an id that the log has, and no traceback."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest

from asr.v1 import models_pb2, models_pb2_grpc
from server.errors import status_boundary


class FaultyServicer(models_pb2_grpc.ModelsServicer):
    async def ListModels(self, request: models_pb2.ListModelsRequest, context: Any) -> Any:  # noqa: N802
        async with status_boundary(context, "ListModels"):
            raise ZeroDivisionError("secret detail")


async def test_a_fault_of_ours_tells_an_id_and_logs_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    server = grpc.aio.server()
    models_pb2_grpc.add_ModelsServicer_to_server(FaultyServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await models_pb2_grpc.ModelsStub(channel).ListModels(models_pb2.ListModelsRequest())
    finally:
        await server.stop(None)
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    details = error.details() or ""
    assert "secret" not in details
    (record,) = [record for record in caplog.records if record.name == "lexitune.server"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().split("id ")[1] in details
    assert record.exc_info is not None
