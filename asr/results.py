"""What recognition returns: words, hypotheses, segments and transcripts.

Plain frozen values without behaviour beyond joining, merging and shifting times; how they are written to a file is
``asr.cli.formats``, how they travel is ``server.convert``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SILENCE = "silence"  # a guard against hallucination: text was withheld, for the model says that nobody speaks
LOOP = "loop"  # another: the search ran in circles and was done again


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One word with its times (s, from the start of the recording) and confidence in [0, 1]."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Hypothesis:
    """One candidate of the search for one segment; times count from the segment's start.

    Attributes:
        text: the words, joined by single spaces, without surrounding white space.
        words: empty if word times were not asked for.
        avg_log_prob: mean log probability per token, natural log.
        no_speech_prob: probability of silence that the model gives, in [0, 1].
        confidence: geometric mean of the token probabilities, in [0, 1].
        guard: what a guard against hallucination did, ``SILENCE`` or ``LOOP``; "" for nothing.
    """

    text: str
    words: tuple[Word, ...] = ()
    avg_log_prob: float = 0.0
    no_speech_prob: float = 0.0
    confidence: float = 0.0
    guard: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A time span of a recording (s) with its text; ``leg`` names who speaks where the legs of a call were merged."""

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...] = ()
    confidence: float = 0.0
    leg: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    """A time span of a recording (s) in which a guard against hallucination did something."""

    start_s: float
    end_s: float
    guard: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Redaction:
    """A time span of a recording (s) whose words were taken out, of which kind they were, and in which leg."""

    start_s: float
    end_s: float
    kind: str
    leg: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """The chosen text of a whole recording, in segments by time of their start.

    Attributes:
        segments: follow each other in time; those of different legs may overlap.
        duration_s: of the recording.
        guarded: where a guard against hallucination did something.
        legs: names of the channels that were merged, in the order of the channels; empty for a recording of one.
        steps: names of what was done to the text behind recognition.
        redactions: what was taken out of it.
    """

    segments: tuple[Segment, ...]
    duration_s: float
    guarded: tuple[Guarded, ...] = ()
    legs: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    redactions: tuple[Redaction, ...] = ()

    @property
    def text(self) -> str:
        """All segments' text joined by single spaces."""
        return " ".join(segment.text for segment in self.segments if segment.text)

    @property
    def words(self) -> tuple[Word, ...]:
        """All segments' words."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def confidence(self) -> float:
        """Mean of the segments' confidence weighted by their number of words; 0 without text."""
        weights = [len(segment.text.split()) for segment in self.segments]
        total = sum(weights)
        pairs = zip(self.segments, weights, strict=True)
        return sum(segment.confidence * weight for segment, weight in pairs) / total if total else 0.0


def shift_words(words: Sequence[Word], by_s: float) -> tuple[Word, ...]:
    """The same words, later by ``by_s`` seconds."""
    return tuple(replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in words)


def merge_legs(legs: Mapping[str, Transcript]) -> Transcript:
    """One transcript of a call out of one for each leg: all segments by time, each with the name of its leg.

    Segments that begin at once keep the order of the legs.
    """
    segments = [
        replace(segment, leg=name) for name, transcript in legs.items() for segment in transcript.segments
    ]
    guarded = [one for transcript in legs.values() for one in transcript.guarded]
    return Transcript(
        segments=tuple(sorted(segments, key=lambda segment: segment.start_s)),
        duration_s=max((transcript.duration_s for transcript in legs.values()), default=0.0),
        guarded=tuple(sorted(guarded, key=lambda one: one.start_s)),
        legs=tuple(legs),
    )
