"""What is measured: the documented names, bounded labels, and one stream's latencies by a clock of the test's."""

from __future__ import annotations

import contextvars

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from asr.results import Hypothesis
from asr.streaming.endpointer import FinalReason
from asr.streaming.messages import Progress, RecognitionResult, StreamConfig, StreamUpdate
from asr.streaming.session import DecodeRequest, SpeechStarted
from server.batching import BatchTimes, Submitted, Urgency
from server.metrics import UNKNOWN_MODEL, Metrics
from server.stream_metrics import StreamMetrics

DOCUMENTED = {
    "lexitune_streams_active": set(),
    "lexitune_rpcs_active": set(),
    "lexitune_decodes_waiting": set(),
    "lexitune_model_leases": set(),
    "lexitune_streams_rejected": {"reason"},
    "lexitune_stream_lag_seconds": {"model"},
    "lexitune_first_interim_seconds": {"model"},
    "lexitune_final_latency_seconds": {"model"},
    "lexitune_decode_seconds": {"model", "urgency"},
    "lexitune_queue_seconds": {"model", "urgency"},
    "lexitune_batch_size": {"model"},
    "lexitune_audio_seconds": {"model", "kind"},
    "lexitune_interims_skipped": {"model"},
    "lexitune_model_load_seconds": {"model"},
    "lexitune_model_memory_bytes": {"model"},
    "lexitune_rpc": {"method", "code"},
    "lexitune_candidates": {"outcome"},
}
REFERENCE, LABEL = "models:/orders/3", "orders@3"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    made = Metrics(registry)
    made.count_held(streams=lambda: 3, decodes=lambda: 2, leases=lambda: 1)
    _load(made, REFERENCE, "aa" * 32)
    return made


def _load(metrics: Metrics, reference: str, sha256: str) -> None:
    metrics.model_loaded(reference, label=LABEL, sha256=sha256, load_s=2.0, num_bytes=1000)


def _models(registry: CollectorRegistry) -> set[str]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {sample.labels["model"] for sample in samples if "model" in sample.labels}


