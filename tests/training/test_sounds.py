"""The sounds of the gate: nobody speaks in them, they are loud enough to be heard, and a seed decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.data.manifest import load_samples
from asr.evaluation.evaluate import evaluate_texts
from training.augment import NOISES
from training.segments import MeasuredSegments
from training.sounds import DURATION_S, sounds, write_sounds


def test_there_is_silence_every_noise_and_music() -> None:
    names = [name for name, _ in sounds(0)]
    assert len(names) == len(set(names))
    assert names[0] == "silence" and sum(name.startswith("music") for name in names) == 2
    assert all(any(name.startswith(kind) for name in names) for kind in NOISES)


def test_each_has_the_level_of_its_name() -> None:
    for name, samples in sounds(3):
        assert samples.dtype == np.float32 and samples.shape == (int(DURATION_S * 16_000),)
        rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
        expected = 0.0 if name == "silence" else 0.1 if "music" in name else 10 ** (int(name[-3:]) / 20)
        assert rms == pytest.approx(expected, rel=0.02), name


def test_the_seed_decides() -> None:
    first, again, other = ([samples for _, samples in sounds(seed)] for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first[1:], other[1:], strict=True))


def test_they_are_decoded_although_no_voice_is_detected(tmp_path: Path) -> None:
    rows = write_sounds(tmp_path, seed=0)
    segments = MeasuredSegments(num_workers=2)
    segments.prepare(rows, lambda: None)
    assert segments.of(rows) == []
    segments.prepare(rows, lambda: None, whole=True)
    assert [len(samples) for samples in segments.of(rows)] == [8 * 16_000] * len(rows)
    assert segments.joined([row.id for row in rows], rows) == [row.id for row in rows]


def test_every_word_on_them_is_an_insertion(tmp_path: Path) -> None:
    rows = write_sounds(tmp_path, seed=0)
    assert all(len(load_samples(row)) == row.duration_s * 16_000 for row in rows)
    scored = evaluate_texts(rows, ["thank you"] + [""] * (len(rows) - 1))
    assert scored.words is not None and scored.words.insertions == scored.words.errors == 2
