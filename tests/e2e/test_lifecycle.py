"""Health, cancellation and drain: nothing leaks, no final is lost."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray

from asr.audio.files import read_audio
from asr.client import Goodbye, Ready, RecognitionResult, SpeechClient, SpeechStarted, StreamConfig
from asr.errors import UnavailableError
from asr.recognizer import Recognizer
from server.config import ServerConfig
from server.health import SERVICE_NAMES

Samples = NDArray[np.float32]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def test_each_service_is_healthy_and_reflection_is_off(speech_server: Any) -> None:
    with grpc.insecure_channel(speech_server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", *SERVICE_NAMES):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
        with pytest.raises(grpc.RpcError) as refused:
            _described(channel)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _described(channel: grpc.Channel) -> Any:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (reply,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    return reply


def test_each_service_is_known_to_reflection_where_it_is_on(running_server: Any) -> None:
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, reflection=True)
    with running_server(config) as server, grpc.insecure_channel(server.address) as channel:
        reply = _described(channel)
    assert {service.name for service in reply.list_services_response.service} >= set(SERVICE_NAMES)


def test_cancelled_streams_free_everything(
    speech_server: Any, client: SpeechClient, call_audio: Samples
) -> None:
    application = speech_server.application
    config = StreamConfig(interim_results=True, interim_interval_s=0.1)
    for index in range(30):
        stream = client.stream(iter([call_audio]), config)
        assert isinstance(next(stream).event, Ready)
        if index % 2:  # with decodings under way
            assert isinstance(next(stream).event, SpeechStarted)
        stream.close()
    speech_server.wait_for(lambda: application.num_active == 0)
    assert application.pool.num_leases("bundled:tiny.en") == 0
    speech_server.wait_for(lambda: application.num_waiting_decodes == 0)
    assert client.recognize(b"").results == ()


class OpenStream:
    """A stream on a thread of its own: speech, then silence until it is told to end."""

    def __init__(self, client: SpeechClient, samples: Samples) -> None:
        self.events: list[Any] = []
        self.error: Exception | None = None
        self.speech_began = threading.Event()
        self.goodbye = threading.Event()
        self._end = threading.Event()
        self._client = client
        self._samples = samples
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._end.set()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    @property
    def finals(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, RecognitionResult)]

    def _audio(self) -> Iterator[Samples]:
        yield self._samples
        self._end.wait(30)

    def _run(self) -> None:
        try:
            for update in self._client.stream(self._audio()):
                self.events.append(update.event)
                if isinstance(update.event, SpeechStarted):
                    self.speech_began.set()
                if isinstance(update.event, Goodbye):
                    self.goodbye.set()
        except UnavailableError as error:
            self.error = error


@pytest.mark.parametrize("ends_in_time", [True, False])
def test_a_drain_loses_no_final(running_server: Any, spoken: dict[str, Any], ends_in_time: bool) -> None:
    grace_s = 20.0 if ends_in_time else 0.2
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, drain_grace_s=grace_s)
    with running_server(config) as server, SpeechClient(server.address) as client:
        client.wait_until_serving()
        stream = OpenStream(client, next(iter(spoken.values())))
        assert stream.speech_began.wait(10)
        watch = health_pb2_grpc.HealthStub(client._channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        draining = asyncio.run_coroutine_threadsafe(server.application.drain(), server._loop)
        assert next(watch).status == NOT_SERVING
        assert stream.goodbye.wait(10)
        if ends_in_time:
            with pytest.raises(UnavailableError, match="shutting down") as refused:
                client.recognize(b"")
            assert refused.value.reason == "DRAINING"
            stream.end()
        stream.join()
        draining.result(30)
        stream.end()
    assert len(stream.finals) == 1
    assert "aspirin" in stream.finals[0]
    assert (stream.error is None) == ends_in_time


def _start_program(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """``lexitune serve`` and the address that it prints once it serves."""
    command = [sys.executable, "-m", "server.cli", "serve", "--address", "127.0.0.1:0", *arguments]
    root = Path(__file__).resolve().parents[2]
    program = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    return program, program.stdout.readline().strip()


def _run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "server.cli", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_program_streams_and_stops_on_a_signal(
    sent: signal.Signals, exit_code: int, tmp_path: Path, call_audio: Samples, bundled_recognizer: Recognizer
) -> None:
    import soundfile

    path = tmp_path / "call.wav"
    soundfile.write(path, call_audio[::2], 8000, subtype="ULAW")
    program, address = _start_program()
    try:
        done = _run_program("stream", str(path), "--server", address, "--json")
        missing = _run_program("stream", str(tmp_path / "none.wav"), "--server", address)
    finally:
        program.send_signal(sent)
        _, messages = program.communicate(timeout=30)
    assert program.returncode == exit_code, messages
    assert "stopped" in messages
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["text"] == bundled_recognizer.transcribe(read_audio(path)).text
    assert document["model"]["reference"] == "bundled:tiny.en"
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "no such file" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stream", "--nope"), "No such option"),
        (("stream",), "give a recording or --microphone"),
        (("stream", "x.wav", "--encoding", "flac"), "Invalid value"),
        (("serve", "--config", "absent.toml"), "absent.toml cannot be read"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = _run_program(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
