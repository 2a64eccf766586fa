"""One stream's session: samples in, speech events and decode requests out.

Sans-IO: it neither decodes nor waits. Whoever drives it decodes each request and keeps the answers in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asr.streaming.buffer import SampleBuffer
from asr.streaming.endpointer import (
    Boundary,
    Endpointer,
    FinalReason,
    SessionOptions,
    UtteranceEnd,
    UtteranceStart,
)
from asr.units import to_samples, to_seconds

__all__ = [
    "DecodeRequest",
    "Event",
    "Session",
    "SessionOptions",
    "SpeechAwaited",
    "SpeechEnded",
    "SpeechProbabilities",
    "SpeechStarted",
]


class SpeechProbabilities(Protocol):
    """What a session needs of a voice activity detector."""

    def push(self, samples: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Take (T,) samples; give (N,) speech probabilities, one for each frame that is now whole."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechStarted:
    """Speech of an utterance began at ``time_s``."""

    time_s: float
    utterance_id: int
    channel: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechEnded:
    """Speech of an utterance ended at ``time_s``."""

    time_s: float
    utterance_id: int
    channel: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechAwaited:
    """Nobody has spoken up to ``time_s``, for as long as the options let pass; no utterance belongs to it."""

    time_s: float
    utterance_id: int = 0
    channel: int = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodeRequest:
    """Audio to be decoded: an utterance that ended, or with ``is_final`` false what there is of an open one.

    Attributes:
        utterance_id: increases from 1.
        samples: (T,) float32 at 16 kHz, ``start_s`` to ``end_s``.
        start_s: time of the first sample.
        end_s: time of the end of the last sample.
        is_final: False for an interim request.
        final_reason: set if ``is_final``.
        is_early: not final either, but its samples are the final's if nothing more is said.
    """

    utterance_id: int
    samples: NDArray[np.float32]
    start_s: float
    end_s: float
    is_final: bool
    final_reason: FinalReason | None = None
    is_early: bool = False


Event = SpeechStarted | SpeechEnded | SpeechAwaited | DecodeRequest


class Session:
    """Splits one mono 16 kHz stream into utterances.

    Laws: any chunking gives the same final requests; their audio never overlaps; audio without speech gives
    none.

    Attributes:
        utterance_id: of the open or else the last utterance; 0 before the first.
    """

    def __init__(self, options: SessionOptions, vad: SpeechProbabilities) -> None:
        self._options = options
        self._vad = vad
        self._endpointer = Endpointer(options)
        self._buffer = SampleBuffer()
        self._interim_interval = to_samples(options.interim_interval_s)
        self._last_interim = 0
        self._last_early = 0
        self._num_segmented = 0
        timeout_s = options.start_timeout_s
        self._start_timeout = None if timeout_s is None else to_samples(timeout_s)
        self.utterance_id = 0

    @property
    def received_s(self) -> float:
        """Audio pushed so far, s; without the start offset, as the other two."""
        return to_seconds(self._buffer.end)

    @property
    def settled_s(self) -> float:
        """Audio that is final or silent: no utterance open or to come holds it, s."""
        return to_seconds(min(self._endpointer.settled, self._buffer.end))

    @property
    def skipped_s(self) -> float:
        """Settled audio that was in no utterance, s."""
        return self.settled_s - to_seconds(self._num_segmented)

    @property
    def is_open(self) -> bool:
        """Whether an utterance is open."""
        return self._endpointer.start is not None

    def push(self, samples: NDArray[np.float32]) -> list[Event]:
        """Take (T,) samples, any T; of interim requests only the newest is given."""
        self._buffer.append(samples)
        events: list[Event] = []
        for speech_prob in self._vad.push(samples):
            for boundary in self._endpointer.push(float(speech_prob)):
                events += self._apply(boundary)
            events += self._due_timeout()
        events += self._due_early()
        events += self._due_interim()
        self._buffer.forget_before(self._endpointer.settled)
        return events

    def finalize(self) -> list[Event]:
        """Make all audio so far final now, on the client's wish; the stream goes on."""
        return self._close(FinalReason.CLIENT)

    def flush(self) -> list[Event]:
        """The stream ended: what is open becomes final."""
        return self._close(FinalReason.END_OF_STREAM)

    def _close(self, reason: FinalReason) -> list[Event]:
        boundaries = self._endpointer.close(self._buffer.end, reason)
        return [event for boundary in boundaries for event in self._apply(boundary)]

    def _apply(self, boundary: Boundary) -> list[Event]:
        if isinstance(boundary, UtteranceStart):
            return self._open(boundary)
        return self._final(boundary)

    def _open(self, boundary: UtteranceStart) -> list[Event]:
        self.utterance_id += 1
        self._start = self._last_interim = boundary.start
        return [SpeechStarted(time_s=self._time(boundary.speech_start), utterance_id=self.utterance_id)]

    def _final(self, boundary: UtteranceEnd) -> list[Event]:
        self._num_segmented += boundary.end - self._start
        ended = SpeechEnded(time_s=self._time(boundary.speech_end), utterance_id=self.utterance_id)
        return [ended, self._request(boundary.end, boundary.reason)]

    def _due_timeout(self) -> list[Event]:
        if self._start_timeout is None or self._endpointer.searched < self._start_timeout:
            return []
        timeout, self._start_timeout = self._start_timeout, None
        return [] if self.utterance_id else [SpeechAwaited(time_s=self._time(timeout))]

    def _due_early(self) -> list[Event]:
        end = self._endpointer.likely_end
        if not self._options.early_finals or end is None or end == self._last_early:
            return []
        self._last_early = end
        return [replace(self._request(end, None), is_early=True)]

    def _due_interim(self) -> list[Event]:
        searched = self._endpointer.searched
        due = searched - self._last_interim >= self._interim_interval
        if not (self._options.interim_results and self.is_open and due):
            return []
        self._last_interim = searched
        return [self._request(searched, None)]

    def _request(self, end: int, reason: FinalReason | None) -> DecodeRequest:
        return DecodeRequest(
            utterance_id=self.utterance_id,
            samples=self._buffer.cut(self._start, end),
            start_s=self._time(self._start),
            end_s=self._time(end),
            is_final=reason is not None,
            final_reason=reason,
        )

    def _time(self, position: int) -> float:
        return to_seconds(position) + self._options.start_offset_s
