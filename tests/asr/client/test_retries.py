"""When a client makes a call again: where RetryInfo asks for it, when UNAVAILABLE, no longer than it is patient."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from asr.client import JobsClient
from asr.client.retries import MOST_S, Backoff
from asr.errors import JobNotFoundError, LexituneError, LimitError, ResourceError, UnavailableError
from asr.v1 import batch_pb2, batch_pb2_grpc, jobs_pb2
from server.errors import status_of


class Refusing(batch_pb2_grpc.BatchServicer):
    """Answers with errors, as our server tells them, until there are none left."""

    def __init__(self) -> None:
        self.errors: list[LexituneError] = []
        self.states = [jobs_pb2.JOB_STATE_RUNNING, jobs_pb2.JOB_STATE_SUCCEEDED]
        self.calls = 0

    def GetBatchJob(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> batch_pb2.GetBatchJobResponse:
        self.calls += 1
        if self.errors:
            context.abort_with_status(rpc_status.to_status(status_of(self.errors.pop(0))))
        return batch_pb2.GetBatchJobResponse(job=batch_pb2.BatchJob(id=request.id))

    def WatchBatchJob(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        self.calls += 1
        for state in self.states:
            yield batch_pb2.WatchBatchJobResponse(job=batch_pb2.BatchJob(id=request.id, state=state))
            if self.errors:
                context.abort_with_status(rpc_status.to_status(status_of(self.errors.pop(0))))


@dataclass
class Service:
    servicer: Refusing = field(default_factory=Refusing)
    address: str = ""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    batch_pb2_grpc.add_BatchServicer_to_server(made.servicer, server)
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None).wait()


@pytest.mark.parametrize(
    "error", [UnavailableError("draining", reason="DRAINING"), LimitError("slots", reason="X", retry_s=0.1)]
)
def test_what_passes_is_asked_again(service: Service, error: LexituneError) -> None:
    service.servicer.errors = [error] * 2
    with JobsClient(service.address, patience_s=20) as client:
        assert client.batch_job("one").id == "one"
    assert service.servicer.calls == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (JobNotFoundError("none"), JobNotFoundError),
        (LimitError("jobs", reason="TENANT_QUOTA", retry_s=30.0), LimitError),  # later than it is patient
        (ResourceError("disk"), LimitError),
    ],
)
def test_what_does_not_pass_is_told_at_once(
    service: Service, error: LexituneError, kind: type[Exception]
) -> None:
    service.servicer.errors = [error]
    with JobsClient(service.address, patience_s=5) as client, pytest.raises(kind):
        client.batch_job("one")
    assert service.servicer.calls == 1


def test_a_watch_goes_on_and_tells_nothing_twice(service: Service) -> None:
    service.servicer.errors = [UnavailableError("draining")] * 3
    with JobsClient(service.address, patience_s=20) as client:
        states = [job.state.value for job in client.watch_batch_job("one")]
    assert states == ["running", "succeeded"]
    assert service.servicer.calls == 4


def test_without_a_server_patience_ends() -> None:
    with JobsClient("127.0.0.1:9", patience_s=0.5) as client, pytest.raises(UnavailableError):
        client.batch_job("one")


class Ended(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def trailing_metadata(self) -> tuple[()]:
        return ()


def test_waits_grow_to_a_limit_and_begin_anew_after_a_success() -> None:
    now_s = 0.0
    backoff = Backoff(100.0, lambda: now_s)
    waits = []
    while (wait_s := backoff.after(Ended())) is not None:
        waits.append(wait_s)
        now_s += wait_s
    assert 0.1 <= waits[0] <= 0.2 and MOST_S / 2 <= max(waits) <= MOST_S
    assert 90 <= sum(waits) <= 100
    backoff.succeeded()
    assert backoff.after(Ended()) is not None
    assert Backoff(0.0, lambda: now_s).after(Ended()) is None
