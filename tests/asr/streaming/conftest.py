"""Synthesised speech for the streaming tests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.audio.resample import resample


@pytest.fixture(scope="session")
def two_sentences() -> NDArray[np.float32]:
    """Two sentences at 16 kHz with 1.2 s of silence between and 1 s after."""
    import hibari

    voice = hibari.Hibari()
    parts = [voice("Could I order a refill, please?", seed=1), np.zeros(int(1.2 * hibari.SAMPLE_RATE))]
    parts += [voice("Yes, the blue one.", seed=2), np.zeros(hibari.SAMPLE_RATE)]
    return resample(np.concatenate(parts).astype(np.float32), hibari.SAMPLE_RATE)
