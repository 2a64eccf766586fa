"""What operators see of a real server: metrics, health of each model, drain, and a log without a word of anybody."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from asr.audio.pcm import Encoding, encode_pcm
from asr.client import Marker, RecognitionResult, SpeechClient, StreamConfig
from asr.errors import ModelNotFoundError, UnavailableError
from server.config import ServerConfig
from server.probe import main

Samples = NDArray[np.float32]
MODEL = "tiny.en@bundled"
SERVING = health_pb2.HealthCheckResponse.SERVING
CONFIG = ServerConfig(address="127.0.0.1:0", metrics_address="127.0.0.1:0", decode_workers=1)
HELD = ("streams_active", "rpcs_active", "decodes_waiting", "model_leases")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(running_server: Any) -> Iterator[Any]:
    with running_server(CONFIG) as running:
        yield running


def _get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _scrape(server: Any) -> dict[str, float]:
    """Values by name and labels, as a query would write them."""
    status, text = _get(server.application.metrics_address, "/metrics")
    assert status == 200
    return _by_name(text_string_to_metric_families(text))


def _by_name(families: Iterable[Any]) -> dict[str, float]:
    values = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        values[f"{sample.name}{{{labels}}}"] = float(sample.value)
    return values


def _value(server: Any, name: str) -> float:
    """Of one sample, from inside the server; 0 where there is none."""
    return _by_name(server.application.registry.collect()).get(name, 0.0)


def test_a_stream_is_measured_and_costs_nothing_afterwards(server: Any, call_audio: Samples) -> None:
    before = _scrape(server)
    payload = encode_pcm(call_audio, Encoding.LINEAR16)
    with SpeechClient(server.address) as client:
        chunks = (payload[start : start + 3200] for start in range(0, len(payload), 3200))
        updates = list(client.stream(chunks, StreamConfig(interim_results=True)))
        with pytest.raises(ModelNotFoundError):
            client.recognize(b"", StreamConfig(model="no such model, a canary"))
    refused = 'lexitune_rpc_total{code="NOT_FOUND",method="asr.v1.Speech/Recognize"}'
    server.wait_for(
        lambda: _value(server, refused) == before.get(refused, 0.0) + 1
    )  # counted behind the answer
    after = _scrape(server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    results = [one.event for one in updates if isinstance(one.event, RecognitionResult)]
    finals = [one for one in results if one.is_final]
    assert grown(f'lexitune_final_latency_seconds_count{{model="{MODEL}"}}') == len(finals) == 2
    assert grown(f'lexitune_stream_lag_seconds_count{{model="{MODEL}"}}') == len(results)
    decoded = grown(f'lexitune_audio_seconds_total{{kind="decoded",model="{MODEL}"}}')
    silence = grown(f'lexitune_audio_seconds_total{{kind="silence",model="{MODEL}"}}')
    assert decoded == pytest.approx(sum(one.end_s - one.start_s for one in finals))
    assert decoded + silence == pytest.approx(len(call_audio) / 16_000, abs=0.2)
    assert grown(f'lexitune_decode_seconds_count{{model="{MODEL}",urgency="final"}}') >= 1
    assert grown(f'lexitune_queue_seconds_count{{model="{MODEL}",urgency="final"}}') >= 1
    assert grown('lexitune_rpc_total{code="OK",method="asr.v1.Speech/StreamingRecognize"}') == 1
    assert grown(refused) == 1
    assert after["lexitune_streams_active{}"] == 0
    assert after[f'lexitune_model_memory_bytes{{model="{MODEL}"}}'] > 10_000_000
    assert after[f'lexitune_model_load_seconds{{model="{MODEL}"}}'] > 0
    assert after["process_resident_memory_bytes{}"] > 0
    assert "canary" not in " ".join(after)


def test_a_call_refused_for_its_slots_is_counted_by_its_reason(running_server: Any) -> None:
    config = replace(CONFIG, limits=replace(CONFIG.limits, max_streams=1))
    with running_server(config) as server, SpeechClient(server.address) as client:
        open_end = threading.Event()

        def silence() -> Iterator[bytes]:
            open_end.wait(30)
            yield b""

        stream = client.stream(silence())
        next(stream)
        held = _scrape(server)
        assert [
            held[f"lexitune_{name}{{}}"] for name in ("streams_active", "rpcs_active", "model_leases")
        ] == [1] * 3
        with pytest.raises(Exception, match="slots are free"):
            client.recognize(b"")
        open_end.set()
        list(stream)
        server.wait_for(lambda: not any(_value(server, f"lexitune_{name}{{}}") for name in HELD))
        server.wait_for(
            lambda: (
                server.application.registry.get_sample_value(
                    "lexitune_streams_rejected_total", {"reason": "STREAM_SLOTS"}
                )
                == 1
            )
        )


def test_the_pages_for_machines(server: Any) -> None:
    address = server.application.metrics_address
    assert _get(address, "/healthz") == _get(address, "/readyz") == (200, "ok\n")
    assert _get(address, "/secret") == (404, "there is /metrics, /healthz, /readyz\n")


def test_a_model_is_healthy_by_its_name_and_its_version(server: Any) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in (
            "", "asr.v1.Speech", "asr.v1.Models", "nvidia.riva.asr.RivaSpeechRecognition", "liveness",
            "models/tiny.en", "models/tiny.en@bundled",
        ):  # fmt: skip
            assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING


def test_while_it_drains_it_is_alive_and_not_ready(running_server: Any) -> None:
    seen = {}
    with running_server(CONFIG) as server:
        address = server.application.metrics_address
        watched = threading.Event()

        def open_stream() -> Iterator[bytes | Marker]:
            yield Marker(1)
            watched.wait(30)
            yield b""

        with SpeechClient(server.address) as client:
            stream = client.stream(open_stream())
            next(stream)
            next(stream)  # the marker: the drain knows of the stream
            draining = asyncio.run_coroutine_threadsafe(server.application.drain(), server._loop)
            next(stream)  # goodbye
            seen = {path: _get(address, path)[0] for path in ("/healthz", "/readyz", "/metrics")}
            watched.set()
            list(stream)
            draining.result(30)
    assert seen == {"/healthz": 200, "/readyz": 503, "/metrics": 200}
    with pytest.raises(urllib.error.URLError):
        _get(address, "/healthz")


def test_a_metrics_port_in_use_is_told_at_the_start(running_server: Any, server: Any) -> None:
    taken = server.application.metrics_address
    with (
        pytest.raises(UnavailableError, match=f"cannot listen on {taken} for metrics"),
        running_server(replace(CONFIG, metrics_address=taken)),
    ):
        pass


def test_no_word_of_a_call_is_in_the_log_at_any_level(call_audio: Samples, tmp_path: Path) -> None:
    """The program with all that it may be told to log, as JSON: ids and codes are there, what was said is not."""
    (tmp_path / "server.toml").write_text('log_level = "debug"\nlog_format = "json"\ndecode_workers = 1\n')
    command = [sys.executable, "-m", "server.cli", "serve", "--address", "127.0.0.1:0"]
    program = subprocess.Popen(
        [*command, "--config", str(tmp_path / "server.toml")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        with SpeechClient(address) as client:
            updates = list(client.stream(iter([call_audio]), StreamConfig(interim_results=True)))
    finally:
        program.send_signal(signal.SIGTERM)
        _, written = program.communicate(timeout=60)
    results = [one.event for one in updates if isinstance(one.event, RecognitionResult)]
    words = {word for one in results for word in re.findall(r"\w{6,}", one.text.lower())}
    assert words
    assert not [word for word in words if word in written.lower()]
    lines = [json.loads(line) for line in written.splitlines()]
    by_message = {line["message"].partition(" ")[0]: line for line in lines}
    assert {"config", "loading", "serving", "stopped"} <= set(by_message)
    assert 'log_level = "debug"  # ' + str(tmp_path / "server.toml") in by_message["config"]["config"]
    (call,) = [line for line in lines if line.get("method") == "asr.v1.Speech/StreamingRecognize"]
    assert call["code"] == "OK"
    assert call["stream_id"]
    assert call["request_id"]


@pytest.mark.parametrize(
    ("service", "code", "told"),
    [
        ("", 0, "SERVING"),
        ("models/tiny.en", 0, "SERVING"),
        ("models/nothing", 1, "NOT_FOUND: no health of 'models/nothing'; there is that of ''"),
    ],
)
def test_the_probe_of_a_server(server: Any, service: str, code: int, told: str) -> None:
    port = server.address.rpartition(":")[2]
    command = [sys.executable, "-m", "server.probe", "--service", service]
    environment = {**os.environ, "LEXITUNE_SERVER_ADDRESS": f"0.0.0.0:{port}"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(told)


def test_the_probe_of_no_server() -> None:
    assert main(["--address", "127.0.0.1:1", "--timeout", "1"]) == 1


def test_a_folder_named_by_a_link_is_measured_by_its_own_name(
    running_server: Any, small_whisper: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(small_whisper, target_is_directory=True)
    config = replace(CONFIG, models=(str(tmp_path / "link"),))
    with running_server(config) as server, SpeechClient(server.address) as client:
        client.recognize(np.zeros(32_000, np.float32))
        labels = f'{{kind="silence",model="{small_whisper.name}@local"}}'
        assert _scrape(server)[f"lexitune_audio_seconds_total{labels}"] == pytest.approx(2.0)
