"""Between protobuf and plain values: with ``server.convert_config`` and ``.convert_phrases``, all that touches asr.v1.

Requests are checked here, once; a field is blamed by its path on the wire. The servicers name message types in
their signatures only; statuses and their details are ``server.errors``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from asr.biasing.phrases import PhraseReport
from asr.errors import InputError, ProtocolError
from asr.registry import ModelSummary, VersionSummary
from asr.results import Hypothesis, Word
from asr.streaming.endpointer import FinalReason
from asr.streaming.messages import (
    Finalize,
    Goodbye,
    Limits,
    Marker,
    MarkerReached,
    ModelIdentity,
    Progress,
    Ready,
    RecognitionResult,
    StreamConfig,
    StreamInput,
    StreamUpdate,
    VocabularyApplied,
)
from asr.streaming.session import SpeechAwaited, SpeechEnded, SpeechStarted
from asr.v1 import models_pb2, speech_pb2
from server.catalog import UnregisteredModel
from server.convert_config import check_size, ignored_fields, stream_config
from server.convert_phrases import report_messages, vocabulary
from server.vocabulary import PhraseChange, unusable

ListedModel = ModelSummary | UnregisteredModel

_FINAL_REASONS = {
    None: speech_pb2.FINAL_REASON_UNSPECIFIED,
    FinalReason.SILENCE: speech_pb2.FINAL_REASON_SILENCE,
    FinalReason.MAX_UTTERANCE: speech_pb2.FINAL_REASON_MAX_UTTERANCE,
    FinalReason.CLIENT: speech_pb2.FINAL_REASON_CLIENT,
    FinalReason.END_OF_STREAM: speech_pb2.FINAL_REASON_END_OF_STREAM,
}
_VERDICTS = {
    None: models_pb2.GATE_VERDICT_UNSPECIFIED,
    True: models_pb2.GATE_VERDICT_PASSED,
    False: models_pb2.GATE_VERDICT_REFUSED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What a call asks for.

    Attributes:
        config: checked.
        ignored_fields: paths of what was asked for and will not be used.
        audio: the whole recording of a unary call.
    """

    config: StreamConfig
    ignored_fields: tuple[str, ...]
    audio: bytes = b""


def unary_call(request: speech_pb2.RecognizeRequest, limits: Limits) -> Call:
    """What a unary request asks for.

    Raises:
        ProtocolError: the config is too large.
        OptionError: as for ``stream_config``.
    """
    check_size(request.config, limits.max_message_bytes)
    return Call(
        config=stream_config(request.config, limits),
        ignored_fields=ignored_fields(request.config, is_streaming=False),
        audio=request.audio,
    )


def stream_call(request: speech_pb2.StreamingRecognizeRequest, limits: Limits) -> Call:
    """What a stream asks for with its first message.

    Raises:
        ProtocolError: the message holds no config, or is too large.
        OptionError: as for ``stream_config``.
    """
    check_size(request, limits.max_message_bytes)
    kind = request.WhichOneof("message")
    if kind != "config":
        raise ProtocolError(
            f"the first message holds {kind or 'nothing'}; it must hold config", field="config"
        )
    return Call(
        config=stream_config(request.config, limits),
        ignored_fields=ignored_fields(request.config, is_streaming=True),
    )


def stream_input(request: speech_pb2.StreamingRecognizeRequest, limits: Limits) -> StreamInput | PhraseChange:
    """A message after the first one; a vocabulary that cannot be used changes nothing, and ends no stream.

    Raises:
        ProtocolError: a second config, an empty message, or too much audio in one.
    """
    match request.WhichOneof("message"):
        case "audio":
            if len(request.audio) > limits.max_message_bytes:
                raise ProtocolError(
                    f"an audio message of {len(request.audio)} bytes; at most {limits.max_message_bytes} are "
                    "allowed: send smaller chunks, 20 to 100 ms each",
                    field="audio",
                )
            return request.audio
        case "finalize":
            return Finalize()
        case "marker":
            return Marker(request.marker.id)
        case "vocabulary":
            try:
                check_size(request, limits.max_message_bytes, "vocabulary")
                return vocabulary(request.vocabulary, limits, "vocabulary")
            except InputError as error:
                return unusable(error)
        case "config":
            raise ProtocolError("a second config; a stream has one, its first message", field="config")
        case _:
            raise ProtocolError(
                "a message without audio, finalize, marker or vocabulary; send one of them", field="message"
            )


