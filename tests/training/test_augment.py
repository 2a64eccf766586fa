"""Augmentation: seeded to the byte, length kept, and each stage does what its numbers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import OptionError
from training.augment import (
    NO_AUGMENTATION,
    NOISES,
    TELEPHONE_CODECS,
    AugmentOptions,
    active_rms,
    augment,
    noise,
    room_response,
    telephone,
)

RATE = 16_000
ALWAYS = AugmentOptions(
    gain_probability=1.0, room_probability=1.0, noise_probability=1.0, telephone_probability=1.0
)


def _bursts(seconds: float = 2.0) -> np.ndarray:
    """A tone that is on and off every quarter of a second."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 700 * times) * (times % 0.5 < 0.25)).astype(np.float32)


def _power_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(samples.size, 1 / RATE)
    return float(10 * np.log10(np.mean(power[(frequency >= low_hz) & (frequency < high_hz)]) + 1e-12))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63), num_samples=st.integers(0, 9_000), scale=st.floats(0, 1))
def test_same_seed_same_bytes_same_length_in_range(seed: int, num_samples: int, scale: float) -> None:
    samples = (scale * np.random.default_rng(1).uniform(-1, 1, num_samples)).astype(np.float32)
    before = samples.copy()
    got = augment(samples, seed, ALWAYS)
    assert got.tobytes() == augment(samples, seed, ALWAYS).tobytes()
    assert got.shape == samples.shape and got.dtype == np.float32
    assert np.isfinite(got).all() and np.max(np.abs(got), initial=0.0) <= 1.0
    np.testing.assert_array_equal(samples, before)


def test_no_augmentation_is_the_identity_and_seeds_differ() -> None:
    samples = _bursts()
    np.testing.assert_array_equal(augment(samples, 5, NO_AUGMENTATION), samples)
    assert len({augment(samples, seed, ALWAYS).tobytes() for seed in range(10)}) == 10


def test_stages_draw_independently() -> None:
    samples = _bursts()
    noisy = replace(NO_AUGMENTATION, noise_probability=1.0)
    louder = replace(noisy, gain_probability=1.0, gain_db=(-6.0, -6.0))
    for seed in range(5):
        np.testing.assert_allclose(
            augment(samples, seed, louder), augment(samples, seed, noisy) * 10 ** (-6 / 20), atol=1e-6
        )


def test_probabilities_are_met() -> None:
    samples = _bursts(0.1)
    options = replace(NO_AUGMENTATION, gain_probability=0.3, gain_db=(-9.0, -3.0))
    changed = sum(not np.array_equal(augment(samples, seed, options), samples) for seed in range(1_000))
    assert changed == pytest.approx(300, abs=45)


@pytest.mark.parametrize("snr_db", [8.0, 20.0, 40.0])
def test_noise_has_the_snr_that_was_asked_for(snr_db: float) -> None:
    samples = _bursts()
    options = replace(NO_AUGMENTATION, noise_probability=1.0, noise_snr_db=(snr_db, snr_db))
    for seed in range(6):
        added = augment(samples, seed, options) - samples
        got_db = 20 * np.log10(active_rms(samples) / np.sqrt(np.mean(added**2)))
        assert got_db == pytest.approx(snr_db, abs=0.2)


def test_the_active_level_does_not_depend_on_pauses() -> None:
    speech = _bursts()
    padded = np.concatenate([np.zeros(RATE, np.float32), speech, np.zeros(RATE, np.float32)])
    assert active_rms(padded) == pytest.approx(active_rms(speech))
    assert active_rms(speech) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)
    assert active_rms(np.zeros(0, np.float32)) == active_rms(np.zeros(RATE, np.float32)) == 0.0


@pytest.mark.parametrize("kind", NOISES)
def test_each_noise_is_normalised_and_seeded(kind: str) -> None:
    sound = noise(kind, RATE, np.random.default_rng(3))
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(sound, noise(kind, RATE, np.random.default_rng(3)))
    assert noise(kind, 0, np.random.default_rng(3)).size == 0


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 0.0), ("pink", -3.0), ("brown", -6.0)])
def test_colours_have_their_slopes(kind: str, slope_db: float) -> None:
    sound = noise(kind, 8 * RATE, np.random.default_rng(0))
    got = (_power_db(sound, 2_000, 4_000) - _power_db(sound, 250, 500)) / 3
    assert got == pytest.approx(slope_db, abs=0.4)


@pytest.mark.parametrize("rt60_s", [0.1, 0.3, 0.5])
def test_a_room_decays_in_its_time_and_keeps_the_direct_path(rt60_s: float) -> None:
    response = room_response(rt60_s, 6.0, np.random.default_rng(0))
    assert response[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(response[1:] ** 2)) == pytest.approx(6.0, abs=0.01)
    left = np.cumsum(response[:0:-1] ** 2)[::-1]  # Schroeder's backward integral
    early, late = int(0.1 * left.size) + 320, int(0.5 * left.size) + 320
    slope = 10 * np.log10(left[late] / left[early]) / ((late - early) / RATE)
    assert -60 / slope == pytest.approx(rt60_s, rel=0.2)


def test_a_room_moves_no_word() -> None:
    samples = _bursts()
    options = replace(NO_AUGMENTATION, room_probability=1.0)
    got = augment(samples, 4, options)
    assert active_rms(got) == pytest.approx(active_rms(samples), rel=0.01)
    lags = np.correlate(got[:RATE], samples[:RATE], "full")
    assert abs(int(np.argmax(lags)) - (RATE - 1)) <= 1


@pytest.mark.parametrize("codec", TELEPHONE_CODECS)
@pytest.mark.parametrize("num_samples", [0, 1, 159, 16_001])
def test_a_telephone_keeps_the_length(codec: str, num_samples: int) -> None:
    assert telephone(np.full(num_samples, 0.1, np.float32), codec).size == num_samples


@pytest.mark.parametrize("codec", TELEPHONE_CODECS)
def test_a_telephone_keeps_its_band_alone(codec: str) -> None:
    white = (0.1 * noise("white", 2 * RATE, np.random.default_rng(0))).astype(np.float32)
    call = telephone(white, codec)
    inside = _power_db(call, 600, 3_000)
    assert _power_db(call, 20, 120) < inside - 10  # GSM's own noise fills some of it
    assert _power_db(call, 4_300, 8_000) < inside - 40
    assert abs(inside - _power_db(white, 600, 3_000)) < 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noise_probability", 1.1),
        ("gain_probability", float("nan")),
        ("noise_snr_db", (40.0, 8.0)),
        ("rt60_s", (0.0, 0.5)),
        ("codecs", ("mp3",)),
        ("codecs", ()),
    ],
)
def test_options_outside_their_range_are_named(field: str, value: object) -> None:
    with pytest.raises(OptionError, match=field) as caught:
        AugmentOptions(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field
    with pytest.raises(OptionError, match="mulaw, gsm"):
        telephone(np.zeros(10, np.float32), "amr")
    with pytest.raises(OptionError, match="white"):
        noise("green", 10, np.random.default_rng(0))
