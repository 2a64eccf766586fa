import datetime

from asr.v1 import phrases_pb2 as _phrases_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_LINEAR16: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_FLOAT32: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_MULAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_ALAW: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_FLAC: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_OGG_OPUS: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_WAV: _ClassVar[AudioEncoding]

class LagPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAG_POLICY_UNSPECIFIED: _ClassVar[LagPolicy]
    LAG_POLICY_BLOCK: _ClassVar[LagPolicy]
    LAG_POLICY_SHED: _ClassVar[LagPolicy]

class FinalReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINAL_REASON_UNSPECIFIED: _ClassVar[FinalReason]
    FINAL_REASON_SILENCE: _ClassVar[FinalReason]
    FINAL_REASON_MAX_UTTERANCE: _ClassVar[FinalReason]
    FINAL_REASON_CLIENT: _ClassVar[FinalReason]
    FINAL_REASON_END_OF_STREAM: _ClassVar[FinalReason]
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_LINEAR16: AudioEncoding
AUDIO_ENCODING_FLOAT32: AudioEncoding
AUDIO_ENCODING_MULAW: AudioEncoding
AUDIO_ENCODING_ALAW: AudioEncoding
AUDIO_ENCODING_FLAC: AudioEncoding
AUDIO_ENCODING_OGG_OPUS: AudioEncoding
AUDIO_ENCODING_WAV: AudioEncoding
LAG_POLICY_UNSPECIFIED: LagPolicy
LAG_POLICY_BLOCK: LagPolicy
LAG_POLICY_SHED: LagPolicy
FINAL_REASON_UNSPECIFIED: FinalReason
FINAL_REASON_SILENCE: FinalReason
FINAL_REASON_MAX_UTTERANCE: FinalReason
FINAL_REASON_CLIENT: FinalReason
FINAL_REASON_END_OF_STREAM: FinalReason

class AudioConfig(_message.Message):
    __slots__ = ("encoding", "sample_rate_hz", "channel_count", "separate_channels")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    encoding: AudioEncoding
    sample_rate_hz: int
    channel_count: int
    separate_channels: bool
    def __init__(self, encoding: _Optional[_Union[AudioEncoding, str]] = ..., sample_rate_hz: _Optional[int] = ..., channel_count: _Optional[int] = ..., separate_channels: bool = ...) -> None: ...