def stream_response(update: StreamUpdate) -> speech_pb2.StreamingRecognizeResponse:
    """A message of the server."""
    response = speech_pb2.StreamingRecognizeResponse(progress=_progress(update.progress))
    match update.event:
        case RecognitionResult() as result:
            response.result.CopyFrom(result_message(result))
        case SpeechStarted() as started:
            response.speech_event.CopyFrom(_speech_event("KIND_STARTED", started))
        case SpeechEnded() as ended:
            response.speech_event.CopyFrom(_speech_event("KIND_ENDED", ended))
        case SpeechAwaited() as awaited:
            response.speech_event.CopyFrom(_speech_event("KIND_START_TIMEOUT", awaited))
        case MarkerReached(id=marker):
            response.marker_reached.id = marker
        case Goodbye(reason=reason, time_left_s=time_left_s):
            response.goodbye.reason = reason
            response.goodbye.time_left.CopyFrom(duration_message(time_left_s))
        case VocabularyApplied(phrases=reports, error=error):
            response.vocabulary_applied.phrases.extend(report_messages(reports))
            response.vocabulary_applied.error = error
        case Ready() as ready:
            response.ready.model.CopyFrom(identity_message(ready.model))
            response.ready.limits.CopyFrom(limits_message(ready.limits))
            response.ready.ignored_fields.extend(ready.ignored_fields)
            response.ready.phrases.extend(report_messages(ready.phrases))
            response.ready.keeps_candidates = ready.keeps_candidates
        case None:
            pass
    return response


def recognize_response(
    results: Iterable[RecognitionResult],
    model: ModelIdentity,
    duration_s: float,
    ignored: Iterable[str],
    phrases: Iterable[PhraseReport] = (),
    *,
    keeps_candidates: bool = False,
) -> speech_pb2.RecognizeResponse:
    """The answer to a unary call."""
    return speech_pb2.RecognizeResponse(
        results=[result_message(result) for result in results],
        model=identity_message(model),
        duration=duration_message(duration_s),
        ignored_fields=list(ignored),
        phrases=report_messages(phrases),
        keeps_candidates=keeps_candidates,
    )


def result_message(result: RecognitionResult) -> speech_pb2.RecognitionResult:
    """A result, interim or final."""
    return speech_pb2.RecognitionResult(
        utterance_id=result.utterance_id,
        is_final=result.is_final,
        stability=result.stability,
        channel=result.channel,
        start=duration_message(result.start_s),
        end=duration_message(result.end_s),
        alternatives=[_alternative(one) for one in result.alternatives],
        final_reason=_FINAL_REASONS[result.final_reason],
    )


def identity_message(model: ModelIdentity) -> speech_pb2.ModelIdentity:
    """The model that a selector was resolved to."""
    return speech_pb2.ModelIdentity(
        name=model.name, version=model.version, reference=model.reference, sha256=model.sha256
    )


def limits_message(limits: Limits) -> speech_pb2.Limits:
    """The limits in force."""
    return speech_pb2.Limits(
        max_message_bytes=limits.max_message_bytes,
        max_unary_bytes=limits.max_unary_bytes,
        max_unary_duration=duration_message(limits.max_unary_s),
        first_message_timeout=duration_message(limits.first_message_s),
        idle_timeout=duration_message(limits.idle_s),
        max_stream_duration=duration_message(limits.max_stream_s),
        max_queued_audio=duration_message(limits.max_queued_s),
        max_streams=limits.max_streams,
        max_phrases=limits.max_phrases,
        max_phrase_characters=limits.max_phrase_characters,
        max_phrase_sets=limits.max_phrase_sets,
    )


