"""A call's config as it is on the wire, to a plain value: each field checked, and a bad one blamed by its path.

A part of ``server.convert``, which see.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from asr.audio.containers import Container
from asr.audio.pcm import Encoding
from asr.errors import OptionError, ProtocolError
from asr.streaming.messages import (
    MAX_ALTERNATIVES,
    MAX_CHANNELS,
    MAX_RATE_HZ,
    MIN_RATE_HZ,
    LagPolicy,
    Limits,
    StreamConfig,
)
from asr.v1 import speech_pb2
from server.convert_phrases import vocabulary

MAX_UNKNOWN = 1000  # fields that are looked at
_ENCODINGS = {
    speech_pb2.AUDIO_ENCODING_LINEAR16: Encoding.LINEAR16,
    speech_pb2.AUDIO_ENCODING_FLOAT32: Encoding.FLOAT32,
    speech_pb2.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    speech_pb2.AUDIO_ENCODING_ALAW: Encoding.ALAW,
}
_CONTAINERS = {
    speech_pb2.AUDIO_ENCODING_FLAC: Container.FLAC,
    speech_pb2.AUDIO_ENCODING_OGG_OPUS: Container.OGG_OPUS,
    speech_pb2.AUDIO_ENCODING_WAV: Container.WAV,
}
_LAG_POLICIES = {
    speech_pb2.LAG_POLICY_UNSPECIFIED: LagPolicy.BLOCK,
    speech_pb2.LAG_POLICY_BLOCK: LagPolicy.BLOCK,
    speech_pb2.LAG_POLICY_SHED: LagPolicy.SHED,
}
# Session options by the path of the field that sets them.
_OPTION_FIELDS = {
    "end_silence_s": "config.endpointing.end_silence",
    "start_timeout_s": "config.endpointing.start_timeout",
    "max_utterance_s": "config.endpointing.max_utterance",
    "interim_interval_s": "config.interim_interval",
    "start_offset_s": "config.start_offset",
}


def stream_config(config: speech_pb2.RecognitionConfig, limits: Limits) -> StreamConfig:
    """The config of a call, checked.

    Args:
        config: as it came.
        limits: of its vocabulary.

    Raises:
        OptionError: a field is missing, unserved or outside its range; ``field`` is its path.
    """
    has_interval = config.HasField("interim_interval")
    has_silence, has_maximum, has_timeout = (
        config.endpointing.HasField(name) for name in ("end_silence", "max_utterance", "start_timeout")
    )
    container, encoding = _audio(config.audio)
    checked = StreamConfig(
        model=config.model,
        container=container,
        encoding=encoding,
        sample_rate_hz=_sample_rate(config.audio.sample_rate_hz, container),
        channel_count=_channel_count(config.audio.channel_count, container),
        separate_channels=config.audio.separate_channels,
        language=config.language_code,
        word_times=config.word_times if config.HasField("word_times") else True,
        max_alternatives=_max_alternatives(config.max_alternatives),
        interim_results=config.interim_results,
        interim_interval_s=_seconds(config.interim_interval) if has_interval else None,
        end_silence_s=_seconds(config.endpointing.end_silence) if has_silence else None,
        max_utterance_s=_seconds(config.endpointing.max_utterance) if has_maximum else None,
        start_timeout_s=_seconds(config.endpointing.start_timeout) if has_timeout else None,
        start_offset_s=_seconds(config.start_offset),
        lag_policy=_lag_policy(config.lag_policy),
        vocabulary=vocabulary(config.vocabulary, limits, "config.vocabulary")
        if config.HasField("vocabulary")
        else None,
    )
    try:
        checked.session_options()
    except OptionError as error:
        raise OptionError(str(error), field=_OPTION_FIELDS.get(error.field, "config")) from error
    return checked


def check_size(message: Message, max_bytes: int, what: str = "config") -> None:
    """Refuse a config that is not one: whoever reads it would be busy for long.

    Raises:
        ProtocolError: it is larger than a message of audio may be.
    """
    if (num_bytes := message.ByteSize()) > max_bytes:
        raise ProtocolError(f"a {what} of {num_bytes} bytes; at most {max_bytes} are allowed", field=what)


def ignored_fields(config: speech_pb2.RecognitionConfig, *, is_streaming: bool) -> tuple[str, ...]:
    """Paths of the fields that were asked for and will not be used; unknown ones by their number, each once."""
    ignored = list(_unknown_fields(config, "config"))
    if not is_streaming and config.interim_results:
        ignored.append("config.interim_results")
    if config.HasField("interim_interval") and not (is_streaming and config.interim_results):
        ignored.append("config.interim_interval")
    if not is_streaming and config.lag_policy == speech_pb2.LAG_POLICY_SHED:
        ignored.append("config.lag_policy")
    return tuple(ignored)


def _audio(audio: speech_pb2.AudioConfig) -> tuple[Container | None, Encoding]:
    """What holds the samples, if anything does, and else how they are written."""
    if audio.encoding in _CONTAINERS:
        if audio.separate_channels and not audio.channel_count:
            raise OptionError(
                "no number of channels, which separate channels need: each takes a slot; give 1 to "
                f"{MAX_CHANNELS}",
                field="config.audio.channel_count",
            )
        return _CONTAINERS[audio.encoding], Encoding.LINEAR16
    return None, _encoding(audio.encoding)


def _encoding(value: speech_pb2.AudioEncoding) -> Encoding:
    if value in _ENCODINGS:
        return _ENCODINGS[value]
    served = ", ".join(speech_pb2.AudioEncoding.Name(one) for one in (*_ENCODINGS, *_CONTAINERS))
    is_known = value in speech_pb2.AudioEncoding.values()
    given = speech_pb2.AudioEncoding.Name(value) if is_known else str(value)
    raise OptionError(f"encoding {given} is not served; send one of {served}", field="config.audio.encoding")


def _sample_rate(rate_hz: int, container: Container | None) -> int:
    if MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or (container and not rate_hz):
        return rate_hz
    problem = f"a sample rate of {rate_hz} Hz" if rate_hz else "no sample rate, which raw audio needs"
    message = f"{problem}; give the rate of the audio, {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
    raise OptionError(message, field="config.audio.sample_rate_hz")


def _lag_policy(value: speech_pb2.LagPolicy) -> LagPolicy:
    if value in _LAG_POLICIES:
        return _LAG_POLICIES[value]
    known = ", ".join(speech_pb2.LagPolicy.Name(one) for one in _LAG_POLICIES)
    raise OptionError(f"lag policy {value} is not known; send one of {known}", field="config.lag_policy")


def _max_alternatives(number: int) -> int:
    if 0 <= number <= MAX_ALTERNATIVES:
        return max(number, 1)
    message = f"max_alternatives is {number}; give 0 to {MAX_ALTERNATIVES}"
    raise OptionError(message, field="config.max_alternatives")


def _channel_count(number: int, container: Container | None) -> int:
    if 0 <= number <= MAX_CHANNELS:
        return number if container else max(number, 1)
    message = f"{number} channels; give 1 to {MAX_CHANNELS}, 0 for 1"
    raise OptionError(message, field="config.audio.channel_count")


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def unknown_numbers(message: Message) -> list[int]:
    """Numbers of the fields that this release does not know, each once; of the first ``MAX_UNKNOWN``."""
    unknown = UnknownFieldSet(message)
    return list(dict.fromkeys(unknown[index].field_number for index in range(min(len(unknown), MAX_UNKNOWN))))


def _unknown_fields(message: Message, path: str) -> Iterable[str]:
    for number in unknown_numbers(message):
        yield f"{path}.{number}"
    for field, value in message.ListFields():
        inside = [value] if isinstance(value, Message) else value if field.message_type is not None else []
        found = (name for one in inside for name in _unknown_fields(one, f"{path}.{field.name}"))
        yield from dict.fromkeys(found)  # of repeated ones each once
