"""When each chunk of a live recording is due: pure arithmetic, no clock.

Time counts from the moment at which the first sample is spoken. A chunk can be sent once its last sample was spoken, and
the network may hold it up, never overtake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.units import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
CHUNK_MS = (20, 100)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples ``start`` to ``end`` of a recording, to be sent ``due_s`` after its first sample was spoken."""

    start: int
    end: int
    due_s: float


def schedule(
    num_samples: int, *, seed: int, chunk_ms: tuple[int, int] = CHUNK_MS, jitter_s: float = 0.0
) -> list[Chunk]:
    """Cut a recording into chunks of random lengths, due when spoken plus a delay drawn from [0, ``jitter_s``].

    Args:
        num_samples: of the recording at 16 kHz.
        seed: of lengths and delays.
        chunk_ms: shortest and longest chunk; the last may be shorter.
        jitter_s: longest delay; chunks never overtake each other.
    """
    generator = np.random.default_rng(seed)
    chunks: list[Chunk] = []
    start, due_s = 0, 0.0
    while start < num_samples:
        length = int(generator.integers(chunk_ms[0], chunk_ms[1] + 1)) * SAMPLE_RATE_HZ // 1000
        end = min(start + length, num_samples)
        delay_s = float(generator.uniform(0.0, jitter_s)) if jitter_s else 0.0
        due_s = max(due_s, end / SAMPLE_RATE_HZ + delay_s)
        chunks.append(Chunk(start, end, due_s))
        start = end
    return chunks


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a recording lies in a concatenation, in samples."""

    start: int
    end: int


def concatenate(
    recordings: Sequence[Samples], *, seed: int, pause_s: tuple[float, float]
) -> tuple[Samples, list[Placed]]:
    """Join recordings (T_i,) to one (T,), with a pause of digital silence before each but the first.

    Args:
        recordings: at 16 kHz.
        seed: of the pauses.
        pause_s: shortest and longest pause.

    Returns:
        The samples, and where each recording lies in them.
    """
    generator = np.random.default_rng(seed)
    parts: list[Samples] = []
    placed: list[Placed] = []
    position = 0
    for index, samples in enumerate(recordings):
        if index:
            pause = np.zeros(int(generator.uniform(*pause_s) * SAMPLE_RATE_HZ), np.float32)
            parts.append(pause)
            position += len(pause)
        parts.append(samples)
        placed.append(Placed(position, position + len(samples)))
        position += len(samples)
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), placed
