"""Decides where utterances begin and end, from speech probabilities alone.

Positions are samples at 16 kHz from the start of the stream. No audio in here: ``asr.streaming.session``
holds it and cuts it at these positions.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from asr.audio.vad import VAD_FRAME_SAMPLES
from asr.errors import OptionError
from asr.units import MAX_UTTERANCE_S, to_samples

MIN_SPEECH_FRAMES = 2  # 64 ms: a click is one frame, the shortest word is five
MIN_UTTERANCE_LIMIT_S = 1.0


class FinalReason(enum.StrEnum):
    """Why an utterance ended."""

    SILENCE = "silence"
    MAX_UTTERANCE = "max_utterance"
    CLIENT = "client"
    END_OF_STREAM = "end_of_stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionOptions:
    """When an utterance begins and ends, and what is sent meanwhile.

    The thresholds suit short words at the very start of a recording ("yes", 0.5 s): of 200 real recordings
    none is missed, while a minute of white or pink noise stays below 0.1.

    Attributes:
        end_silence_s: silence after speech that ends an utterance; 0.1 to 10.
        start_threshold: speech probability that opens an utterance, in two frames running.
        stop_threshold: speech probability below which a frame counts as silence; at most ``start_threshold``.
        padding_s: audio kept before and after the speech, never of a neighbour; 0 to 1.
        max_utterance_s: longest utterance with its padding; 1 to 28.
        interim_interval_s: audio between two interim requests of one utterance; at least 0.1.
        interim_results: whether interim requests are made at all.
        early_finals: whether a request is also made when an utterance may have ended: the final one's, if it has.
        start_timeout_s: audio without speech, from the start, after which an event says so; 0.1 to 300, None for never.
        start_offset_s: added to every time; at least 0.

    Raises:
        OptionError: a value outside its range, with ``field`` set.
    """

    end_silence_s: float = 0.8
    start_threshold: float = 0.4
    stop_threshold: float = 0.25
    padding_s: float = 0.3
    max_utterance_s: float = MAX_UTTERANCE_S
    interim_interval_s: float = 0.5
    interim_results: bool = False
    early_finals: bool = False
    start_timeout_s: float | None = None
    start_offset_s: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "end_silence_s": (0.1, 10.0),
            "start_threshold": (0.01, 0.99),
            "stop_threshold": (0.01, self.start_threshold),
            "padding_s": (0.0, 1.0),
            "max_utterance_s": (MIN_UTTERANCE_LIMIT_S, MAX_UTTERANCE_S),
            "interim_interval_s": (0.1, 60.0),
            "start_timeout_s": (0.1, 300.0),
            "start_offset_s": (0.0, 1e7),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN is refused as well
                message = f"{name} is {value:g}, outside {low:g} to {high:g}; choose a value within"
                raise OptionError(message, field=name)


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceStart:
    """An utterance begins: its first sample with padding, and the first sample of speech."""

    start: int
    speech_start: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UtteranceEnd:
    """The open utterance ends before sample ``end``; its speech ended before ``speech_end``."""

    end: int
    speech_end: int
    reason: FinalReason


Boundary = UtteranceStart | UtteranceEnd


class Endpointer:
    """The state machine: silence until two frames of speech, speech until enough silence.

    Attributes:
        searched: samples whose speech probability is known.
        start: first sample of the open utterance, or None between utterances.
    """

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._padding = to_samples(options.padding_s)
        self._end_silence = to_samples(options.end_silence_s)
        self._max_utterance = to_samples(options.max_utterance_s)
        self._last_probs: deque[float] = deque(maxlen=self._max_utterance // 4 // VAD_FRAME_SAMPLES)
        self.searched = 0
        self.start: int | None = None
        self._speech_end = 0
        self._floor = 0  # no later utterance begins before this sample
        self._speech_run = 0  # frames of speech running, while no utterance is open

    @property
    def settled(self) -> int:
        """Samples that are final or silent: no utterance to come will hold one of them."""
        if self.start is not None:
            return self.start
        return max(self._floor, self._candidate - self._padding, 0)

    @property
    def likely_end(self) -> int | None:
        """Where the open utterance ends if nothing more is said: known once the padding behind its speech has come."""
        end = self._speech_end + self._padding
        return end if self.start is not None and self.start < self.searched and end <= self.searched else None

    @property
    def _candidate(self) -> int:
        """Where speech would begin if the next frame confirmed it."""
        return self.searched - self._speech_run * VAD_FRAME_SAMPLES

    def push(self, speech_prob: float) -> list[Boundary]:
        """Take the next frame's speech probability; give the boundaries that it decides."""
        self.searched += VAD_FRAME_SAMPLES
        self._last_probs.append(speech_prob)
        if self.start is None:
            return self._search(speech_prob)
        if speech_prob >= self._options.stop_threshold:
            self._speech_end = self.searched
        if self.searched - self._speech_end >= self._end_silence:
            return [self._end(self.searched, FinalReason.SILENCE)]
        if self.searched + VAD_FRAME_SAMPLES - self.start > self._max_utterance:
            return self._cut()
        return []

    def close(self, num_samples: int, reason: FinalReason) -> list[Boundary]:
        """End what is open now that ``num_samples`` samples have come; later utterances start after them.

        Speech that has only just begun, too short yet to open an utterance, is left to the next one, if any.
        """
        if reason is FinalReason.END_OF_STREAM:
            self._speech_run = 0
        boundaries: list[Boundary] = [] if self.start is None else [self._end(num_samples, reason)]
        self._floor = num_samples if self._speech_run == 0 else max(self._floor, self._candidate)
        return boundaries

    def _search(self, speech_prob: float) -> list[Boundary]:
        self._speech_run = self._speech_run + 1 if speech_prob >= self._options.start_threshold else 0
        if self._speech_run < MIN_SPEECH_FRAMES:
            return []
        speech_start = max(self._candidate, self._floor)
        start = max(speech_start - self._padding, self._floor, 0)
        self.start, self._speech_end, self._speech_run = start, self.searched, 0
        return [UtteranceStart(start=start, speech_start=speech_start)]

    def _end(self, limit: int, reason: FinalReason) -> UtteranceEnd:
        """Close with padding after the speech, but before sample ``limit``."""
        end = min(self._speech_end + self._padding, limit)
        self.start, self._floor = None, end
        return UtteranceEnd(end=end, speech_end=min(self._speech_end, end), reason=reason)

    def _cut(self) -> list[Boundary]:
        """Cut in the middle of the least speech-like frame of the last quarter; speech after it goes on."""
        probs = list(self._last_probs)
        frames_back = len(probs) - probs.index(min(probs))
        cut = self.searched - frames_back * VAD_FRAME_SAMPLES + VAD_FRAME_SAMPLES // 2
        goes_on = self._speech_end > cut
        end = self._end(cut, FinalReason.MAX_UTTERANCE)
        if not goes_on:
            return [end]
        self.start = cut
        return [end, UtteranceStart(start=cut, speech_start=cut)]
