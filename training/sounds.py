"""Sounds in which nobody speaks, for the gate: a model that writes words on them has begun to hallucinate.

Silence, every noise of ``training.augment`` and simple music, all computed from a seed. They are decoded whole: the voice
activity detection passes none of them, and a check behind it would prove nothing about the model. T samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.audio.files import write_audio
from asr.data.manifest import Utterance
from asr.units import SAMPLE_RATE_HZ, to_samples
from training.augment import NOISES, noise

DURATION_S = 8.0
_NOISE_DBFS = (-40.0, -20.0)
_MUSIC_DBFS = -20.0
_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # semitones over the key: I, vi, IV, V
_TEMPOS_BPM = (72, 132)
_NUM_HARMONICS = 6


def write_sounds(folder: Path, *, seed: int) -> list[Utterance]:
    """Write every sound below ``folder`` and return them as utterances with an empty transcript."""
    rows = []
    for name, samples in sounds(seed):
        path = folder / f"{name}.flac"
        write_audio(path, samples)
        rows.append(Utterance(id=name, audio_path=path, duration_s=DURATION_S, text=""))
    return rows


def quiet_rows(folder: Path, *, count: int, seed: int) -> list[Utterance]:
    """``count`` stretches of 1 to 8 s in which nobody speaks, to train on; other sounds than those of another seed."""
    rng = np.random.default_rng(seed)
    rows: list[Utterance] = []
    while len(rows) < count:
        number = len(rows)
        for row in write_sounds(folder / f"{number:04d}", seed=seed + number):
            duration_s = float(rng.uniform(1.0, DURATION_S))
            rows.append(replace(row, id=f"quiet-{number:04d}-{row.id}", duration_s=duration_s))
    return rows[:count]


def sounds(seed: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Names and samples (T,) at 16 kHz; the same seed gives the same samples."""
    num_samples = to_samples(DURATION_S)
    yield "silence", np.zeros(num_samples, np.float32)
    for index, kind in enumerate(NOISES):
        for level_dbfs in _NOISE_DBFS:
            generator = np.random.default_rng([seed, index])
            yield f"{kind}{level_dbfs:.0f}", _at_level(noise(kind, num_samples, generator), level_dbfs)
    for tempo_bpm in _TEMPOS_BPM:
        yield f"music-{tempo_bpm}", _at_level(_music(num_samples, tempo_bpm, seed), _MUSIC_DBFS)


def _music(num_samples: int, tempo_bpm: int, seed: int) -> NDArray[np.float32]:
    """Chords of plucked strings, one a beat, in a key that the seed and the tempo choose."""
    generator = np.random.default_rng([seed, tempo_bpm])
    key_hz = 110.0 * 2 ** (generator.integers(12) / 12)
    beat = to_samples(60 / tempo_bpm)
    times_s = np.arange(num_samples) / SAMPLE_RATE_HZ
    sound = np.zeros(num_samples)
    for number, start in enumerate(range(0, num_samples, beat)):
        since_s = times_s[: num_samples - start]
        for semitones in _CHORDS[number // 4 % len(_CHORDS)]:
            for harmonic in range(1, _NUM_HARMONICS + 1):
                tone = np.sin(2 * np.pi * key_hz * 2 ** (semitones / 12) * harmonic * since_s)
                sound[start:] += tone * np.exp(-3 * harmonic * since_s) / harmonic
    return sound.astype(np.float32)


def _at_level(samples: NDArray[np.float32], level_dbfs: float) -> NDArray[np.float32]:
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return np.asarray(np.clip(samples * np.float32(10 ** (level_dbfs / 20) / rms), -1.0, 1.0), np.float32)
