"""A session fed with encoded bytes: PCM of any encoding and rate in, speech events and decode requests out.

Law: any chunking of the bytes, inside samples too, gives the same finals.
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


class PcmSession:
    """Decodes, resamples and segments one mono stream.

    Args:
        config: what the client asked for.
        early_finals: whether to ask for a decoding as soon as an utterance may have ended.

    Attributes:
        session: what holds the samples; for its clock.
    """

    def __init__(self, config: StreamConfig, *, early_finals: bool = False) -> None:
        self._decoder = PcmDecoder(config.encoding)
        self._resampler = StreamResampler(config.sample_rate_hz)
        options = replace(config.session_options(), early_finals=early_finals)
        self.session = Session(options, VoiceActivityDetector())

    def push(self, payload: bytes) -> list[Event]:
        """Take bytes, any number of them."""
        return self._push(self._resampler.push(self._decoder.push(payload)))

    def finalize(self) -> list[Event]:
        """Make all audio so far final; the last milliseconds may still be in the resampler's filter."""
        return self.session.finalize()

    def flush(self) -> list[Event]:
        """The bytes ended.

        Raises:
            AudioError: they ended inside a sample.
        """
        self._decoder.flush()
        return self._push(self._resampler.flush()) + self.session.flush()

    def _push(self, samples: NDArray[np.float32]) -> list[Event]:
        # The filter overshoots at full scale; audio files are clipped as well (asr.audio.files).
        return self.session.push(np.clip(samples, -1.0, 1.0))
