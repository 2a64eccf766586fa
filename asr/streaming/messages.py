"""What travels on a stream, as plain values that client and server share; protobuf stays behind their doors.

A client sends a ``StreamConfig``, then audio bytes, ``Finalize``, ``Marker`` and ``Vocabulary``; a server answers with
``StreamUpdate``. Times are seconds from the first sample plus the stream's start offset.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from asr.audio.containers import Container
from asr.audio.pcm import Encoding, bytes_per_sample
from asr.biasing.phrases import MAX_CHARACTERS, Phrase, PhraseReport
from asr.errors import OptionError
from asr.results import Hypothesis
from asr.streaming.endpointer import FinalReason, SessionOptions
from asr.streaming.session import SpeechAwaited, SpeechEnded, SpeechStarted

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 48_000
MAX_ALTERNATIVES = 10
MAX_CHANNELS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of a server; ``ready`` reports them.

    Attributes:
        max_message_bytes: largest audio message on a stream.
        max_unary_bytes: largest unary request.
        max_unary_s: longest recording of a unary request.
        first_message_s: time within which the config must arrive.
        idle_s: time without a message after which a stream ends.
        max_stream_s: longest stream, in time; of compressed audio, also the most that may come out.
        max_queued_s: audio of one stream that may wait before the server stops reading.
        max_streams: calls served at once.
        max_phrases: of one vocabulary or kept set, classes written out.
        max_phrase_characters: of one phrase, at most 100.
        max_phrase_sets: that a tenant may keep.
    """

    max_message_bytes: int = 1 << 20
    max_unary_bytes: int = 64 << 20
    max_unary_s: float = 600.0
    first_message_s: float = 10.0
    idle_s: float = 300.0
    max_stream_s: float = 4 * 3600.0
    max_queued_s: float = 5.0
    max_streams: int = 100
    max_phrases: int = 500
    max_phrase_characters: int = MAX_CHARACTERS
    max_phrase_sets: int = 100

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not value > 0:
                raise OptionError(f"limits.{one.name} is {value}; give a number above 0", field=one.name)
        if self.max_phrase_characters > MAX_CHARACTERS:
            raise OptionError(
                f"limits.max_phrase_characters is {self.max_phrase_characters}; give at most {MAX_CHARACTERS}",
                field="max_phrase_characters",
            )


class LagPolicy(enum.StrEnum):
    """What happens where audio comes faster than it is recognised; none of it is dropped."""

    BLOCK = "block"  # the sender has to wait
    SHED = "shed"  # no interims, and at last the stream ends


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """What the utterances of a call may hold. Sent on a stream, it counts from the next utterance on.

    Attributes:
        phrases: each once.
        phrase_sets: names of sets that the server keeps for this caller.
        classes: items by the names for which phrases write ``$NAME``; ahead of those of kept sets.
    """

    phrases: tuple[Phrase, ...] = ()
    phrase_sets: tuple[str, ...] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """What to recognise with and how; None leaves a choice to the server.

    Attributes:
        model: selector: "name", "name@alias", "name@version", "models:/..."; "" is the server's default.
        container: what holds the samples; None for raw ones. It states their encoding, rate and number of channels.
        encoding: how raw audio bytes are written.
        sample_rate_hz: of raw audio, 8000 to 48000.
        channel_count: channels interleaved in the audio, 1 to 8; mixed to one unless they are separate.
        separate_channels: whether each channel is recognised by itself, as the two legs of a call.
        language: BCP-47 code; "" leaves it to the model.
        word_times: whether words of finals carry times and confidence.
        max_alternatives: most alternatives of a final, 1 to 10.
        interim_results: whether to send results that may still change.
        interim_interval_s: audio between two interim results of one utterance.
        end_silence_s: silence that ends an utterance.
        max_utterance_s: longest utterance.
        start_timeout_s: audio without speech, from the start, after which the client is told.
        start_offset_s: added to every time of the answer.
        lag_policy: what happens where audio comes faster than it is recognised.
        vocabulary: what utterances may hold; None for nothing in particular.
    """

    model: str = ""
    container: Container | None = None
    encoding: Encoding = Encoding.LINEAR16
    sample_rate_hz: int = 16_000
    channel_count: int = 1
    separate_channels: bool = False
    language: str = ""
    word_times: bool = True
    max_alternatives: int = 1
    interim_results: bool = False
    interim_interval_s: float | None = None
    end_silence_s: float | None = None
    max_utterance_s: float | None = None
    start_timeout_s: float | None = None
    start_offset_s: float = 0.0
    lag_policy: LagPolicy = LagPolicy.BLOCK
    vocabulary: Vocabulary | None = None

    @property
    def num_legs(self) -> int:
        """Recognised apart from each other."""
        return max(self.channel_count, 1) if self.separate_channels else 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return bytes_per_sample(self.encoding) * self.channel_count

    def session_options(self) -> SessionOptions:
        """The options of the stream's session.

        Raises:
            OptionError: a value outside its range.
        """
        chosen: dict[str, Any] = {
            "interim_interval_s": self.interim_interval_s,
            "end_silence_s": self.end_silence_s,
            "max_utterance_s": self.max_utterance_s,
            "start_timeout_s": self.start_timeout_s,
        }
        return SessionOptions(
            interim_results=self.interim_results,
            start_offset_s=self.start_offset_s,
            **{name: value for name, value in chosen.items() if value is not None},
        )


