"""Each bad input has its status, its reason and the field to blame; the server serves on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from asr.client import AsyncSpeechClient, Container, SpeechClient, StreamConfig, wire
from asr.client.wire import config_request
from asr.errors import (
    ExpiredError,
    LimitError,
    ModelNotFoundError,
    NotPermittedError,
    OptionError,
    UnavailableError,
)
from asr.v1 import speech_pb2, speech_pb2_grpc
from server.config import ServerConfig
from server.limits import Limits

Requests = list[speech_pb2.StreamingRecognizeRequest]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def audio(payload: bytes) -> speech_pb2.StreamingRecognizeRequest:
    return speech_pb2.StreamingRecognizeRequest(audio=payload)


def changed(change: Callable[[speech_pb2.RecognitionConfig], object]) -> speech_pb2.StreamingRecognizeRequest:
    request = config_request(StreamConfig())
    change(request.config)
    return request


def named(model: str) -> speech_pb2.StreamingRecognizeRequest:
    return config_request(StreamConfig(model=model))


CONFIG = config_request(StreamConfig())
BAD: dict[str, tuple[Requests, grpc.StatusCode, str, str]] = {
    "audio before config": ([audio(b"12")], INVALID, "INVALID_INPUT", "config"),
    "nothing at all": ([], INVALID, "INVALID_INPUT", "config"),
    "an empty message": (
        [CONFIG, speech_pb2.StreamingRecognizeRequest()],
        INVALID,
        "INVALID_INPUT",
        "message",
    ),
    "a second config": ([CONFIG, CONFIG], INVALID, "INVALID_INPUT", "config"),
    "an odd byte at the end": ([CONFIG, audio(b"123")], INVALID, "INVALID_AUDIO", "audio"),
    "too much in one message": ([CONFIG, audio(bytes(1 + (1 << 20)))], INVALID, "INVALID_INPUT", "audio"),
    "no rate": (
        [changed(lambda c: c.audio.ClearField("sample_rate_hz"))],
        INVALID,
        "INVALID_INPUT",
        "config.audio.sample_rate_hz",
    ),
    "an encoding of tomorrow": (
        [changed(lambda c: setattr(c.audio, "encoding", 77))],
        INVALID,
        "INVALID_INPUT",
        "config.audio.encoding",
    ),
    "nine channels": (
        [changed(lambda c: setattr(c.audio, "channel_count", 9))],
        INVALID,
        "INVALID_INPUT",
        "config.audio.channel_count",
    ),
    "a language that the model lacks": (
        [changed(lambda c: setattr(c, "language_code", "de-CH"))],
        INVALID,
        "INVALID_INPUT",
        "config.language_code",
    ),
    "an unknown model": ([named("tiny.eng")], grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ""),
    "an unknown version": ([named("models:/nope/3")], grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ""),
    "a path": ([named("../../etc/passwd")], grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ""),
    "another path": ([named("/tmp")], grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ""),
    "a bundled model that was not given": (
        [named("bundled:base")],
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND",
        "",
    ),
    "a name with a NUL": ([named("tiny.en\0")], grpc.StatusCode.NOT_FOUND, "NOT_FOUND", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_stream_has_its_status(speech_server: Any, name: str) -> None:
    requests, code, reason, field = BAD[name]
    with grpc.insecure_channel(speech_server.address) as channel:
        stub = speech_pb2_grpc.SpeechStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.StreamingRecognize(iter(requests)))
    error: Any = caught.value
    assert error.code() is code, error.details()
    assert len(error.details()) > 20
    info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(error).details:
        assert detail.Unpack(info) or detail.Unpack(blamed)
    assert info.reason == reason
    assert [violation.field for violation in blamed.field_violations] == ([field] if field else [])
    speech_server.wait_for(lambda: speech_server.application.num_active == 0)


def test_near_names_are_told(client: SpeechClient) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'tiny\.eng'; there is tiny\.en"):
        client.recognize(b"", StreamConfig(model="tiny.eng"))


def test_a_bad_unary_call_is_blamed_as_a_stream_is(client: SpeechClient) -> None:
    with pytest.raises(OptionError, match="ends inside a sample") as caught:
        client.recognize(b"123")
    assert caught.value.field == "audio"
    with pytest.raises(OptionError, match=r"max 600|at most 600 s"):
        client.recognize(bytes(2 * 8000 * 601), StreamConfig(sample_rate_hz=8000))


def test_what_is_ignored_is_said(client: SpeechClient) -> None:
    config = StreamConfig(interim_interval_s=2.0)
    update = next(client.stream([], config))
    assert getattr(update.event, "ignored_fields", None) == ("config.interim_interval",)
    assert client.recognize(b"", config).ignored_fields == ("config.interim_interval",)


def test_an_error_in_the_clients_own_audio_is_raised_there(client: SpeechClient) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(640)
        raise ValueError("the microphone fell off")

    with pytest.raises(ValueError, match="fell off"):
        list(client.stream(broken()))


@pytest.mark.parametrize("in_container", [False, True])
async def test_an_asyncio_clients_own_error_is_raised_there(speech_server: Any, in_container: bool) -> None:
    async def broken() -> AsyncIterator[Any]:
        yield bytes(640)
        if in_container:
            yield np.zeros(320, np.float32)
        raise ValueError("the microphone fell off")

    config = StreamConfig(container=Container.WAV if in_container else None)
    async with AsyncSpeechClient(speech_server.address) as client:
        with pytest.raises(OptionError if in_container else ValueError):
            [update async for update in client.stream(broken(), config)]


def test_administration_is_not_on_the_public_address(client: SpeechClient) -> None:
    for call in (
        lambda: client.set_alias("a", "production", "1"),
        lambda: client.load_model("tiny.en"),
        lambda: client.unload_model("tiny.en"),
    ):
        with pytest.raises(NotPermittedError, match=r"never serves; set admin_address"):
            call()


def test_there_is_no_server() -> None:
    with SpeechClient("127.0.0.1:1") as client:
        with pytest.raises(UnavailableError, match="is lexitune serve running there"):
            client.recognize(b"")
        with pytest.raises(UnavailableError):
            client.wait_until_serving(timeout_s=0.2)


def test_limits_are_kept(running_server: Any) -> None:
    limits = Limits(
        max_streams=1, first_message_s=0.2, idle_s=0.3, max_message_bytes=1000, max_unary_bytes=10_000
    )
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, limits=limits)
    with running_server(config) as server, SpeechClient(server.address) as client:
        stream = client.stream(_never_ending(server))
        ready: Any = next(stream).event
        assert ready.limits == limits
        with pytest.raises(LimitError, match="0 of 1 slots") as taken:
            client.recognize(b"")
        assert taken.value.reason == "STREAM_SLOTS"
        with pytest.raises(ExpiredError, match=r"no message for 0\.3 s") as idle:
            list(stream)
        assert idle.value.reason == "IDLE"
        server.wait_for(lambda: server.application.num_active == 0)
        with pytest.raises(OptionError, match="10001 bytes of audio; at most 10000"):
            client.recognize(bytes(10_001), StreamConfig(encoding=wire.Encoding.MULAW, sample_rate_hz=8000))
        with grpc.insecure_channel(server.address) as channel:
            silent = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(_never_ending(server))
            with pytest.raises(grpc.RpcError) as late:
                next(silent)
        error: Any = late.value
        assert error.code() is INVALID
        assert "no config within 0.2 s" in error.details()
        server.wait_for(lambda: server.application.num_active == 0)
        large = changed(lambda config: setattr(config, "model", "x" * 1001))
        with (
            grpc.insecure_channel(server.address) as channel,
            pytest.raises(grpc.RpcError, match="a config of") as refused,
        ):
            list(speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(iter([large])))
        assert refused.value.code() is INVALID  # type: ignore[attr-defined]


def _never_ending(server: Any) -> Iterator[Any]:
    """No message, until the server has ended the call."""
    server.wait_for(lambda: server.application.num_active > 0)
    server.wait_for(lambda: server.application.num_active == 0)
    yield from ()


def test_a_port_in_use_is_one_clear_error(speech_server: Any, running_server: Any, capfd: Any) -> None:
    config = ServerConfig(address=speech_server.address, decode_workers=1)
    with (
        pytest.raises(UnavailableError, match=r"cannot listen on .*Address already in use"),
        running_server(config),
    ):
        pass
    assert capfd.readouterr().err == ""


def test_a_model_that_is_not_there_stops_the_start(running_server: Any) -> None:
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, models=("models:/nope/1",))
    with pytest.raises(ModelNotFoundError, match="no model 'models:/nope/1'"), running_server(config):
        pass


def test_floats_that_are_no_audio_are_refused(client: SpeechClient) -> None:
    payload = np.full(16_000, np.nan, np.float32).tobytes()
    with pytest.raises(OptionError) as caught:
        client.recognize(payload, StreamConfig(encoding=wire.Encoding.FLOAT32))
    assert caught.value.field == "audio"


async def test_an_asyncio_client_is_told_why_it_is_refused_however_fast_it_sends(running_server: Any) -> None:
    """grpc.aio puts an INTERNAL of its own in place of half of these (grpc/grpc#36066)."""
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, limits=Limits(max_streams=1))
    silence = np.zeros(1600, np.float32)
    with running_server(config) as server:
        async with AsyncSpeechClient(server.address) as holder, AsyncSpeechClient(server.address) as client:
            over = asyncio.Event()

            async def held() -> AsyncIterator[Any]:
                yield silence
                await over.wait()

            holding = holder.stream(held())
            await anext(holding)
            for _ in range(200):
                with pytest.raises(LimitError):
                    [update async for update in client.stream([silence] * 3)]
            over.set()
            await holding.aclose()
