"""Pacing: nothing is sent before it was spoken, nothing overtakes, nothing is lost; joined recordings lie where said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.measure.pacing import concatenate, schedule

SECOND = 16_000


def test_chunks_of_one_length_are_due_when_their_last_sample_was_spoken() -> None:
    chunks = schedule(SECOND // 4, seed=0, chunk_ms=(100, 100))
    assert [(c.start, c.end, c.due_s) for c in chunks] == [
        (0, 1600, 0.1),
        (1600, 3200, 0.2),
        (3200, 4000, 0.25),
    ]


@pytest.mark.parametrize("jitter_s", [0.0, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_chunks_cover_the_recording_in_order(seed: int, jitter_s: float) -> None:
    chunks = schedule(10 * SECOND + 7, seed=seed, jitter_s=jitter_s)
    assert chunks[0].start == 0
    assert chunks[-1].end == 10 * SECOND + 7
    for before, after in itertools.pairwise(chunks):
        assert before.end == after.start
        assert before.due_s <= after.due_s
    assert all(320 <= chunk.end - chunk.start <= 1600 for chunk in chunks[:-1])
    assert all(chunk.end / SECOND <= chunk.due_s for chunk in chunks)
    assert max(chunk.due_s - chunk.end / SECOND for chunk in chunks) <= jitter_s


def test_one_seed_one_schedule() -> None:
    first, again, other = (schedule(5 * SECOND, seed=seed, jitter_s=0.1) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_silence_is_an_empty_schedule() -> None:
    assert schedule(0, seed=0) == []


def test_joined_recordings_lie_where_said_with_silence_between() -> None:
    recordings = [np.full(length, value, np.float32) for length, value in ((100, 0.1), (50, 0.2), (70, 0.3))]
    samples, placed = concatenate(recordings, seed=5, pause_s=(0.3, 2.0))
    for recording, place in zip(recordings, placed, strict=True):
        np.testing.assert_array_equal(samples[place.start : place.end], recording)
    assert placed[0].start == 0
    assert placed[-1].end == len(samples)
    for before, after in itertools.pairwise(placed):
        assert 0.3 * SECOND - 1 <= after.start - before.end <= 2.0 * SECOND
        assert not samples[before.end : after.start].any()


def test_joining_nothing_is_empty() -> None:
    samples, placed = concatenate([], seed=0, pause_s=(0.3, 2.0))
    assert len(samples) == 0
    assert placed == []
