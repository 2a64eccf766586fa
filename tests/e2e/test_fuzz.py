"""What comes from strangers: bytes as configs, as compressed audio, any order of messages. Nothing is a fault of ours.

Short here; for longer runs: LEXITUNE_FUZZ_EXAMPLES=20000 python -m pytest tests/e2e/test_fuzz.py
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr.audio.containers import Container, decoded
from asr.audio.pcm import Encoding
from asr.audio.wav_stream import WavStream
from asr.client import wire
from asr.errors import AudioError, OptionError, ProtocolError
from asr.riva.v1 import riva_pb2
from asr.streaming.messages import LagPolicy, Limits, StreamConfig
from asr.streaming.pcm_session import PcmSession
from asr.v1 import speech_pb2, speech_pb2_grpc
from server import convert, riva_convert
from server.config import ServerConfig

NUM_EXAMPLES = int(os.environ.get("LEXITUNE_FUZZ_EXAMPLES", "60"))
FUZZED = settings(
    max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(max_examples=10 * NUM_EXAMPLES, deadline=None)
KNOWN_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def parsed(kind: Any, payload: bytes) -> Any:
    """The message, or nothing: bytes that are none are refused by gRPC itself."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(payload)
    except DecodeError:
        return None


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_an_error_that_blames_a_field(payload: bytes) -> None:
    config = parsed(speech_pb2.RecognitionConfig, payload)
    if config is None:
        return
    try:
        checked = convert.stream_config(config, Limits())
    except (OptionError, ProtocolError) as error:
        assert error.field.startswith("config")
        return
    checked.session_options()
    assert checked.num_legs >= 1
    convert.ignored_fields(config, is_streaming=True)


numbers = st.integers(-(2**31), 2**31 - 1)


@st.composite
def wild_configs(draw: st.DrawFn) -> speech_pb2.RecognitionConfig:
    config = speech_pb2.RecognitionConfig(
        model=draw(st.text(max_size=5)), language_code=draw(st.text(max_size=5))
    )
    config.audio.encoding = draw(st.integers(-2, 9))
    config.audio.sample_rate_hz = draw(numbers | st.sampled_from([0, 8000, 16_000]))
    config.audio.channel_count = draw(numbers | st.integers(0, 9))
    config.audio.separate_channels = draw(st.booleans())
    config.max_alternatives = draw(numbers | st.integers(0, 11))
    config.lag_policy = draw(st.integers(-1, 4))
    for field in (
        config.endpointing.end_silence, config.endpointing.max_utterance, config.endpointing.start_timeout,
        config.interim_interval, config.start_offset,
    ):  # fmt: skip
        if draw(st.booleans()):
            field.seconds, field.nanos = draw(st.integers(-(2**62), 2**62)), draw(numbers)
    return config


@MANY
@given(wild_configs())
def test_wild_values_are_blamed_or_within_their_limits(config: speech_pb2.RecognitionConfig) -> None:
    try:
        checked = convert.stream_config(config, Limits())
    except (OptionError, ProtocolError) as error:
        assert error.field.startswith("config") and str(error)
        return
    assert checked.container or 8000 <= checked.sample_rate_hz <= 48_000
    assert 0 <= checked.channel_count <= 8
    assert checked.start_offset_s >= 0


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_of_riva_or_an_error(payload: bytes) -> None:
    request = parsed(riva_pb2.StreamingRecognizeRequest, payload)
    if request is None:
        return
    try:
        riva_convert.stream_call(request, {}, Limits())
    except (OptionError, ProtocolError) as error:
        assert error.field


def _feed(pieces: list[bytes]) -> Any:
    feed = iter(pieces)
    return lambda: next(feed, b"")


@pytest.fixture(scope="module")
def files() -> dict[Container, bytes]:
    tone = (0.3 * np.sin(np.arange(8000) * 0.05)).astype(np.float32)
    kinds = {
        Container.FLAC: ("FLAC", "PCM_16"),
        Container.OGG_OPUS: ("OGG", "OPUS"),
        Container.WAV: ("WAV", "PCM_16"),
    }
    found = {}
    for container, (kind, subtype) in kinds.items():
        buffer = io.BytesIO()
        soundfile.write(buffer, tone, 16_000, format=kind, subtype=subtype)
        found[container] = buffer.getvalue()
    return found


EDITS = st.tuples(
    st.sampled_from("xid"), st.integers(0, 1 << 20), st.integers(1, 400), st.binary(min_size=1, max_size=40)
)


