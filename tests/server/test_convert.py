"""The door: what the wire says becomes plain values, and each bad field is blamed by its path."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.biasing.phrases import MAX_BOOST, Phrase, PhraseReport, PhraseState
from asr.client import wire
from asr.errors import OptionError, ProtocolError
from asr.registry import ModelSummary, VersionSummary
from asr.results import Hypothesis, Word
from asr.streaming import FinalReason, SpeechAwaited, SpeechEnded, SpeechStarted
from asr.streaming.messages import (
    Finalize,
    Goodbye,
    LagPolicy,
    Limits,
    Marker,
    MarkerReached,
    ModelIdentity,
    Progress,
    Ready,
    RecognitionResult,
    StreamConfig,
    StreamEvent,
    StreamUpdate,
    Vocabulary,
    VocabularyApplied,
)
from asr.v1 import speech_pb2
from server import adaptation, batch, convert, models, phrase_sets, recognition, uploads
from server.catalog import UnregisteredModel

MODEL = ModelIdentity(name="a", version="3", reference="models:/a/3", sha256="00ff")
RESULT = RecognitionResult(
    utterance_id=4,
    is_final=True,
    stability=1.0,
    start_s=1.25,
    end_s=2.5,
    alternatives=(
        Hypothesis(
            text="hi", words=(Word(text="hi", start_s=1.5, end_s=2.0, confidence=0.5),), confidence=0.25
        ),
    ),
    final_reason=FinalReason.CLIENT,
)
REPORTS = (
    PhraseReport(text="apixaban", state=PhraseState.ACTIVE),
    PhraseReport(text="Xarelto", state=PhraseState.ALIASED),
    PhraseReport(text="12", state=PhraseState.REFUSED, reason="no letter in it"),
)
EVENTS: list[StreamEvent | None] = [
    Ready(
        model=MODEL,
        limits=Limits(max_streams=7, max_phrases=8, max_phrase_characters=90, max_phrase_sets=5),
        ignored_fields=("config.99",),
        phrases=REPORTS,
    ),
    VocabularyApplied(phrases=REPORTS),
    VocabularyApplied(error="too many"),
    RESULT,
    SpeechStarted(time_s=0.5, utterance_id=2),
    SpeechEnded(time_s=0.75, utterance_id=2, channel=1),
    SpeechAwaited(time_s=5.0, channel=1),
    MarkerReached(id=-5),
    Goodbye(reason="IDLE", time_left_s=30.0),
    None,
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_the_server_sends_the_client_gets(event: StreamEvent | None) -> None:
    progress = Progress(received_s=3.5, processed_s=2.25, skipped_silence_s=1.0)
    update = StreamUpdate(event=event, progress=progress)
    message = convert.stream_response(update)
    parsed = speech_pb2.StreamingRecognizeResponse.FromString(message.SerializeToString())
    assert wire.stream_update(parsed) == update
    assert parsed.progress.lag.ToSeconds() == 1


containers = st.sampled_from([Container.FLAC, Container.OGG_OPUS, Container.WAV])
contained = st.builds(
    StreamConfig,
    container=containers,
    sample_rate_hz=st.sampled_from([0, 8000, 48_000]),
    channel_count=st.integers(0, 8),
)
texts = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=10)
phrases = st.builds(
    Phrase,
    text=texts,
    boost=st.floats(0, MAX_BOOST, exclude_min=True),
    sounds_like=st.lists(texts, max_size=3).map(tuple),
    critical=st.booleans(),
)
vocabularies = st.builds(
    Vocabulary,
    phrases=st.lists(phrases, max_size=5).map(tuple),
    phrase_sets=st.lists(texts, max_size=3).map(tuple),
    classes=st.dictionaries(
        st.sampled_from(["NAME", "day_1"]), st.lists(texts, unique=True, max_size=3).map(tuple)
    ),
)
configs = contained | st.builds(
    StreamConfig,
    model=st.text(max_size=10),
    encoding=st.sampled_from(Encoding),
    sample_rate_hz=st.integers(8000, 48_000),
    channel_count=st.integers(1, 8),
    separate_channels=st.booleans(),
    language=st.sampled_from(["", "en", "en-US"]),
    word_times=st.booleans(),
    max_alternatives=st.integers(1, 10),
    interim_results=st.booleans(),
    interim_interval_s=st.none() | st.sampled_from([0.1, 0.25, 3.0]),
    end_silence_s=st.none() | st.sampled_from([0.3, 0.8]),
    max_utterance_s=st.none() | st.sampled_from([1.0, 28.0]),
    start_offset_s=st.sampled_from([0.0, 12.5]),
    start_timeout_s=st.none() | st.sampled_from([0.1, 7.5]),
    lag_policy=st.sampled_from(LagPolicy),
    vocabulary=st.none() | vocabularies,
)


@given(configs)
def test_what_a_client_asks_for_the_server_reads(config: StreamConfig) -> None:
    assert convert.stream_config(wire.config_message(config), Limits()) == config


@given(st.floats(0, 1e6))
def test_a_duration_is_exact_to_the_nanosecond(seconds: float) -> None:
    update = StreamUpdate(event=Goodbye(reason="IDLE", time_left_s=seconds), progress=Progress())
    event = wire.stream_update(convert.stream_response(update)).event
    assert isinstance(event, Goodbye)
    assert abs(event.time_left_s - seconds) <= 1e-9 * max(1.0, seconds)


def _config(change: Callable[[speech_pb2.RecognitionConfig], object]) -> speech_pb2.RecognitionConfig:
    config = wire.config_message(StreamConfig())
    change(config)
    return config


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (lambda c: setattr(c.audio, "encoding", 0), "config.audio.encoding", "send one of AUDIO_ENCODING_LINEAR16"),
        (lambda c: setattr(c, "lag_policy", 9), "config.lag_policy", "lag policy 9 is not known"),
        (lambda c: c.endpointing.start_timeout.CopyFrom(Duration()), "config.endpointing.start_timeout", "is 0"),
        (lambda c: setattr(c.audio, "encoding", 77), "config.audio.encoding", "77 is not served"),
        (lambda c: setattr(c.audio, "sample_rate_hz", 0), "config.audio.sample_rate_hz", "no sample rate"),
        (lambda c: setattr(c.audio, "sample_rate_hz", 96_000), "config.audio.sample_rate_hz", "96000 Hz"),
        (lambda c: setattr(c.audio, "channel_count", 9), "config.audio.channel_count", "9 channels; give 1 to 8"),
        (lambda c: setattr(c.audio, "channel_count", -1), "config.audio.channel_count", "-1 channels"),
        (lambda c: setattr(c, "max_alternatives", 11), "config.max_alternatives", "11"),
        (lambda c: c.endpointing.end_silence.CopyFrom(Duration()), "config.endpointing.end_silence", "outside 0.1 to 10"),
        (lambda c: c.endpointing.max_utterance.CopyFrom(Duration(seconds=29)), "config.endpointing.max_utterance", "29"),
        (lambda c: c.interim_interval.CopyFrom(Duration(nanos=1)), "config.interim_interval", "outside 0.1"),
        (lambda c: c.start_offset.CopyFrom(Duration(seconds=-1)), "config.start_offset", "is -1"),
    ],
)  # fmt: skip
def test_a_bad_field_is_blamed_by_its_path(
    change: Callable[[speech_pb2.RecognitionConfig], object], field: str, message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        convert.stream_config(_config(change), Limits())
    assert caught.value.field == field
    assert message in str(caught.value)


def test_fields_that_will_not_be_used_are_named() -> None:
    config = wire.config_message(StreamConfig(interim_results=True, interim_interval_s=1.0))
    assert convert.ignored_fields(config, is_streaming=True) == ()
    expected = ("config.interim_results", "config.interim_interval")
    assert convert.ignored_fields(config, is_streaming=False) == expected


def test_fields_of_a_newer_client_are_named_by_number() -> None:
    # Field 999 (varint 1) appended at the top, and inside audio (field 2).
    unknown = b"\xb8\x3e\x01"
    audio = speech_pb2.AudioConfig(sample_rate_hz=8000).SerializeToString() + unknown
    payload = b"\x12" + bytes([len(audio)]) + audio + unknown
    config = speech_pb2.RecognitionConfig.FromString(payload)
    assert convert.ignored_fields(config, is_streaming=True) == ("config.999", "config.audio.999")


def test_messages_after_the_first() -> None:
    limits = Limits(max_message_bytes=10)
    assert convert.stream_input(wire.input_request(b"1234567890", Encoding.LINEAR16), limits) == b"1234567890"
    assert convert.stream_input(wire.input_request(Finalize(), Encoding.LINEAR16), limits) == Finalize()
    assert convert.stream_input(wire.input_request(Marker(9), Encoding.LINEAR16), limits) == Marker(9)
    with pytest.raises(ProtocolError, match="11 bytes; at most 10"):
        convert.stream_input(wire.input_request(b"12345678901", Encoding.LINEAR16), limits)
    with pytest.raises(ProtocolError, match="second config"):
        convert.stream_input(wire.config_request(StreamConfig()), limits)
    with pytest.raises(ProtocolError, match="without audio"):
        convert.stream_input(speech_pb2.StreamingRecognizeRequest(), limits)


def test_models_are_listed_by_name_and_say_what_is_in_memory() -> None:
    made_at = datetime(2026, 1, 2, tzinfo=UTC)
    version = VersionSummary(
        version="3", aliases=("production",), created_at=made_at, gate_passed=True, base="bundled:base"
    )
    registered = ModelSummary(name="barista", versions=(version,), aliases={"production": "3"})
    bundled = UnregisteredModel(name="a", version="bundled", reference="bundled:a")
    listed = convert.list_models_response([registered, bundled], frozenset({"bundled:a"})).models
    assert [(one.name, one.versions[0].version, one.versions[0].loaded) for one in listed] == [
        ("a", "bundled", True),
        ("barista", "3", False),
    ]
    got = convert.get_model_response(registered, Limits(max_streams=7), frozenset({"models:/barista/3"}))
    assert (got.limits.max_streams, got.model.versions[0].loaded) == (7, True)
    assert got.model.versions[0].create_time.ToDatetime(UTC) == made_at
    assert convert.set_alias_response(registered, frozenset()).model == listed[1]


def test_the_servicers_build_no_messages() -> None:
    """They may name the types of requests and responses in signatures, and the servicers they derive from."""
    for module in (recognition, models, phrase_sets, batch, adaptation, uploads):
        tree = ast.parse(inspect.getsource(module))
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not {name for name in called if "_pb2" in name}, module.__name__


def test_the_first_message_must_hold_the_config() -> None:
    with pytest.raises(ProtocolError, match="the first message holds audio"):
        convert.stream_call(wire.input_request(b"12", Encoding.LINEAR16), Limits())


def test_each_unknown_field_is_named_once() -> None:
    config = speech_pb2.RecognitionConfig.FromString(b"\xb8\x3e\x01" * 5000 + b"\xc0\x3e\x01")
    assert convert.ignored_fields(config, is_streaming=True) == ("config.999",)


@pytest.mark.parametrize("num_bytes", [1001, 100_000])
def test_a_config_that_is_none_is_refused_by_its_size(num_bytes: int) -> None:
    limits = Limits(max_message_bytes=1000)
    config = speech_pb2.RecognitionConfig(model="x" * num_bytes)
    with pytest.raises(ProtocolError, match="at most 1000"):
        convert.unary_call(speech_pb2.RecognizeRequest(config=config), limits)
    with pytest.raises(ProtocolError, match="at most 1000"):
        convert.stream_call(speech_pb2.StreamingRecognizeRequest(config=config), limits)
