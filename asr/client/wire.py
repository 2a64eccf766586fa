"""Between plain values and protobuf on the client's side, and from a failed call to one of our errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray

from asr.audio.containers import Container
from asr.audio.pcm import Encoding, encode_pcm
from asr.biasing.phrases import PhraseReport
from asr.client.wire_phrases import phrase_reports, vocabulary_message
from asr.errors import (
    CANDIDATE_NOT_FOUND,
    JOB_NOT_FOUND,
    PHRASE_SET_NOT_FOUND,
    UPLOAD_IN_USE,
    UPLOAD_NOT_FOUND,
    AlreadyExistsError,
    CandidateNotFoundError,
    ExpiredError,
    JobNotFoundError,
    LexituneError,
    LimitError,
    ModelError,
    ModelNotFoundError,
    NotPermittedError,
    OptionError,
    PhraseSetNotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UploadInUseError,
    UploadNotFoundError,
)
from asr.results import Hypothesis, Word
from asr.streaming.endpointer import FinalReason
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
    StreamInput,
    StreamUpdate,
    Vocabulary,
    VocabularyApplied,
)
from asr.streaming.session import SpeechAwaited, SpeechEnded, SpeechStarted
from asr.v1 import models_pb2, speech_pb2

Samples = NDArray[np.float32]
ClientInput = StreamInput | Samples

_ENCODINGS: dict[Encoding, speech_pb2.AudioEncoding] = {
    Encoding.LINEAR16: speech_pb2.AUDIO_ENCODING_LINEAR16,
    Encoding.FLOAT32: speech_pb2.AUDIO_ENCODING_FLOAT32,
    Encoding.MULAW: speech_pb2.AUDIO_ENCODING_MULAW,
    Encoding.ALAW: speech_pb2.AUDIO_ENCODING_ALAW,
}
_CONTAINERS: dict[Container, speech_pb2.AudioEncoding] = {
    Container.FLAC: speech_pb2.AUDIO_ENCODING_FLAC,
    Container.OGG_OPUS: speech_pb2.AUDIO_ENCODING_OGG_OPUS,
    Container.WAV: speech_pb2.AUDIO_ENCODING_WAV,
}
_LAG_POLICIES: dict[LagPolicy, speech_pb2.LagPolicy] = {
    LagPolicy.BLOCK: speech_pb2.LAG_POLICY_BLOCK,
    LagPolicy.SHED: speech_pb2.LAG_POLICY_SHED,
}
_SPEECH_EVENTS: dict[int, type[SpeechStarted | SpeechEnded | SpeechAwaited]] = {
    speech_pb2.SpeechEvent.KIND_STARTED: SpeechStarted,
    speech_pb2.SpeechEvent.KIND_ENDED: SpeechEnded,
    speech_pb2.SpeechEvent.KIND_START_TIMEOUT: SpeechAwaited,
}
_FINAL_REASONS: dict[int, FinalReason] = {
    speech_pb2.FINAL_REASON_SILENCE: FinalReason.SILENCE,
    speech_pb2.FINAL_REASON_MAX_UTTERANCE: FinalReason.MAX_UTTERANCE,
    speech_pb2.FINAL_REASON_CLIENT: FinalReason.CLIENT,
    speech_pb2.FINAL_REASON_END_OF_STREAM: FinalReason.END_OF_STREAM,
}
_VERDICTS: dict[int, bool] = {models_pb2.GATE_VERDICT_PASSED: True, models_pb2.GATE_VERDICT_REFUSED: False}
_PHRASE_LIMITS = (
    "max_phrases",
    "max_phrase_characters",
    "max_phrase_sets",
)  # that an older server does not tell
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """The answer to a unary call: finals in the order of their times; ``keeps_candidates`` as of ``Ready``."""

    results: tuple[RecognitionResult, ...]
    model: ModelIdentity
    duration_s: float
    ignored_fields: tuple[str, ...] = ()
    phrases: tuple[PhraseReport, ...] = ()
    keeps_candidates: bool = False

    @property
    def text(self) -> str:
        """All results' best text, joined by single spaces."""
        return " ".join(result.text for result in self.results if result.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedVersion:
    """A version of a model; ``created_at`` is None outside a registry, ``gate_passed`` None if never gated."""

    version: str
    aliases: tuple[str, ...]
    created_at: datetime | None
    gate_passed: bool | None
    base: str
    is_loaded: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model that can be asked for; versions are newest first."""

    name: str
    versions: tuple[ServedVersion, ...]
    aliases: dict[str, str] = field(default_factory=dict)


def config_message(config: StreamConfig) -> speech_pb2.RecognitionConfig:
    """The config of a call; what is None stays unset, for the server to choose."""
    message = speech_pb2.RecognitionConfig(
        model=config.model,
        audio=speech_pb2.AudioConfig(
            encoding=_wire_encoding(config),
            sample_rate_hz=config.sample_rate_hz,
            channel_count=config.channel_count,
            separate_channels=config.separate_channels,
        ),
        language_code=config.language,
        word_times=config.word_times,
        max_alternatives=config.max_alternatives,
        interim_results=config.interim_results,
        lag_policy=_LAG_POLICIES[config.lag_policy],
    )
    if config.start_offset_s:
        message.start_offset.CopyFrom(_duration(config.start_offset_s))
    if config.interim_interval_s is not None:
        message.interim_interval.CopyFrom(_duration(config.interim_interval_s))
    if config.end_silence_s is not None:
        message.endpointing.end_silence.CopyFrom(_duration(config.end_silence_s))
    if config.max_utterance_s is not None:
        message.endpointing.max_utterance.CopyFrom(_duration(config.max_utterance_s))
    if config.start_timeout_s is not None:
        message.endpointing.start_timeout.CopyFrom(_duration(config.start_timeout_s))
    if config.vocabulary is not None:
        message.vocabulary.CopyFrom(vocabulary_message(config.vocabulary))
    return message


def _wire_encoding(config: StreamConfig) -> speech_pb2.AudioEncoding:
    if config.container is None:
        return _ENCODINGS[config.encoding]
    if config.container in _CONTAINERS:
        return _CONTAINERS[config.container]
    raise OptionError(
        f"container {config.container} cannot be asked for; say WAV, or None for raw samples",
        field="container",
    )


def config_request(config: StreamConfig) -> speech_pb2.StreamingRecognizeRequest:
    """The first message of a stream."""
    return speech_pb2.StreamingRecognizeRequest(config=config_message(config))


def input_request(message: ClientInput, config: StreamConfig) -> speech_pb2.StreamingRecognizeRequest:
    """A later message of a stream; samples are encoded."""
    match message:
        case Finalize():
            return speech_pb2.StreamingRecognizeRequest(finalize=speech_pb2.Finalize())
        case Marker(id=number):
            return speech_pb2.StreamingRecognizeRequest(marker=speech_pb2.Marker(id=number))
        case Vocabulary():
            return speech_pb2.StreamingRecognizeRequest(vocabulary=vocabulary_message(message))
        case _:
            return speech_pb2.StreamingRecognizeRequest(audio=audio_bytes(message, config))


def audio_bytes(audio: bytes | Samples, config: StreamConfig) -> bytes:
    """Bytes as they are, (T,) samples encoded.

    Raises:
        OptionError: samples for a stream of a container, which the client does not write.
    """
    if isinstance(audio, bytes):
        return audio
    if config.container is not None:
        message = f"samples for a stream of {config.container}; send its bytes, or leave container None"
        raise OptionError(message, field="container")
    return encode_pcm(audio, config.encoding)


def stream_update(response: speech_pb2.StreamingRecognizeResponse) -> StreamUpdate:
    """A message of the server."""
    progress = Progress(
        received_s=seconds_of(response.progress.received),
        processed_s=seconds_of(response.progress.processed),
        skipped_silence_s=seconds_of(response.progress.skipped_silence),
    )
    return StreamUpdate(event=_event(response), progress=progress)


def recognition(response: speech_pb2.RecognizeResponse) -> Recognition:
    """The answer to a unary call."""
    return Recognition(
        results=tuple(_result(result) for result in response.results),
        model=identity(response.model),
        duration_s=seconds_of(response.duration),
        ignored_fields=tuple(response.ignored_fields),
        phrases=phrase_reports(response.phrases),
        keeps_candidates=response.keeps_candidates,
    )


def served_model(model: models_pb2.Model) -> ServedModel:
    """A model with its versions."""
    versions = tuple(_served_version(version) for version in model.versions)
    return ServedModel(name=model.name, versions=versions, aliases=dict(model.aliases))


def identity(model: speech_pb2.ModelIdentity) -> ModelIdentity:
    """The model that a name was resolved to."""
    return ModelIdentity(
        name=model.name, version=model.version, reference=model.reference, sha256=model.sha256
    )


def error_of(call: grpc.RpcError, address: str) -> LexituneError:
    """The error of ours that a failed call stands for."""
    code: grpc.StatusCode = call.code()
    text = call.details() or code.name
    reason, blamed = _error_details(call)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return OptionError(text, field=blamed)
        case grpc.StatusCode.NOT_FOUND if reason == PHRASE_SET_NOT_FOUND:
            return PhraseSetNotFoundError(text, field=blamed)
        case grpc.StatusCode.NOT_FOUND if reason == JOB_NOT_FOUND:
            return JobNotFoundError(text)
        case grpc.StatusCode.NOT_FOUND if reason == UPLOAD_NOT_FOUND:
            return UploadNotFoundError(text)
        case grpc.StatusCode.NOT_FOUND if reason == CANDIDATE_NOT_FOUND:
            return CandidateNotFoundError(text)
        case grpc.StatusCode.NOT_FOUND:
            return ModelNotFoundError(text)
        case grpc.StatusCode.ALREADY_EXISTS:
            return AlreadyExistsError(text)
        case grpc.StatusCode.FAILED_PRECONDITION if reason == UPLOAD_IN_USE:
            return UploadInUseError(text)
        case grpc.StatusCode.FAILED_PRECONDITION:
            return ModelError(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return LimitError(text, reason=reason or "LIMIT")
        case grpc.StatusCode.ABORTED:
            return ExpiredError(text, reason=reason or "EXPIRED")
        case grpc.StatusCode.UNAUTHENTICATED:
            return UnauthenticatedError(text, reason=reason or "UNAUTHENTICATED")
        case grpc.StatusCode.PERMISSION_DENIED:
            return NotPermittedError(text)
        case grpc.StatusCode.UNAVAILABLE if reason:
            return UnavailableError(text, reason=reason)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return UnavailableError(f"no answer from {address} ({text}); is lexitune serve running there?")
        case _:
            return LexituneError(f"{address} failed with {code.name}: {text}")


def _error_details(call: grpc.RpcError) -> tuple[str, str]:
    """ErrorInfo's reason and the first blamed field, "" where the server gave none."""
    metadata: Any = call.trailing_metadata() or ()
    packed = next((value for key, value in metadata if key == _DETAILS_KEY), b"")
    reason, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    try:
        details = status_pb2.Status.FromString(packed).details
    except DecodeError:
        return "", ""
    for detail in details:
        if not detail.Unpack(reason):
            detail.Unpack(blamed)
    return reason.reason, next((violation.field for violation in blamed.field_violations), "")


def _event(response: speech_pb2.StreamingRecognizeResponse) -> StreamEvent | None:
    match response.WhichOneof("event"):
        case "ready":
            return _ready(response.ready)
        case "result":
            return _result(response.result)
        case "speech_event":
            event = response.speech_event
            kind = _SPEECH_EVENTS.get(event.kind)
            if kind is None:
                return None
            return kind(time_s=seconds_of(event.time), utterance_id=event.utterance_id, channel=event.channel)
        case "marker_reached":
            return MarkerReached(id=response.marker_reached.id)
        case "vocabulary_applied":
            applied = response.vocabulary_applied
            return VocabularyApplied(phrases=phrase_reports(applied.phrases), error=applied.error)
        case "goodbye":
            goodbye = response.goodbye
            return Goodbye(reason=goodbye.reason, time_left_s=seconds_of(goodbye.time_left))
        case _:
            return None  # progress alone, or an event of a newer server


def _ready(ready: speech_pb2.Ready) -> Ready:
    limits = Limits(
        max_message_bytes=ready.limits.max_message_bytes,
        max_unary_bytes=ready.limits.max_unary_bytes,
        max_unary_s=seconds_of(ready.limits.max_unary_duration),
        first_message_s=seconds_of(ready.limits.first_message_timeout),
        idle_s=seconds_of(ready.limits.idle_timeout),
        max_stream_s=seconds_of(ready.limits.max_stream_duration),
        max_queued_s=seconds_of(ready.limits.max_queued_audio),
        max_streams=ready.limits.max_streams,
        **{name: value for name in _PHRASE_LIMITS if (value := getattr(ready.limits, name))},
    )
    return Ready(
        model=identity(ready.model),
        limits=limits,
        ignored_fields=tuple(ready.ignored_fields),
        phrases=phrase_reports(ready.phrases),
        keeps_candidates=ready.keeps_candidates,
    )


def _result(result: speech_pb2.RecognitionResult) -> RecognitionResult:
    return RecognitionResult(
        utterance_id=result.utterance_id,
        is_final=result.is_final,
        stability=result.stability,
        start_s=seconds_of(result.start),
        end_s=seconds_of(result.end),
        alternatives=tuple(_hypothesis(one) for one in result.alternatives),
        final_reason=_FINAL_REASONS.get(result.final_reason),
        channel=result.channel,
    )


def _hypothesis(alternative: speech_pb2.Alternative) -> Hypothesis:
    words = tuple(
        Word(
            text=word.text,
            start_s=seconds_of(word.start),
            end_s=seconds_of(word.end),
            confidence=word.confidence,
        )
        for word in alternative.words
    )
    return Hypothesis(text=alternative.text, words=words, confidence=alternative.confidence)


def _served_version(version: models_pb2.ModelVersion) -> ServedVersion:
    created = version.create_time.ToDatetime(UTC) if version.HasField("create_time") else None
    return ServedVersion(
        version=version.version,
        aliases=tuple(version.aliases),
        created_at=created,
        gate_passed=_VERDICTS.get(version.gate_verdict),
        base=version.base_model,
        is_loaded=version.loaded,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def seconds_of(duration: Duration) -> float:
    """A length of time, s."""
    return duration.seconds + duration.nanos / 1e9
