"""Augmented copies of recordings: repeatable, different, of the pace that was drawn, and never too long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.data.manifest import Utterance, load_samples
from training.copies import SPEED, at_speed, augmented_copies


@pytest.fixture
def rows(spoken_utterances: list[Utterance]) -> list[Utterance]:
    return [replace(row, speaker="a") for row in spoken_utterances]


def _copies(rows: list[Utterance], folder: Path, seed: int) -> list[Utterance]:
    return augmented_copies(rows, folder, copies=2, seed=seed, on_done=lambda: None)


def test_copies_keep_what_was_said_and_by_whom_and_follow_from_the_seed(
    rows: list[Utterance], tmp_path: Path
) -> None:
    made = _copies(rows, tmp_path / "a", seed=1)
    assert len({row.id for row in (*rows, *made)}) == 3 * len(rows)
    assert [(row.text, row.speaker) for row in made[::2]] == [(row.text, row.speaker) for row in rows]
    again, other = _copies(rows, tmp_path / "b", seed=1), _copies(rows, tmp_path / "c", seed=2)
    for first, second, third in zip(made, again, other, strict=True):
        assert np.array_equal(load_samples(first), load_samples(second))
        assert not np.array_equal(load_samples(first), load_samples(third))
    assert not np.array_equal(load_samples(made[0]), load_samples(made[1]))


def test_the_pace_is_within_its_range_and_the_duration_is_the_files(
    rows: list[Utterance], tmp_path: Path
) -> None:
    for index, copy in enumerate(_copies(rows, tmp_path / "a", seed=3)):
        factor = rows[index // 2].duration_s / copy.duration_s
        assert SPEED[0] - 0.01 < factor < SPEED[1] + 0.01
        assert len(load_samples(copy)) == pytest.approx(copy.duration_s * 16_000, abs=1)


def test_a_tone_rises_with_the_pace_and_a_long_recording_is_not_made_longer() -> None:
    time_s = np.arange(16_000) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)
    faster = at_speed(tone, 1.1)
    peak = np.abs(np.fft.rfft(faster * np.hanning(len(faster)))).argmax() * 16_000 / len(faster)
    assert peak == pytest.approx(1100, abs=3)
    assert len(at_speed(np.zeros(28 * 16_000, np.float32), 0.9)) <= 28 * 16_000 + 1