@dataclass(frozen=True, slots=True)
class Finalize:
    """Make all audio so far final now."""


@dataclass(frozen=True, slots=True)
class Marker:
    """To be echoed once all audio before it is final or silent."""

    id: int


StreamInput = bytes | Finalize | Marker | Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelIdentity:
    """The model that a selector was resolved to; ``reference`` is immutable."""

    name: str
    version: str
    reference: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The stream may begin; ``ignored_fields`` of its config will not be used, ``phrases`` say what became of each.

    With ``keeps_candidates`` finals of low confidence are kept with their audio: the tenant has consented.
    """

    model: ModelIdentity
    limits: Limits
    ignored_fields: tuple[str, ...] = ()
    phrases: tuple[PhraseReport, ...] = ()
    keeps_candidates: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionResult:
    """The text of one utterance; a later one with the same ``utterance_id`` and ``channel`` replaces it.

    Attributes:
        stability: share of an interim's words, from the first, that no later interim changes; 1 for a final.
        alternatives: best first, at least one; their words' times are the stream's.
    """

    utterance_id: int
    is_final: bool
    stability: float
    start_s: float
    end_s: float
    alternatives: tuple[Hypothesis, ...]
    final_reason: FinalReason | None = None
    channel: int = 0

    @property
    def text(self) -> str:
        """The best alternative's text."""
        return self.alternatives[0].text


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkerReached:
    """The echo of a marker."""

    id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VocabularyApplied:
    """The answer to a ``Vocabulary``: what became of each phrase, or why all stays as it was."""

    phrases: tuple[PhraseReport, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goodbye:
    """The server will end the stream in ``time_left_s``; reason: MAX_DURATION, IDLE or DRAINING."""

    reason: str
    time_left_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the server is: audio received, processed (searched, and its due finals sent) and skipped, s."""

    received_s: float = 0.0
    processed_s: float = 0.0
    skipped_silence_s: float = 0.0

    @property
    def lag_s(self) -> float:
        """Audio received and not yet processed, s."""
        return self.received_s - self.processed_s


StreamEvent = (
    Ready
    | RecognitionResult
    | SpeechStarted
    | SpeechEnded
    | SpeechAwaited
    | MarkerReached
    | VocabularyApplied
    | Goodbye
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamUpdate:
    """One message of the server."""

    event: StreamEvent | None
    progress: Progress
