"""The samples of a stream that may still be needed, addressed by their position in the stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SampleBuffer:
    """Appends at the end, forgets at the front; each sample is copied a constant number of times on average.

    Attributes:
        end: samples appended so far, the position of the next one.
    """

    def __init__(self) -> None:
        self._storage: NDArray[np.float32] = np.zeros(0, np.float32)
        self._start = 0  # stream position of storage[0]
        self.end = 0

    def append(self, samples: NDArray[np.float32]) -> None:
        """Take (T,) samples at the end."""
        used = self.end - self._start
        if used + samples.size > self._storage.size:
            self._storage = np.concatenate([self._storage[:used], np.empty(used + samples.size, np.float32)])
        self._storage[used : used + samples.size] = samples
        self.end += samples.size

    def cut(self, start: int, end: int) -> NDArray[np.float32]:
        """A copy of the samples from position ``start`` up to ``end``, all of which must still be held."""
        assert self._start <= start <= end <= self.end, (self._start, start, end, self.end)
        return self._storage[start - self._start : end - self._start].copy()

    def forget_before(self, position: int) -> None:
        """Let go of the samples before ``position``; memory shrinks once they are half of it."""
        dead = min(position, self.end) - self._start
        if dead * 2 > self._storage.size:
            self._storage = self._storage[dead : self.end - self._start].copy()
            self._start += dead
