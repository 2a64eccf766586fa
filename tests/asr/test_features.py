"""Our log-mel equals the one of transformers, at every length where padding could differ."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from asr.features import log_mel
from asr.units import WHISPER_WINDOW_SAMPLES


@pytest.mark.parametrize(
    "num_samples", [1, 100, 199, 200, 201, 16_000, 50_001, 479_799, 479_801, 479_999, 480_000, 500_000]
)
@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_equal_to_transformers(num_samples: int, num_mel_bins: int) -> None:
    samples = np.random.default_rng(num_samples).normal(scale=0.1, size=num_samples).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    expected = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
    np.testing.assert_allclose(log_mel(samples, num_mel_bins=num_mel_bins), expected, atol=2e-5)


def test_no_samples_are_silence() -> None:
    silence = log_mel(np.zeros(WHISPER_WINDOW_SAMPLES, np.float32))
    np.testing.assert_allclose(log_mel(np.zeros(0, np.float32)), silence, atol=1e-6)


def test_a_shorter_window_is_the_beginning_of_a_longer_one_but_for_its_last_frames() -> None:
    samples = np.random.default_rng(0).normal(scale=0.1, size=48_000).astype(np.float32)
    whole, part = log_mel(samples, num_frames=3000), log_mel(samples, num_frames=300)
    assert part.shape == (80, 300)
    np.testing.assert_allclose(part[:, :297], whole[:, :297], atol=1e-5)
