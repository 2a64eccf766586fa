"""The forecast: known laws are recovered, the interval holds the next run as often as it says, bad input is an error."""

from __future__ import annotations

import numpy as np
import pytest

from asr.errors import InputError
from training.forecast import CurveRun, FittedCurve, PowerLaw, fit_curve, fit_power_law

HOURS = (0.125, 0.125, 0.25, 0.25, 0.5, 0.5, 1.0)
SPEAKERS, WORDS = 16, 60


@pytest.mark.parametrize(
    "law",
    [
        PowerLaw(floor=0.05, scale=0.1, exponent=0.5, unit_hours=1.0),
        PowerLaw(floor=0.0, scale=0.08, exponent=1.0, unit_hours=1.0),
        PowerLaw(floor=0.2, scale=0.02, exponent=1.5, unit_hours=1.0),
    ],
)
def test_a_law_without_noise_is_recovered(law: PowerLaw) -> None:
    floor, scale, exponent = fit_power_law(HOURS, [law.at(one) for one in HOURS], np.ones(len(HOURS)))
    assert (floor[0], scale[0], exponent[0]) == pytest.approx((law.floor, law.scale, law.exponent), abs=1e-6)


def test_errors_that_rise_give_no_negative_scale_and_no_negative_floor() -> None:
    errors = np.array([[0.1, 0.2, 0.3], [0.4, 0.1, 0.0]])
    floors, scales, _ = fit_power_law([1.0, 2.0, 4.0], errors, np.ones(3))
    assert floors[0] == pytest.approx(0.2) and scales[0] == 0
    assert floors.min() >= 0 and scales.min() >= 0


def _observed(law: PowerLaw, generator: np.random.Generator, scatter: float = 0.1) -> FittedCurve:
    """Runs of a law: Poisson errors of speakers who differ, and runs that scatter."""
    voices = generator.gamma(4.0, 0.25, SPEAKERS)
    runs = []
    for hours in HOURS:
        rate = law.at(hours) * np.exp(generator.normal(0, scatter))
        runs.append(CurveRun(hours=hours, errors=tuple(generator.poisson(rate * voices * WORDS).tolist())))
    base = tuple(generator.poisson(0.4 * voices * WORDS).tolist())
    return fit_curve(runs, base, [WORDS] * SPEAKERS, [f"s{i}" for i in range(SPEAKERS)], resamples=500)


@pytest.mark.parametrize(
    "law",
    [
        PowerLaw(floor=0.05, scale=0.1, exponent=0.5, unit_hours=1.0),
        PowerLaw(floor=0.0, scale=0.02, exponent=1.2, unit_hours=1.0),
        PowerLaw(floor=0.25, scale=0.0, exponent=1.0, unit_hours=1.0),
    ],
)
def test_the_interval_holds_the_next_run_and_the_forecast_is_near(law: PowerLaw) -> None:
    generator = np.random.default_rng(1)
    covered, ratios = [], []
    for _ in range(100):
        forecast = _observed(law, generator).at(2.0)
        actual = law.at(2.0) * np.exp(generator.normal(0, 0.1))
        covered.append(forecast.low <= actual <= forecast.high)
        ratios.append(forecast.error / law.at(2.0))
    assert np.mean(covered) >= 0.9
    assert 0.85 < np.median(ratios) < 1.15


def test_more_audio_than_was_run_is_less_certain() -> None:
    law = PowerLaw(floor=0.05, scale=0.1, exponent=0.5, unit_hours=1.0)
    curve = _observed(law, np.random.default_rng(2))
    widths = [curve.at(hours).high / curve.at(hours).low for hours in (1.0, 4.0, 32.0)]
    assert widths == sorted(widths)
    assert curve.unit == "speaker" and curve.prob_better == 1.0


def test_no_errors_in_a_small_dev_are_not_a_rate_of_zero() -> None:
    runs = [CurveRun(hours=hours, errors=(0,) * 10) for hours in (1.0, 2.0, 4.0)]
    forecast = fit_curve(runs, (3,) * 10, (20,) * 10, [f"s{i}" for i in range(10)]).at(8.0)
    assert forecast.error == 0.0
    assert 1 / 200 < forecast.high < 5 / 200  # 2.5 errors are what 95 % allow


def test_few_speakers_are_drawn_by_utterance() -> None:
    runs = [CurveRun(hours=hours, errors=(2, 1, 0)) for hours in (1.0, 2.0, 4.0)]
    assert fit_curve(runs, (2, 2, 2), (9, 9, 9), ["a", "a", "b"]).unit == "utterance"


@pytest.mark.parametrize(("hours", "words"), [((1.0, 2.0, 2.0), 5), ((1.0, 2.0, 4.0), 0)])
def test_too_little_to_fit_is_an_error(hours: tuple[float, ...], words: int) -> None:
    runs = [CurveRun(hours=one, errors=(1,)) for one in hours]
    with pytest.raises(InputError, match=r"3 or more|transcripts"):
        fit_curve(runs, (1,), (words,), ("a",))
