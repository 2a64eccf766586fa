"""A stream's sessions fed with encoded bytes: PCM of any encoding and rate in, speech events and decode requests out.

Law: any chunking of the bytes, inside samples too, gives the same finals; a channel by itself gives those of its own
stream. T samples, C channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asr.audio.pcm import PcmDecoder
from asr.audio.resample import StreamResampler
from asr.audio.vad import VoiceActivityDetector
from asr.streaming.messages import StreamConfig
from asr.streaming.session import Event, Session

ChannelEvent = tuple[int, Event]
"""The index of a session, and what happened in it."""


class PcmSession:
    """Decodes, resamples and segments one stream: all channels mixed to one, or each by itself.

    Args:
        config: what the client asked for.
        early_finals: whether to ask for a decoding as soon as an utterance may have ended.

    Attributes:
        sessions: what holds the samples, by channel if they are separate, else one; for their clocks.
    """

    def __init__(self, config: StreamConfig, *, early_finals: bool = False) -> None:
        self._decoder = PcmDecoder(config.encoding, config.channel_count)
        self._is_separate = config.separate_channels
        options = replace(config.session_options(), early_finals=early_finals)
        count = range(config.num_legs)
        self._resamplers = [StreamResampler(config.sample_rate_hz) for _ in count]
        self.sessions = tuple(Session(options, VoiceActivityDetector()) for _ in count)

    @property
    def received_s(self) -> float:
        """Audio that every session has, s."""
        return min(session.received_s for session in self.sessions)

    @property
    def settled_s(self) -> float:
        """Audio that is final or silent in every session, s."""
        return min(session.settled_s for session in self.sessions)

    @property
    def skipped_s(self) -> float:
        """Audio without speech, a mean over the sessions, s."""
        return sum(session.skipped_s for session in self.sessions) / len(self.sessions)

    def push(self, payload: bytes) -> list[ChannelEvent]:
        """Take bytes, any number of them."""
        samples = self._legs(self._decoder.push(payload))
        return self._push(
            [resampler.push(leg) for resampler, leg in zip(self._resamplers, samples, strict=True)]
        )

    def finalize(self) -> list[ChannelEvent]:
        """Make all audio so far final; the last milliseconds may still be in the resampler's filter."""
        return [(channel, event) for channel, one in enumerate(self.sessions) for event in one.finalize()]

    def flush(self) -> list[ChannelEvent]:
        """The bytes ended.

        Raises:
            AudioError: they ended inside a sample.
        """
        self._decoder.flush()
        events = self._push([resampler.flush() for resampler in self._resamplers])
        return events + [
            (channel, event) for channel, one in enumerate(self.sessions) for event in one.flush()
        ]

    def _legs(self, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Samples (T,) or (T, C) as one array (T,) for each session."""
        if samples.ndim == 1:
            return [samples]
        if self._is_separate:
            return [np.ascontiguousarray(leg) for leg in samples.T]
        return [samples.mean(axis=1, dtype=np.float32)]

    def _push(self, legs: list[NDArray[np.float32]]) -> list[ChannelEvent]:
        # The filter overshoots at full scale; audio files are clipped as well (asr.audio.files).
        return [
            (channel, event)
            for channel, (session, samples) in enumerate(zip(self.sessions, legs, strict=True))
            for event in session.push(np.clip(samples, -1.0, 1.0))
        ]