class Endpointing(_message.Message):
    __slots__ = ("end_silence", "max_utterance", "start_timeout")
    END_SILENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    START_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    end_silence: _duration_pb2.Duration
    max_utterance: _duration_pb2.Duration
    start_timeout: _duration_pb2.Duration
    def __init__(self, end_silence: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_utterance: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RecognitionConfig(_message.Message):
    __slots__ = ("model", "audio", "language_code", "word_times", "max_alternatives", "endpointing", "start_offset", "interim_results", "interim_interval", "lag_policy", "vocabulary")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_CODE_FIELD_NUMBER: _ClassVar[int]
    WORD_TIMES_FIELD_NUMBER: _ClassVar[int]
    MAX_ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTING_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    INTERIM_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LAG_POLICY_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    model: str
    audio: AudioConfig
    language_code: str
    word_times: bool
    max_alternatives: int
    endpointing: Endpointing
    start_offset: _duration_pb2.Duration
    interim_results: bool
    interim_interval: _duration_pb2.Duration
    lag_policy: LagPolicy
    vocabulary: _phrases_pb2.Vocabulary
    def __init__(self, model: _Optional[str] = ..., audio: _Optional[_Union[AudioConfig, _Mapping]] = ..., language_code: _Optional[str] = ..., word_times: bool = ..., max_alternatives: _Optional[int] = ..., endpointing: _Optional[_Union[Endpointing, _Mapping]] = ..., start_offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., interim_results: bool = ..., interim_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lag_policy: _Optional[_Union[LagPolicy, str]] = ..., vocabulary: _Optional[_Union[_phrases_pb2.Vocabulary, _Mapping]] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: RecognitionConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[RecognitionConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class RecognizeResponse(_message.Message):
    __slots__ = ("results", "model", "duration", "ignored_fields", "phrases", "keeps_candidates")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    KEEPS_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RecognitionResult]
    model: ModelIdentity
    duration: _duration_pb2.Duration
    ignored_fields: _containers.RepeatedScalarFieldContainer[str]
    phrases: _containers.RepeatedCompositeFieldContainer[_phrases_pb2.PhraseReport]
    keeps_candidates: bool
    def __init__(self, results: _Optional[_Iterable[_Union[RecognitionResult, _Mapping]]] = ..., model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ignored_fields: _Optional[_Iterable[str]] = ..., phrases: _Optional[_Iterable[_Union[_phrases_pb2.PhraseReport, _Mapping]]] = ..., keeps_candidates: bool = ...) -> None: ...

class StreamingRecognizeRequest(_message.Message):
    __slots__ = ("config", "audio", "finalize", "marker", "vocabulary")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    FINALIZE_FIELD_NUMBER: _ClassVar[int]
    MARKER_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_FIELD_NUMBER: _ClassVar[int]
    config: RecognitionConfig
    audio: bytes
    finalize: Finalize
    marker: Marker
    vocabulary: _phrases_pb2.Vocabulary
    def __init__(self, config: _Optional[_Union[RecognitionConfig, _Mapping]] = ..., audio: _Optional[bytes] = ..., finalize: _Optional[_Union[Finalize, _Mapping]] = ..., marker: _Optional[_Union[Marker, _Mapping]] = ..., vocabulary: _Optional[_Union[_phrases_pb2.Vocabulary, _Mapping]] = ...) -> None: ...

class Finalize(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Marker(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class StreamingRecognizeResponse(_message.Message):
    __slots__ = ("ready", "result", "speech_event", "marker_reached", "goodbye", "vocabulary_applied", "progress")
    READY_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SPEECH_EVENT_FIELD_NUMBER: _ClassVar[int]
    MARKER_REACHED_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_APPLIED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ready: Ready
    result: RecognitionResult
    speech_event: SpeechEvent
    marker_reached: MarkerReached
    goodbye: Goodbye
    vocabulary_applied: VocabularyApplied
    progress: Progress
    def __init__(self, ready: _Optional[_Union[Ready, _Mapping]] = ..., result: _Optional[_Union[RecognitionResult, _Mapping]] = ..., speech_event: _Optional[_Union[SpeechEvent, _Mapping]] = ..., marker_reached: _Optional[_Union[MarkerReached, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., vocabulary_applied: _Optional[_Union[VocabularyApplied, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("received", "processed", "lag", "skipped_silence")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PROCESSED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_SILENCE_FIELD_NUMBER: _ClassVar[int]
    received: _duration_pb2.Duration
    processed: _duration_pb2.Duration
    lag: _duration_pb2.Duration
    skipped_silence: _duration_pb2.Duration
    def __init__(self, received: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., processed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., skipped_silence: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ModelIdentity(_message.Message):
    __slots__ = ("name", "version", "reference", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    reference: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., reference: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_message_bytes", "max_unary_bytes", "max_unary_duration", "first_message_timeout", "idle_timeout", "max_stream_duration", "max_queued_audio", "max_streams", "max_phrases", "max_phrase_characters", "max_phrase_sets")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_UNARY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_UNARY_DURATION_FIELD_NUMBER: _ClassVar[int]
    FIRST_MESSAGE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAM_DURATION_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUED_AUDIO_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_PHRASES_FIELD_NUMBER: _ClassVar[int]
    MAX_PHRASE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_PHRASE_SETS_FIELD_NUMBER: _ClassVar[int]
    max_message_bytes: int
    max_unary_bytes: int
    max_unary_duration: _duration_pb2.Duration
    first_message_timeout: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    max_stream_duration: _duration_pb2.Duration
    max_queued_audio: _duration_pb2.Duration
    max_streams: int
    max_phrases: int
    max_phrase_characters: int
    max_phrase_sets: int
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_unary_bytes: _Optional[int] = ..., max_unary_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_message_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_stream_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_queued_audio: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_streams: _Optional[int] = ..., max_phrases: _Optional[int] = ..., max_phrase_characters: _Optional[int] = ..., max_phrase_sets: _Optional[int] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("model", "limits", "ignored_fields", "phrases", "keeps_candidates")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    KEEPS_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    limits: Limits
    ignored_fields: _containers.RepeatedScalarFieldContainer[str]
    phrases: _containers.RepeatedCompositeFieldContainer[_phrases_pb2.PhraseReport]
    keeps_candidates: bool
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., ignored_fields: _Optional[_Iterable[str]] = ..., phrases: _Optional[_Iterable[_Union[_phrases_pb2.PhraseReport, _Mapping]]] = ..., keeps_candidates: bool = ...) -> None: ...

class RecognitionResult(_message.Message):
    __slots__ = ("utterance_id", "is_final", "stability", "channel", "start", "end", "alternatives", "final_reason")
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    FINAL_REASON_FIELD_NUMBER: _ClassVar[int]
    utterance_id: int
    is_final: bool
    stability: float
    channel: int
    start: _duration_pb2.Duration
    end: _duration_pb2.Duration
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    final_reason: FinalReason
    def __init__(self, utterance_id: _Optional[int] = ..., is_final: bool = ..., stability: _Optional[float] = ..., channel: _Optional[int] = ..., start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., final_reason: _Optional[_Union[FinalReason, str]] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("text", "confidence", "words")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    confidence: float
    words: _containers.RepeatedCompositeFieldContainer[Word]
    def __init__(self, text: _Optional[str] = ..., confidence: _Optional[float] = ..., words: _Optional[_Iterable[_Union[Word, _Mapping]]] = ...) -> None: ...

class Word(_message.Message):
    __slots__ = ("text", "start", "end", "confidence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: _duration_pb2.Duration
    end: _duration_pb2.Duration
    confidence: float
    def __init__(self, text: _Optional[str] = ..., start: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., confidence: _Optional[float] = ...) -> None: ...

class SpeechEvent(_message.Message):
    __slots__ = ("kind", "time", "utterance_id", "channel")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[SpeechEvent.Kind]
        KIND_STARTED: _ClassVar[SpeechEvent.Kind]
        KIND_ENDED: _ClassVar[SpeechEvent.Kind]
        KIND_START_TIMEOUT: _ClassVar[SpeechEvent.Kind]
    KIND_UNSPECIFIED: SpeechEvent.Kind
    KIND_STARTED: SpeechEvent.Kind
    KIND_ENDED: SpeechEvent.Kind
    KIND_START_TIMEOUT: SpeechEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    kind: SpeechEvent.Kind
    time: _duration_pb2.Duration
    utterance_id: int
    channel: int
    def __init__(self, kind: _Optional[_Union[SpeechEvent.Kind, str]] = ..., time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., utterance_id: _Optional[int] = ..., channel: _Optional[int] = ...) -> None: ...

class MarkerReached(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "time_left")
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    time_left: _duration_pb2.Duration
    def __init__(self, reason: _Optional[str] = ..., time_left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class VocabularyApplied(_message.Message):
    __slots__ = ("phrases", "error")
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    phrases: _containers.RepeatedCompositeFieldContainer[_phrases_pb2.PhraseReport]
    error: str
    def __init__(self, phrases: _Optional[_Iterable[_Union[_phrases_pb2.PhraseReport, _Mapping]]] = ..., error: _Optional[str] = ...) -> None: ...
