"""A drain knows of calls that have no stream yet: those that wait for their model, and those that come too late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from asr.errors import UnavailableError
from asr.registry import Registry
from asr.streaming.messages import Goodbye, Ready, StreamConfig, StreamInput, StreamUpdate
from server.batching import DecodeQueue
from server.caller import ANYONE, set_caller
from server.calls import Calls
from server.candidates.keeper import Keeper
from server.candidates.options import CandidatesOptions
from server.catalog import Catalog
from server.jobs.installation import LazyInstallation
from server.jobs.options import JobsOptions
from server.leg import StreamServices
from server.limits import Admission, Limits, ServingState
from server.metrics import Metrics
from server.pool import ModelPool
from server.quotas import TenantQuotas
from server.workers import ServedModel

REFERENCE = "bundled:tiny.en"


class Loader:
    """Loads when it is told to."""

    def __init__(self) -> None:
        self.begun, self.proceed = threading.Event(), threading.Event()

    def __call__(self, reference: str) -> ServedModel:
        self.begun.set()
        assert self.proceed.wait(10)
        return ServedModel(
            name="tiny.en", version="bundled", reference=reference, sha256="", languages=("en",)
        )


@pytest.fixture
def loader() -> Iterator[Loader]:
    made = Loader()
    yield made
    made.proceed.set()


@pytest.fixture
def admission() -> Admission:
    made = Admission(Limits())
    made.state = ServingState.SERVING
    return made


@pytest.fixture
def calls(loader: Loader, admission: Admission) -> Iterator[Calls]:
    decodes = DecodeQueue([], max_waiting=1)
    with ThreadPoolExecutor(1) as front:
        yield Calls(
            admission=admission,
            limits=Limits(),
            catalog=Catalog([REFERENCE], Registry.open),
            pool=ModelPool(loader, max_models=1),
            services=StreamServices(decodes=decodes, front=front, beam_size=1, max_queued_s=1.0),
            quotas=TenantQuotas(),
            keeper=Keeper(LazyInstallation(JobsOptions()), CandidatesOptions(), Metrics()),
        )
    decodes.close()


async def _silence() -> AsyncIterator[StreamInput]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("is_unary", [True, False])
async def test_a_call_that_waits_for_its_model_is_told_of_the_drain(
    calls: Calls, loader: Loader, admission: Admission, is_unary: bool
) -> None:
    set_caller(ANYONE)
    sent: list[StreamUpdate] = []

    async def send(update: StreamUpdate) -> None:
        sent.append(update)

    async def call() -> None:
        with calls.slot():
            if is_unary:
                await calls.recognize(StreamConfig(), b"")
            else:
                await calls.stream(StreamConfig(), _silence(), send)

    waiting = asyncio.create_task(call())
    await asyncio.to_thread(loader.begun.wait, 10)
    await asyncio.wait_for(calls.drain(60.0), 5)
    with pytest.raises(UnavailableError, match="shutting down") as caught:
        await asyncio.wait_for(waiting, 5)
    assert caught.value.reason == "DRAINING"
    assert (sent, admission.num_active) == ([], 0)
    loader.proceed.set()  # the loop does not close before its threads end


@pytest.mark.parametrize("grace_s", [0.0, 0.2])
async def test_a_stream_that_is_told_that_it_is_ready_is_told_of_a_drain_too(
    grace_s: float, calls: Calls, loader: Loader
) -> None:
    """It was writing that when the drain began, perhaps for longer than the grace period."""
    set_caller(ANYONE)
    loader.proceed.set()
    writing, may_go_on = asyncio.Event(), asyncio.Event()
    sent: list[type] = []

    async def send(update: StreamUpdate) -> None:
        sent.append(type(update.event))
        if isinstance(update.event, Ready):
            writing.set()
            await may_go_on.wait()

    streaming = asyncio.create_task(calls.stream(StreamConfig(), _silence(), send))
    await asyncio.wait_for(writing.wait(), 5)
    draining = asyncio.create_task(calls.drain(grace_s))
    await asyncio.wait({draining}, timeout=0.05)  # it has begun, and waits for the stream
    may_go_on.set()
    with pytest.raises(UnavailableError, match="shutting down"):
        await asyncio.wait_for(streaming, 5)
    await asyncio.wait_for(draining, 5)
    assert sent == [Ready, Goodbye]