def list_models_response(
    models: Iterable[ListedModel], loaded: frozenset[str]
) -> models_pb2.ListModelsResponse:
    """All models by name; ``loaded`` are the references in memory."""
    ordered = sorted(models, key=lambda model: model.name)
    return models_pb2.ListModelsResponse(models=[model_message(model, loaded) for model in ordered])


def get_model_response(
    model: ListedModel, limits: Limits, loaded: frozenset[str]
) -> models_pb2.GetModelResponse:
    """One model and the limits."""
    return models_pb2.GetModelResponse(model=model_message(model, loaded), limits=limits_message(limits))


def set_alias_response(model: ListedModel, loaded: frozenset[str]) -> models_pb2.SetAliasResponse:
    """The model whose alias was moved."""
    return models_pb2.SetAliasResponse(model=model_message(model, loaded))


def load_model_response(model: ModelIdentity) -> models_pb2.LoadModelResponse:
    """The version that is in memory now."""
    return models_pb2.LoadModelResponse(model=identity_message(model))


def unload_model_response(reference: str, *, was_loaded: bool) -> models_pb2.UnloadModelResponse:
    """The version that is not in memory now."""
    return models_pb2.UnloadModelResponse(reference=reference, was_loaded=was_loaded)


def model_message(model: ListedModel, loaded: frozenset[str]) -> models_pb2.Model:
    """A model; ``loaded`` are the references in memory."""
    if isinstance(model, UnregisteredModel):
        version = models_pb2.ModelVersion(version=model.version, loaded=model.reference in loaded)
        return models_pb2.Model(name=model.name, versions=[version])
    versions = [
        _version(version, f"models:/{model.name}/{version.version}" in loaded) for version in model.versions
    ]
    return models_pb2.Model(name=model.name, versions=versions, aliases=model.aliases)


def _version(version: VersionSummary, is_loaded: bool) -> models_pb2.ModelVersion:
    created = Timestamp()
    created.FromDatetime(version.created_at)
    return models_pb2.ModelVersion(
        version=version.version,
        aliases=version.aliases,
        create_time=created,
        gate_verdict=_VERDICTS[version.gate_passed],
        base_model=version.base,
        loaded=is_loaded,
    )


def _alternative(hypothesis: Hypothesis) -> speech_pb2.Alternative:
    words = [_word(word) for word in hypothesis.words]
    return speech_pb2.Alternative(text=hypothesis.text, confidence=hypothesis.confidence, words=words)


def _word(word: Word) -> speech_pb2.Word:
    return speech_pb2.Word(
        text=word.text,
        start=duration_message(word.start_s),
        end=duration_message(word.end_s),
        confidence=word.confidence,
    )


def _speech_event(kind: str, event: SpeechStarted | SpeechEnded | SpeechAwaited) -> speech_pb2.SpeechEvent:
    return speech_pb2.SpeechEvent(
        kind=kind, time=duration_message(event.time_s), utterance_id=event.utterance_id, channel=event.channel
    )


def _progress(progress: Progress) -> speech_pb2.Progress:
    return speech_pb2.Progress(
        received=duration_message(progress.received_s),
        processed=duration_message(progress.processed_s),
        lag=duration_message(progress.lag_s),
        skipped_silence=duration_message(progress.skipped_silence_s),
    )


def duration_message(seconds: float) -> Duration:
    """Seconds to the nearest nanosecond, at least 0."""
    whole = math.floor(max(seconds, 0.0))
    nanos = round((max(seconds, 0.0) - whole) * 1e9)
    return Duration(seconds=whole + nanos // 10**9, nanos=nanos % 10**9)