@FUZZED
@given(
    container=st.sampled_from([Container.FLAC, Container.OGG_OPUS]),
    edits=st.lists(EDITS, max_size=4),
    cut=st.integers(0, 1 << 20),
)
def test_any_damage_to_compressed_audio_is_audio_or_an_error(
    files: dict[Container, bytes], container: Container, edits: list[tuple[str, int, int, bytes]], cut: int
) -> None:
    payload = bytearray(files[container])
    for kind, somewhere, length, inserted in edits:
        place = somewhere % len(payload)
        if kind == "x":
            payload[place] = inserted[0]
        elif kind == "i":
            payload[place:place] = inserted
        else:
            del payload[place : place + length]
    cut %= len(payload) + 1
    pieces = [bytes(piece) for piece in (payload[:cut], payload[cut:]) if piece]
    num_bytes = 0
    try:
        for block in decoded(container, _feed(pieces), max_s=2.0, began=lambda _found: None):
            num_bytes += len(block)
    except AudioError:
        return
    assert 0 < num_bytes <= 2.0 * 48_000 * 8 * 4


@FUZZED
@given(data=st.data())
def test_any_damage_to_a_wave_file_is_audio_or_an_error(
    files: dict[Container, bytes], data: st.DataObject
) -> None:
    payload = bytearray(files[Container.WAV])
    for _ in range(data.draw(st.integers(0, 6))):
        payload[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    stream, audio = WavStream(), b""
    try:
        cut = data.draw(st.integers(0, len(payload)))
        audio = stream.push(bytes(payload[:cut])) + stream.push(bytes(payload[cut:])) + stream.flush()
    except AudioError:
        return
    assert len(audio) <= len(payload)


@FUZZED
@given(data=st.data())
def test_any_samples_go_through_a_session(data: st.DataObject) -> None:
    """Whatever the bytes, a session gives events in order and holds no more than it must."""
    encoding, channels = data.draw(st.sampled_from(Encoding)), data.draw(st.integers(1, 3))
    config = StreamConfig(
        encoding=encoding, channel_count=channels, separate_channels=data.draw(st.booleans()),
        sample_rate_hz=data.draw(st.sampled_from([8000, 11_025, 48_000])), start_timeout_s=0.2,
    )  # fmt: skip
    session = PcmSession(config)
    try:
        for _ in range(data.draw(st.integers(0, 4))):
            session.push(data.draw(st.binary(max_size=4000)))
        session.flush()
    except AudioError:
        return
    assert session.settled_s == pytest.approx(session.received_s)


@pytest.fixture(scope="module")
def fuzzed_server(running_server: Any) -> Iterator[Any]:
    limits = Limits(max_message_bytes=2000, idle_s=5.0, first_message_s=5.0)
    with running_server(ServerConfig(address="127.0.0.1:0", decode_workers=1, limits=limits)) as server:
        yield server


def _messages(files: dict[Container, bytes]) -> st.SearchStrategy[speech_pb2.StreamingRecognizeRequest]:
    request = speech_pb2.StreamingRecognizeRequest
    raw = st.binary(max_size=3000)
    real = st.tuples(st.sampled_from(sorted(files.values())), st.integers(0, 8000), st.integers(1, 2500)).map(
        lambda cut: cut[0][cut[1] : cut[1] + cut[2]]
    ) | st.sampled_from([one[:1990] for one in files.values()])
    good = st.builds(
        StreamConfig,
        container=st.sampled_from([None, Container.FLAC, Container.OGG_OPUS, Container.WAV]),
        interim_results=st.booleans(),
        lag_policy=st.sampled_from(LagPolicy),
        start_timeout_s=st.none() | st.just(0.1),
    )
    return st.one_of(
        good.map(wire.config_request),
        good.map(wire.config_request),
        wild_configs().map(lambda config: request(config=config)),
        raw.map(lambda payload: request(audio=payload)),
        real.map(lambda payload: request(audio=payload)),
        st.just(request(finalize=speech_pb2.Finalize())),
        st.integers(-5, 5).map(lambda number: request(marker=speech_pb2.Marker(id=number))),
        st.just(request()),
    )


@FUZZED
@given(data=st.data())
def test_any_order_of_messages_ends_with_a_status_of_the_table(
    fuzzed_server: Any, files: dict[Container, bytes], data: st.DataObject
) -> None:
    messages = data.draw(st.lists(_messages(files), max_size=8))
    with grpc.insecure_channel(fuzzed_server.address) as channel:
        call = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(iter(messages), timeout=60)
        try:
            responses = list(call)
        except grpc.RpcError as caught:
            error: Any = caught
            assert error.code() in KNOWN_CODES, error
            info = error_details_pb2.ErrorInfo()
            assert any(detail.Unpack(info) for detail in rpc_status.from_call(error).details)
            assert info.domain == "lexitune"
        else:
            assert responses[0].WhichOneof("event") == "ready"
            markers = [one.marker.id for one in messages if one.WhichOneof("message") == "marker"]
            echoed = [
                one.marker_reached.id for one in responses if one.WhichOneof("event") == "marker_reached"
            ]
            assert echoed == markers
    fuzzed_server.wait_for(lambda: fuzzed_server.application.num_active == 0)
