"""The part of ``server.app`` that is jobs and corrections: their services, the sweeper, and how many jobs there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from asr.errors import LexituneError
from asr.v1 import adaptation_pb2_grpc, batch_pb2_grpc, corrections_pb2_grpc, uploads_pb2_grpc
from server.adaptation import AdaptationServicer
from server.batch import BatchServicer
from server.catalog import Catalog
from server.config import ServerConfig
from server.corrections import CorrectionsServicer
from server.jobs.installation import LazyInstallation
from server.jobs.states import JobKind, JobState
from server.jobs_service import JobsService
from server.limits import Admission
from server.listener import Listener
from server.uploads import UploadsServicer
from server.vocabulary import Vocabularies

SWEEP_S = 60.0

_LOG = logging.getLogger("lexitune.jobs")


class JobServices:
    """Batch, Adaptation, Uploads and Corrections of a server. For one event loop.

    Args:
        config: of the server.
        installation: of the jobs; closed with them.
        admission: knows whether it serves.
        catalog: resolves models.
        vocabularies: resolve phrases.
        registry: of the metrics.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        installation: LazyInstallation,
        admission: Admission,
        catalog: Catalog,
        vocabularies: Vocabularies,
        registry: CollectorRegistry,
    ) -> None:
        self._installation = installation
        batch = JobsService(self._installation, admission, JobKind.BATCH)
        adaptation = JobsService(self._installation, admission, JobKind.ADAPTATION)
        self._batch = BatchServicer(
            jobs=batch, catalog=catalog, vocabularies=vocabularies, limits=config.limits
        )
        self._adaptation = AdaptationServicer(
            jobs=adaptation, catalog=catalog, is_allowed=config.accepts_adaptation
        )
        self._uploads = UploadsServicer(jobs=batch, limits=config.limits)
        self._corrections = CorrectionsServicer(jobs=batch)
        self._sweeping: asyncio.Task[None] | None = None
        registry.register(JobsCollector(self._installation))

    def mount(self, listener: Listener) -> None:
        """Serve on a listener."""
        add_batch, add_adaptation, add_uploads, add_corrections = (
            batch_pb2_grpc.add_BatchServicer_to_server,
            adaptation_pb2_grpc.add_AdaptationServicer_to_server,
            uploads_pb2_grpc.add_UploadsServicer_to_server,
            corrections_pb2_grpc.add_CorrectionsServicer_to_server,
        )
        add_batch(self._batch, listener)  # type: ignore[no-untyped-call]
        add_adaptation(self._adaptation, listener)  # type: ignore[no-untyped-call]
        add_uploads(self._uploads, listener)  # type: ignore[no-untyped-call]
        add_corrections(self._corrections, listener)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """Begin to sweep."""
        self._sweeping = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Sweep no more, and let go of the database."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        await asyncio.to_thread(self._installation.close)

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._sweep_once)
            except (LexituneError, OSError) as error:
                _LOG.warning("what is over its time cannot be removed: %s", error)
            await asyncio.sleep(SWEEP_S)

    def _sweep_once(self) -> None:
        opened = self._installation.opened()
        if opened is not None:
            opened.sweep()


class JobsCollector(Collector):
    """Asks at each scrape, on its thread, for the jobs by kind and state; those of all servers of one installation."""

    def __init__(self, installation: LazyInstallation) -> None:
        self._installation = installation

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The name, without asking."""
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The numbers; none while the database is away."""
        family = self._family()
        try:
            opened = self._installation.opened()
            found = opened.store.num_by_state() if opened is not None else {}
        except LexituneError as error:
            _LOG.warning("jobs cannot be counted: %s", error)
        else:
            for kind in JobKind:
                for state in JobState:
                    family.add_metric([kind.value, state.value], found.get((kind.value, state.value), 0))
        yield family

    def _family(self) -> GaugeMetricFamily:
        text = "Jobs that are kept, of all servers that share them."
        return GaugeMetricFamily("lexitune_jobs", text, labels=["kind", "state"])
