"""Augmented copies of recordings: another pace, and the room, noise, level and telephone of ``training.augment``.

A copy follows from its recording's id, its number and the seed; copies on disk are kept. The original stays as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.audio.files import audio_duration_s, write_audio
from asr.audio.resample import resample
from asr.data.manifest import Utterance, load_samples
from asr.units import MAX_UTTERANCE_S, SAMPLE_RATE_HZ, to_seconds
from training.augment import AugmentOptions, Range, augment

SPEED: Range = (
    0.9,
    1.1,
)  # pitch and pace together, as Ko et al. 2015 do it (Interspeech, "Audio augmentation")


def augmented_copies(
    rows: Sequence[Utterance], folder: Path, *, copies: int, seed: int, on_done: Callable[[], None]
) -> list[Utterance]:
    """``copies`` augmented copies of every recording, below ``folder``.

    Args:
        rows: recordings.
        folder: of this job.
        copies: of each.
        seed: of everything drawn.
        on_done: called once a copy.
    """
    made = []
    for row in rows:
        for number in range(1, copies + 1):
            made.append(_copy(row, folder, number, seed))
            on_done()
    return made


def _copy(row: Utterance, folder: Path, number: int, seed: int) -> Utterance:
    key = np.random.SeedSequence([seed, zlib.crc32(row.id.encode()), number])
    path = folder / f"{zlib.crc32(row.id.encode()):08x}-{len(row.id)}-{number}.flac"
    if not path.is_file():
        speed_seed, augment_seed = (int(state) for state in key.generate_state(2))
        samples = at_speed(load_samples(row), float(np.random.default_rng(speed_seed).uniform(*SPEED)))
        write_audio(path, augment(samples, augment_seed, AugmentOptions()))
    return replace(
        row, id=f"{row.id}+{number}", audio_path=path, duration_s=audio_duration_s(path), offset_s=0.0,
        channel=None,
    )  # fmt: skip


def at_speed(samples: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Samples (T,) played ``factor`` times as fast, (about T / factor,); never slower than a segment may last."""
    factor = max(factor, to_seconds(len(samples)) / MAX_UTTERANCE_S)
    return resample(samples, round(SAMPLE_RATE_HZ * factor))