def test_the_names_and_labels_are_the_documented_ones(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.rpc_ended("asr.v1.Speech/Recognize", "RESOURCE_EXHAUSTED", "STREAM_SLOTS")
    found = {
        family.name: {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in registry.collect()
    }
    assert found == DOCUMENTED
    text = generate_latest(registry).decode()
    held = ("streams_active 3.0", "decodes_waiting 2.0", "model_leases 1.0", "rpcs_active 0.0")
    assert all(f"lexitune_{one}" in text for one in held)
    assert 'lexitune_streams_rejected_total{reason="STREAM_SLOTS"} 1.0' in text


def test_the_series_of_a_version_go_with_it(metrics: Metrics, registry: CollectorRegistry) -> None:
    assert _models(registry) == {LABEL, UNKNOWN_MODEL}
    _load(metrics, "another of that name", "bb" * 32)
    assert _models(registry) == {LABEL, f"{LABEL}-bbbbbbbb", UNKNOWN_MODEL}
    for version in range(50):
        metrics.model_loaded(f"m/{version}", label=f"m@{version}", sha256="", load_s=1.0, num_bytes=1)
        metrics.model_unloaded(f"m/{version}")
    metrics.model_unloaded("another of that name")
    metrics.model_unloaded("never loaded")
    assert _models(registry) == {LABEL, UNKNOWN_MODEL}
    assert metrics.model("never loaded") is metrics.model("another of that name")


def test_only_refusals_count_as_rejected(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.rpc_ended("m", "INVALID_ARGUMENT", "INVALID_AUDIO")
    metrics.rpc_ended("m", "UNAVAILABLE", "DRAINING")
    value = registry.get_sample_value
    assert value("lexitune_streams_rejected_total", {"reason": "INVALID_AUDIO"}) is None
    assert value("lexitune_streams_rejected_total", {"reason": "DRAINING"}) == 1
    assert value("lexitune_rpc_total", {"method": "m", "code": "INVALID_ARGUMENT"}) == 1


def test_a_batch_is_one_decoding_and_a_wait_for_each_segment(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    submitted = tuple(Submitted(at_s, contextvars.copy_context()) for at_s in (10.0, 10.5))
    batch = BatchTimes(model=REFERENCE, urgency=Urgency.FINAL, submitted=submitted, taken_s=11.0, done_s=11.2)
    metrics.batch_decoded(batch)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"lexitune_{name}", {"model": LABEL, **labels})

    assert value("batch_size_sum") == 2
    assert value("decode_seconds_sum", urgency="final") == pytest.approx(0.2)
    assert value("queue_seconds_sum", urgency="final") == pytest.approx(1.5)
    assert value("queue_seconds_count", urgency="interim") == 0


def _request(utterance_id: int, *, reason: FinalReason | None) -> DecodeRequest:
    return DecodeRequest(
        utterance_id=utterance_id,
        samples=np.zeros(1, np.float32),
        start_s=1.0,
        end_s=4.0,
        is_final=True,
        final_reason=reason,
    )


def _result(utterance_id: int, *, is_final: bool, lag_s: float = 0.0) -> StreamUpdate:
    result = RecognitionResult(
        utterance_id=utterance_id,
        is_final=is_final,
        stability=1.0,
        start_s=1.0,
        end_s=4.0,
        alternatives=(Hypothesis(text="x"),),
        final_reason=None,
    )
    return StreamUpdate(event=result, progress=Progress(received_s=9.0, processed_s=9.0 - lag_s))


@pytest.mark.parametrize(("reason", "latency_s"), [(FinalReason.SILENCE, 0.7), (FinalReason.CLIENT, 0.2)])
def test_a_streams_latencies(
    metrics: Metrics, registry: CollectorRegistry, reason: FinalReason, latency_s: float
) -> None:
    clock = Clock()
    stream = StreamMetrics(StreamConfig(end_silence_s=0.5), metrics.model(REFERENCE), clock=clock)

    def total(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"lexitune_{name}", {"model": LABEL, **labels})

    stream.speech_started(0, SpeechStarted(time_s=1.0, utterance_id=1))
    clock.now_s += 0.6
    stream.sent(_result(1, is_final=False))
    clock.now_s += 0.5
    stream.sent(_result(1, is_final=False, lag_s=0.4))  # not the first
    stream.final_asked(0, _request(1, reason=reason))
    clock.now_s += 0.2
    stream.sent(_result(1, is_final=True))
    stream.skipped(2.5, 3)
    stream.skipped(2.0, 3)
    stream.skipped(4.0, 5)
    assert total("first_interim_seconds_sum") == pytest.approx(0.6)
    assert total("first_interim_seconds_count") == 1
    assert total("final_latency_seconds_sum") == pytest.approx(latency_s)
    assert total("stream_lag_seconds_sum") == pytest.approx(0.4)
    assert total("stream_lag_seconds_count") == 3
    assert total("audio_seconds_total", kind="decoded") == 3.0
    assert total("audio_seconds_total", kind="silence") == 4.0
    assert total("interims_skipped_total") == 5


def test_a_recording_that_came_whole_has_no_latency(metrics: Metrics, registry: CollectorRegistry) -> None:
    stream = StreamMetrics(StreamConfig(), metrics.model(REFERENCE), is_live=False)
    stream.final_asked(0, _request(1, reason=FinalReason.SILENCE))
    stream.sent(_result(1, is_final=True))
    count = "lexitune_final_latency_seconds_count"
    assert registry.get_sample_value(count, {"model": LABEL}) == 0
    decoded = {"model": LABEL, "kind": "decoded"}
    assert registry.get_sample_value("lexitune_audio_seconds_total", decoded) == 3.0
