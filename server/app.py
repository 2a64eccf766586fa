"""The composition root: constructs what a server is made of, starts it, drains it. Nothing else constructs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, ProcessCollector

from asr.models.base import batch_segments
from asr.phrase_store import PhraseStore
from asr.registry import Registry
from asr.v1 import models_pb2_grpc, phrases_pb2_grpc, speech_pb2_grpc
from server.admin import AdminServicer
from server.batching import BatchTimes, DecodeQueue
from server.calls import Calls
from server.candidates.keeper import Keeper
from server.catalog import Catalog, short_name
from server.config import ServerConfig
from server.health import SERVICE_NAMES, Health
from server.jobs.installation import LazyInstallation
from server.jobs_app import JobServices
from server.leg import StreamServices
from server.limits import Admission, ServingState
from server.listener import Listener
from server.listeners import METHODS, describe, make_listeners
from server.metrics import Metrics
from server.metrics_listener import MetricsListener
from server.models import ModelsServicer
from server.observe import Observer
from server.phrase_sets import PhraseSetsServicer
from server.pool import ModelPool
from server.quotas import TenantQuotas
from server.recognition import SpeechServicer
from server.riva import SERVICE_NAME as RIVA_SERVICE
from server.riva import RivaServicer
from server.riva_convert import riva_language
from server.tracing import Tracing, open_tracing
from server.vocabulary import Vocabularies
from server.workers import ServedModel, WorkerGroup

STOP_GRACE_S = 1.0
ALIVE_WITHIN_S = 2.0  # in which the event loop must answer


class Application:
    """A server and its parts; make it inside a running event loop.

    Args:
        config: the options.
        tracing: makes spans, if given; closed with the server.

    Attributes:
        installation: where jobs and candidates are kept; opened when it is first needed.
        admin_address: of the administrators' listener once it has started; "" if there is none.
        registry: of the metrics.
        metrics_address: where they are served once it has started; "" if nowhere.
    """

    def __init__(self, config: ServerConfig, *, tracing: Tracing | None = None) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._tracing = tracing
        self.registry = CollectorRegistry()
        self.metrics_address = ""
        self._listener: MetricsListener | None = None
        self._metrics = Metrics(self.registry)
        observer = Observer(self._metrics, METHODS, tracing)
        self._public, self._admin = make_listeners(  # before there are processes to end
            config, observer, lambda caller: self._calls.check_room(caller)
        )
        ProcessCollector(registry=self.registry)
        self._resolved: dict[str, str] = {}  # as the pool names a model: as the workers do
        self._num_workers = num_workers = num_decode_workers(config)
        self._workers = WorkerGroup(num_workers, engine=config.engine, device=config.device)
        self._admission = Admission(config.limits)
        self._catalog = Catalog(config.models, Registry.open)
        self._pool: ModelPool[ServedModel] = ModelPool(
            self._load_model,
            unload=self._unload_model,
            size=lambda model: model.memory_bytes * num_workers,
            max_models=config.max_models,
            max_bytes=config.max_model_memory_mb << 20,
        )
        self._decodes = DecodeQueue(
            self._workers.workers,
            max_waiting=config.max_waiting_decodes,
            max_batch=batch_segments(config.device),
            observe=self._batch_decoded,
        )
        self._front = ThreadPoolExecutor(num_front_threads(config), thread_name_prefix="front")
        self._vocabularies = Vocabularies(config.limits, PhraseStore.open)
        self.installation = LazyInstallation(config.jobs, config.candidates)
        self._keeper = Keeper(self.installation, config.candidates, self._metrics)
        self._calls = Calls(
            admission=self._admission,
            limits=config.limits,
            catalog=self._catalog,
            pool=self._pool,
            services=StreamServices(
                decodes=self._decodes,
                front=self._front,
                beam_size=config.beam_size,
                max_queued_s=config.limits.max_queued_s,
                metrics=self._metrics,
                vocabularies=self._vocabularies,
            ),
            quotas=TenantQuotas(),
            keeper=self._keeper,
        )
        self._make_servicers()
        self._metrics.count_held(
            streams=lambda: self._admission.num_active,
            decodes=lambda: self._decodes.num_waiting,
            leases=lambda: self._pool.num_all_leases,
        )
        self._health = Health((*SERVICE_NAMES, RIVA_SERVICE), map(short_name, self._catalog.served))
        self._mount()
        self.admin_address = ""

    def _make_servicers(self) -> None:
        self._speech = SpeechServicer(self._calls)
        self._languages: dict[str, str] = {}
        self._riva = RivaServicer(
            self._calls, self._config.riva_models, self._languages, self._keeper.has_consent
        )
        self._models = ModelsServicer(
            catalog=self._catalog, open_registry=Registry.open, pool=self._pool, limits=self._config.limits
        )
        self._phrase_sets = PhraseSetsServicer(
            open_store=PhraseStore.open, vocabularies=self._vocabularies, limits=self._config.limits
        )
        self._jobs = JobServices(
            self._config,
            installation=self.installation,
            admission=self._admission,
            catalog=self._catalog,
            vocabularies=self._vocabularies,
            registry=self.registry,
        )
        self._administration = AdminServicer(
            admission=self._admission,
            catalog=self._catalog,
            open_registry=Registry.open,
            pool=self._pool,
            limits=self._config.limits,
        )

    @property
    def num_active(self) -> int:
        """Calls in flight."""
        return self._admission.num_active

    @property
    def num_waiting_decodes(self) -> int:
        """Decodings that wait for a worker."""
        return self._decodes.num_waiting

    @property
    def worker_pids(self) -> list[int]:
        """Of the processes that decode now."""
        return [worker.pid for worker in self._workers.workers]

    @property
    def listeners(self) -> list[Listener]:
        """The public one, then the administrators' if there is one."""
        return [self._public] if self._admin is None else [self._public, self._admin]

    @property
    def pool(self) -> ModelPool[ServedModel]:
        """The models in memory."""
        return self._pool

    async def start(self) -> str:
        """Listen, load and warm up the models, serve; the address with its actual port.

        Raises:
            UnavailableError: the port is in use.
            LexituneError: a model cannot be loaded.
        """
        try:
            address = self._public.bind()
            if self._admin is not None:
                self.admin_address = self._admin.bind()
            await self._listen()
            await self._load_models()
        except BaseException:
            await self.stop()
            raise
        self._enter(ServingState.SERVING)
        self._jobs.start()
        return address

    async def drain(self) -> None:
        """Refuse new calls, let open ones end within the grace period with their finals sent, then stop."""
        self._enter(ServingState.DRAINING)
        await self._calls.drain(self._config.drain_grace_s)
        await self.stop()

    async def stop(self) -> None:
        """Stop now: open calls are cancelled after a moment, threads end, models go."""
        await asyncio.gather(*(listener.stop(STOP_GRACE_S) for listener in self.listeners))
        await asyncio.to_thread(self._decodes.close)
        await asyncio.to_thread(self._workers.close)
        self._front.shutdown(cancel_futures=True)
        await self._pool.close()
        await self._keeper.close()
        await self._jobs.close()
        if self._listener is not None:
            await asyncio.to_thread(self._listener.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _mount(self) -> None:
        add_speech, add_models, add_phrase_sets = (
            speech_pb2_grpc.add_SpeechServicer_to_server,
            models_pb2_grpc.add_ModelsServicer_to_server,
            phrases_pb2_grpc.add_PhraseSetsServicer_to_server,
        )
        add_speech(self._speech, self._public)  # type: ignore[no-untyped-call]
        add_models(self._models, self._public)  # type: ignore[no-untyped-call]
        add_phrase_sets(self._phrase_sets, self._public)  # type: ignore[no-untyped-call]
        self._jobs.mount(self._public)
        self._riva.mount(self._public)
        if self._admin is not None:
            add_models(self._administration, self._admin)  # type: ignore[no-untyped-call]
        for listener in self.listeners:
            self._health.mount(listener)
            if self._config.reflection:
                describe(listener)

    async def _listen(self) -> None:
        """Answer from now on, if only that the models are loading."""
        if self._config.metrics_address:
            self._listener = MetricsListener(
                self._config.metrics_address,
                registry=self.registry,
                is_alive=self._is_alive,
                is_ready=lambda: self._admission.state is ServingState.SERVING,
            )
            self.metrics_address = self._listener.address
        for listener in self.listeners:
            await listener.start()

    async def _load_models(self) -> None:
        for reference in self._catalog.served:
            immutable = await asyncio.to_thread(self._catalog.resolve, str(reference))
            async with self._pool.lease(immutable) as model:
                self._languages[short_name(reference)] = riva_language(model.languages)

    def _enter(self, state: ServingState) -> None:
        self._admission.state = state
        self._health.enter(state)

    def _load_model(self, reference: str) -> ServedModel:
        """Load on all workers, each of which decodes something; on a thread."""
        began_s = time.monotonic()
        model = self._workers.load(reference)
        self._resolved[reference] = model.reference  # another where a folder was not named by its full path
        self._metrics.model_loaded(
            model.reference,
            label=f"{model.name}@{model.version}",
            sha256=model.sha256,
            load_s=time.monotonic() - began_s,
            num_bytes=model.memory_bytes * self._num_workers,
        )
        self._loop.call_soon_threadsafe(self._health.model_loaded, model.reference, model.name, model.version)
        return model

    def _unload_model(self, reference: str) -> None:
        resolved = self._resolved.pop(reference, reference)
        self._workers.unload(resolved)
        self._metrics.model_unloaded(resolved)
        self._health.model_unloaded(resolved)

    def _batch_decoded(self, batch: BatchTimes) -> None:
        self._metrics.batch_decoded(batch)
        if self._tracing is not None:
            self._tracing.batch_decoded(batch)

    def _is_alive(self) -> bool:
        """Whether the event loop answers; from a thread."""
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        return answered.wait(ALIVE_WITHIN_S)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_decode_workers(config: ServerConfig) -> int:
    """Processes that decode: as many as the configuration says, else one for a GPU or one for each core."""
    return config.decode_workers or (usable_cores() if config.device == "cpu" else 1)


def num_front_threads(config: ServerConfig) -> int:
    """Threads that find speech, on the CPU whatever decodes: one for each worker there, every core beside a GPU."""
    num_workers = num_decode_workers(config)
    return num_workers if config.device == "cpu" else max(num_workers, usable_cores())


async def serve(
    config: ServerConfig, *, on_ready: Callable[[str], None] | None = None
) -> signal.Signals | None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Args:
        config: the options.
        on_ready: called with the actual address once the models are warm.

    Returns:
        The signal that ended it.

    Raises:
        UnavailableError: the port is in use.
        LexituneError: a model cannot be loaded.
    """
    signals = _stop_signals()
    tracing = open_tracing(config.trace_endpoint) if config.trace_endpoint else None
    application = Application(config, tracing=tracing)
    first = asyncio.create_task(signals.get())
    starting = asyncio.create_task(application.start())
    await asyncio.wait({first, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # interrupted while the models load
        starting.cancel()
        await asyncio.wait({starting})
        return first.result()
    try:
        address = starting.result()
    except BaseException:
        first.cancel()
        raise
    if on_ready is not None:
        on_ready(address)
    received = await first
    await _drain(application, signals)
    return received


async def _drain(application: Application, signals: asyncio.Queue[signal.Signals]) -> None:
    """Drain, until another signal asks for a stop at once."""
    draining = asyncio.create_task(application.drain())
    second = asyncio.create_task(signals.get())
    await asyncio.wait({draining, second}, return_when=asyncio.FIRST_COMPLETED)
    if second.done():
        draining.cancel()
        await application.stop()
    else:
        second.cancel()
        await draining


def _stop_signals() -> asyncio.Queue[signal.Signals]:
    """A queue that SIGTERM and SIGINT go into; only the main thread may catch them."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    if threading.current_thread() is threading.main_thread():
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, signals.put_nowait, one)
    return signals
