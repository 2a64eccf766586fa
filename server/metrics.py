"""What is measured, as Prometheus metrics in a registry that is passed in; docs/operations.md describes each.

Labels are model versions that are loaded, methods that are served, codes and reasons of our own tables: never text,
never what a client wrote. The series of a version go with it. Nothing here costs more than a few microseconds for
a batch, a result or a call; nothing is done for a message.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.batching import BatchTimes, Urgency

UNKNOWN_MODEL = "other"  # a version that is not loaded any more
UNKNOWN_METHOD = "other"
_LATENCIES_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_REFUSALS = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
_KINDS = ("decoded", "silence")


class CandidateOutcome(enum.StrEnum):
    """What became of a final that could have been kept to be corrected."""

    KEPT = "kept"
    QUOTA = "quota"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMetrics:
    """The series of one model version; ``decode`` and ``queue`` by urgency."""

    lag: Histogram
    first_interim: Histogram
    final_latency: Histogram
    batch_size: Histogram
    decoded_s: Counter
    silence_s: Counter
    interims_skipped: Counter
    decode: dict[Urgency, Histogram]
    queue: dict[Urgency, Histogram]


class Metrics:
    """All metrics of a server.

    Args:
        registry: they are registered there; one of their own if None, which nobody reads.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry = registry or CollectorRegistry()
        self._streams_active = Gauge(
            "lexitune_streams_active",
            "Slots that calls hold: one for each, or for each leg.",
            registry=registry,
        )
        self._rpcs_active = Gauge("lexitune_rpcs_active", "RPCs that are open.", registry=registry)
        self._decodes_waiting = Gauge(
            "lexitune_decodes_waiting", "Segments that wait to be decoded.", registry=registry
        )
        self._leases = Gauge(
            "lexitune_model_leases", "Calls that hold a model version in memory.", registry=registry
        )
        self._rejected = Counter(
            "lexitune_streams_rejected",
            "Calls refused or ended because the server had no room or did not serve, by reason.",
            ["reason"],
            registry=registry,
        )
        self._rpcs = Counter("lexitune_rpc", "RPCs that ended.", ["method", "code"], registry=registry)
        candidates = Counter(
            "lexitune_candidates",
            "Finals of low confidence of tenants that have consented, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self._candidates = {outcome: candidates.labels(outcome.value) for outcome in CandidateOutcome}
        self._loading = self._gauge("model_load_seconds", "What the last load took, with warm-up.")
        self._memory = self._gauge("model_memory_bytes", "Weights in all workers.")
        self._lag = self._histogram(
            "stream_lag_seconds", "Audio received and not yet processed at each result."
        )
        self._first_interim = self._histogram(
            "first_interim_seconds", "From the notice of speech to the utterance's first interim result."
        )
        self._final_latency = self._histogram(
            "final_latency_seconds",
            "From the end of speech to the final result, with the silence waited for.",
        )
        self._decode = self._histogram("decode_seconds", "What a batch took to decode.", "urgency")
        self._queue = self._histogram("queue_seconds", "What a segment waited to be decoded.", "urgency")
        self._batch_size = self._histogram(
            "batch_size", "Segments that are decoded together.", buckets=_BATCH_SIZES
        )
        self._audio = self._counter("audio_seconds", "Audio of final results, or without speech.", "kind")
        self._skipped = self._counter("interims_skipped", "Interim results not decoded, for want of room.")
        self._by_reference: dict[str, ModelMetrics] = {}
        self._labels: dict[str, str] = {}
        self._changing = threading.Lock()
        self._unknown = self._series(UNKNOWN_MODEL)

    def count_held(
        self, *, streams: Callable[[], int], decodes: Callable[[], int], leases: Callable[[], int]
    ) -> None:
        """Ask at each scrape, on its thread, for the slots, waiting segments and leases of now."""
        self._streams_active.set_function(streams)
        self._decodes_waiting.set_function(decodes)
        self._leases.set_function(leases)

    def open_rpc(self) -> AbstractContextManager[object]:
        """A block in which an RPC is open."""
        return self._rpcs_active.track_inprogress()

    def model(self, reference: str) -> ModelMetrics:
        """The series of a loaded version."""
        return self._by_reference.get(reference, self._unknown)

    def model_loaded(self, reference: str, *, label: str, sha256: str, load_s: float, num_bytes: int) -> None:
        """Begin the series of a version; from any thread.

        Args:
            reference: immutable.
            label: what operators know it by; if another version in memory has it, a part of the hash is added.
            sha256: of its content.
            load_s: what the load took.
            num_bytes: of memory.
        """
        with self._changing:
            self._labels.pop(reference, None)
            unique = f"{label}-{sha256[:8]}" if label in self._labels.values() else label
            self._labels[reference] = unique
            self._by_reference[reference] = self._series(unique)
            self._loading.labels(unique).set(load_s)
            self._memory.labels(unique).set(num_bytes)

    def model_unloaded(self, reference: str) -> None:
        """End the series of a version."""
        with self._changing:
            self._by_reference.pop(reference, None)
            label = self._labels.pop(reference, None)
            if label is None:
                return
            for one in (self._lag, self._first_interim, self._final_latency, self._batch_size, self._skipped):
                one.remove(label)
            for gauge in (self._loading, self._memory):
                gauge.remove(label)
            for kind in _KINDS:
                self._audio.remove(label, kind)
            for urgency in Urgency:
                self._decode.remove(label, urgency.name.lower())
                self._queue.remove(label, urgency.name.lower())

    def batch_decoded(self, batch: BatchTimes) -> None:
        """Measure a batch."""
        series = self.model(batch.model)
        series.batch_size.observe(len(batch.submitted))
        series.decode[batch.urgency].observe(batch.done_s - batch.taken_s)
        for submitted in batch.submitted:
            series.queue[batch.urgency].observe(batch.taken_s - submitted.at_s)

    def candidate(self, outcome: CandidateOutcome) -> None:
        """Count a final that could have been kept; from any thread."""
        self._candidates[outcome].inc()

    def rpc_ended(self, method: str, code: str, reason: str) -> None:
        """Count an RPC.

        Args:
            method: that is served, or ``UNKNOWN_METHOD``.
            code: the status' name.
            reason: of a failure; one of our tables.
        """
        self._rpcs.labels(method, code).inc()
        if reason and code in _REFUSALS:
            self._rejected.labels(reason).inc()

    def _series(self, label: str) -> ModelMetrics:
        return ModelMetrics(
            lag=self._lag.labels(label),
            first_interim=self._first_interim.labels(label),
            final_latency=self._final_latency.labels(label),
            batch_size=self._batch_size.labels(label),
            decoded_s=self._audio.labels(label, "decoded"),
            silence_s=self._audio.labels(label, "silence"),
            interims_skipped=self._skipped.labels(label),
            decode={one: self._decode.labels(label, one.name.lower()) for one in Urgency},
            queue={one: self._queue.labels(label, one.name.lower()) for one in Urgency},
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"lexitune_{name}", text, ["model"], registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"lexitune_{name}", text, ["model", *labels], registry=self._registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _LATENCIES_S
    ) -> Histogram:
        labelnames = ["model", *labels]
        return Histogram(f"lexitune_{name}", text, labelnames, registry=self._registry, buckets=buckets)
