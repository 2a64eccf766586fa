"""One stream's measurements: told what happens, it observes latencies and counts audio; the clock is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable

from asr.streaming.endpointer import FinalReason
from asr.streaming.messages import RecognitionResult, StreamConfig, StreamUpdate
from asr.streaming.session import DecodeRequest, SpeechStarted
from server.metrics import ModelMetrics


class StreamMetrics:
    """Measures one stream, or one recording.

    Args:
        config: of the stream.
        series: of its model.
        is_live: whether latencies mean anything; of a recording that came whole they do not.
        clock: monotonic, s.
    """

    def __init__(
        self,
        config: StreamConfig,
        series: ModelMetrics,
        *,
        is_live: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._series, self._is_live, self._clock = series, is_live, clock
        self._num_legs = config.num_legs
        self._end_silence_s = config.session_options().end_silence_s
        self._noticed_s: dict[
            int, tuple[int, float]
        ] = {}  # by channel: utterance without an interim yet, and when
        self._asked_s: dict[tuple[int, int], float] = {}  # finals that are due: when their speech ended
        self._silence_s = 0.0
        self._num_skipped = 0

    def speech_started(self, channel: int, event: SpeechStarted) -> None:
        """Speech was noticed."""
        self._noticed_s[channel] = event.utterance_id, self._clock()

    def final_asked(self, channel: int, request: DecodeRequest) -> None:
        """An utterance is over; if silence ended it, its speech ended that much earlier."""
        waited_s = self._end_silence_s if request.final_reason is FinalReason.SILENCE else 0.0
        self._asked_s[channel, request.utterance_id] = self._clock() - waited_s
        self._series.decoded_s.inc(request.end_s - request.start_s)

    def sent(self, update: StreamUpdate) -> None:
        """A client was told."""
        result = update.event
        if not isinstance(result, RecognitionResult):
            return
        now_s = self._clock()
        if result.is_final:
            asked_s = self._asked_s.pop((result.channel, result.utterance_id), now_s)
            self._noticed_s.pop(result.channel, None)
        if not self._is_live:
            return
        self._series.lag.observe(update.progress.lag_s)
        if result.is_final:
            self._series.final_latency.observe(now_s - asked_s)
            return
        utterance_id, noticed_s = self._noticed_s.get(result.channel, (0, 0.0))
        if utterance_id == result.utterance_id:
            self._series.first_interim.observe(now_s - noticed_s)
            del self._noticed_s[result.channel]

    def skipped(self, silence_s: float, num_interims: int) -> None:
        """Count what was skipped since the last time.

        Args:
            silence_s: audio without speech, of all so far; a mean over the legs.
            num_interims: interims that were not decoded, of all so far.
        """
        new_s = max(
            0.0, silence_s - self._silence_s
        )  # an utterance may begin a little before what was settled
        self._series.silence_s.inc(new_s * self._num_legs)
        self._series.interims_skipped.inc(num_interims - self._num_skipped)
        self._silence_s, self._num_skipped = self._silence_s + new_s, num_interims
