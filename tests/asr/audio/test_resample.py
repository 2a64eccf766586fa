"""Resampling: whole input equals any chunking to the bit; pitch, level and length are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.resample import StreamResampler, resample
from asr.errors import OptionError
from asr.units import SAMPLE_RATE_HZ

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def _noise(num_samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, num_samples).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.sampled_from(RATES),
    num_samples=st.integers(0, 6_000),
    chunks=st.lists(st.integers(1, 3_000), min_size=1, max_size=12),
)
def test_any_chunking_is_bit_identical(rate_hz: int, num_samples: int, chunks: list[int]) -> None:
    samples, resampler, parts, start = _noise(num_samples), StreamResampler(rate_hz), [], 0
    for index in range(num_samples):
        if start >= num_samples:
            break
        stop = start + chunks[index % len(chunks)]
        parts.append(resampler.push(samples[start:stop]))
        start = stop
    parts.append(resampler.flush())
    np.testing.assert_array_equal(np.concatenate(parts), resample(samples, rate_hz))


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_tone_keeps_length_pitch_and_level(rate_hz: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    got = resample(tone, rate_hz)
    assert abs(got.size - SAMPLE_RATE_HZ) <= 1
    np.testing.assert_allclose(got[2000:-2000], expected[2000 : got.size - 2000], atol=2e-3)


def test_16_khz_is_the_identity() -> None:
    samples = _noise(1000)
    np.testing.assert_array_equal(resample(samples, SAMPLE_RATE_HZ), samples)


def test_a_flushed_resampler_starts_anew() -> None:
    resampler, samples = StreamResampler(8_000), _noise(1_234)
    runs = [np.concatenate([resampler.push(samples), resampler.flush()]) for _ in range(2)]
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize("rate_hz", [0, 7_999, 192_001])
def test_rates_outside_the_range_are_refused(rate_hz: int) -> None:
    with pytest.raises(OptionError, match="8000 to 192000"):
        StreamResampler(rate_hz)
