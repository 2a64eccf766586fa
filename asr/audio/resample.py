"""Resampling to 16 kHz by soxr (HQ), streaming and whole, with one result for any chunking.

soxr is fed blocks of a fixed size, so the arithmetic never depends on how samples arrive; the cost is at most
one block (10 ms) of waiting on top of the filter's own delay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import OptionError
from asr.units import SAMPLE_RATE_HZ

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000


class StreamResampler:
    """Resamples a mono stream to 16 kHz.

    Law: for any chunking, the concatenation of all ``push`` results and ``flush`` is bit-identical.

    Args:
        source_rate_hz: rate of the samples that come, 8000 to 192000.

    Raises:
        OptionError: the rate is outside that range.
    """

    def __init__(self, source_rate_hz: int) -> None:
        if not MIN_RATE_HZ <= source_rate_hz <= MAX_RATE_HZ:
            raise OptionError(
                f"a sample rate of {source_rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz; "
                "resample the audio before or correct the rate",
                field="sample_rate_hz",
            )
        self.source_rate_hz = source_rate_hz
        self._block_samples = source_rate_hz // 100
        self._rest: NDArray[np.float32] = np.zeros(0, np.float32)
        self._stream = self._open()

    def _open(self) -> Any:
        if self.source_rate_hz == SAMPLE_RATE_HZ:
            return None
        import soxr

        return soxr.ResampleStream(self.source_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take (T,) at the source rate; give what is ready at 16 kHz, possibly nothing."""
        if self._stream is None:
            return samples
        pending = np.concatenate([self._rest, samples]) if self._rest.size else samples
        whole = pending.size - pending.size % self._block_samples
        self._rest = pending[whole:].copy()
        blocks = pending[:whole].reshape(-1, self._block_samples)
        return _joined([self._stream.resample_chunk(block) for block in blocks])

    def flush(self) -> NDArray[np.float32]:
        """End the stream: the rest at 16 kHz. The resampler is then ready for a new stream."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        tail = np.asarray(self._stream.resample_chunk(self._rest, last=True), np.float32)
        self._rest = np.zeros(0, np.float32)
        self._stream.clear()
        return tail


def resample(samples: NDArray[np.float32], source_rate_hz: int) -> NDArray[np.float32]:
    """(T,) at ``source_rate_hz`` to 16 kHz, bit-identical to ``StreamResampler`` in any chunking.

    Raises:
        OptionError: the rate is outside 8000 to 192000 Hz.
    """
    resampler = StreamResampler(source_rate_hz)
    return _joined([resampler.push(np.asarray(samples, np.float32)), resampler.flush()])


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
