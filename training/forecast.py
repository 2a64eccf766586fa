"""From the errors of a few short runs to what more audio would bring: a power law with a floor, and its interval.

error(h) = floor + scale * h^-exponent, all three bounded below by 0. Sources: Hestness et al. 2017 (arXiv 1712.00409) for
the law, Golub and Pereyra 1973 for its fit. Knows nothing of models. N runs, U units of dev, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr.errors import InputError
from asr.evaluation.significance import CONFIDENCE, MIN_BLOCKS

MIN_SIZES = 3  # different amounts of audio: the law has three parameters
RESAMPLES = 2000
EXPONENTS = np.linspace(0.05, 3.0, 60)
PRIOR_SCATTER = 0.15  # of two runs on equally much audio, relative; what a few runs show is averaged with it
PRIOR_RUNS = 2.0  # how many runs the prior counts for

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveRun:
    """What one run learned from, and how many errors each unit of dev has after it.

    Attributes:
        hours: of audio, more than 0.
        errors: (U,).
    """

    hours: float
    errors: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """error = floor + scale * (hours / unit_hours) ** -exponent."""

    floor: float
    scale: float
    exponent: float
    unit_hours: float

    def at(self, hours: float) -> float:
        """The error, a share, after ``hours`` of audio."""
        return self.floor + self.scale * float((hours / self.unit_hours) ** -self.exponent)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """An expected error rate, a share, with its 95 % interval: of dev's speakers, of the runs' scatter and of the fit."""

    hours: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedCurve:
    """The law of some runs, and the laws of their resamples.

    Attributes:
        law: fitted to the runs as they are.
        scatter: relative standard deviation of a run around the law.
        prob_better: share of the resamples of dev in which the run on most audio has fewer errors than the base.
        unit: what was resampled: "speaker", or "utterance" where speakers are too few.
    """

    law: PowerLaw
    scatter: float
    prob_better: float
    unit: str
    _draws: tuple[
        _Array, _Array, _Array, _Array
    ]  # floors, scales, exponents and a new run's scatter, each (R,)

    def at(self, hours: float) -> Forecast:
        """What a run on ``hours`` of audio is expected to give."""
        floors, scales, exponents, scatter = self._draws
        drawn = (floors + scales * (hours / self.law.unit_hours) ** -exponents) * scatter
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail])
        error = self.law.at(hours)
        return Forecast(hours=hours, error=error, low=min(float(low), error), high=max(float(high), error))


def fit_curve(
    runs: Sequence[CurveRun],
    base_errors: Sequence[int],
    num_reference: Sequence[int],
    blocks: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FittedCurve:
    """Fit the law to runs of one recipe on different amounts of audio.

    The interval: dev's units are drawn anew, the same for all runs, half an error of a Gamma prior is added (no errors
    in a small dev are not a rate of 0), each rate is scattered as runs do, and the law is fitted again.

    Args:
        runs: two of the same amount show how runs scatter.
        base_errors: (U,) without any adaptation.
        num_reference: (U,) reference words of each unit.
        blocks: (U,) whose utterance it is.
        resamples: R.
        seed: of what is drawn.

    Raises:
        InputError: fewer than ``MIN_SIZES`` amounts of audio, or dev has no words.
    """
    if len({run.hours for run in runs}) < MIN_SIZES:
        raise InputError(
            f"{len({run.hours for run in runs})} amounts of audio; a curve needs runs on {MIN_SIZES} or more"
        )
    if not sum(num_reference):
        raise InputError("dev has no words to count errors on; it needs transcripts")
    generator = np.random.default_rng(seed)
    table, unit = _by_block(np.array([*(run.errors for run in runs), base_errors, num_reference]).T, blocks)
    counts = generator.multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
    drawn = counts @ table  # (R, N + 2)
    words = np.maximum(drawn[:, -1:], 1.0)
    rates = table[:, :-2].sum(0) / table[:, -1].sum()
    resampled = (drawn[:, :-2] + generator.gamma(0.5, size=(resamples, 1))) / words
    hours = np.array([run.hours for run in runs])
    least = 1.0 / table[:, -1].sum()
    weights = 1.0 / (resampled.var(0) + (PRIOR_SCATTER * np.maximum(rates, least)) ** 2)
    unit_hours = float(hours.max())
    floor, scale, exponent = (float(part[0]) for part in fit_power_law(hours / unit_hours, rates, weights))
    law = PowerLaw(floor=floor, scale=scale, exponent=exponent, unit_hours=unit_hours)
    scatter = _scatter(rates, np.array([law.at(one) for one in hours]), least)
    around = generator.standard_normal((resamples, len(runs) + 1)) * scatter
    factors = np.exp(around - scatter**2 / 2)
    laws = fit_power_law(hours / unit_hours, resampled * factors[:, :-1], weights)
    largest = int(np.argmax(hours))
    return FittedCurve(
        law=law,
        scatter=scatter,
        prob_better=float(np.mean(drawn[:, largest] < drawn[:, -2])),
        unit=unit,
        _draws=(*laws, factors[:, -1]),
    )


def fit_power_law(hours: ArrayLike, errors: ArrayLike, weights: ArrayLike) -> tuple[_Array, _Array, _Array]:
    """Least squares of the law for R curves at once: floors, scales and exponents, each (R,).

    For a given exponent the law is linear, and its best floor and scale are known in closed form; the exponent is the
    best of ``EXPONENTS``. No start values, no local minimum.

    Args:
        hours: (N,), positive.
        errors: (N,) or (R, N).
        weights: (N,), inverse variances.
    """
    rates = np.atleast_2d(np.asarray(errors, float))
    weight = np.asarray(weights, float) / np.sum(weights)
    basis = np.asarray(hours, float)[None, :] ** -EXPONENTS[:, None]  # (G, N)
    mean_basis = basis @ weight  # (G,)
    mean_rate = rates @ weight  # (R,)
    square = (basis**2) @ weight
    product = (rates * weight) @ basis.T  # (R, G)
    spread = np.maximum(square - mean_basis**2, 1e-12)
    scales = np.maximum((product - mean_rate[:, None] * mean_basis) / spread, 0.0)
    floors = mean_rate[:, None] - scales * mean_basis
    without_floor = product / square
    scales = np.where(floors < 0, without_floor, scales)
    floors = np.maximum(floors, 0.0)
    fitted_square = floors**2 + 2 * floors * scales * mean_basis + scales**2 * square
    loss = fitted_square - 2 * (floors * mean_rate[:, None] + scales * product)  # but for a constant
    best = np.argmin(loss, axis=1)
    rows = np.arange(len(rates))
    return floors[rows, best], scales[rows, best], EXPONENTS[best]


def _scatter(rates: _Array, fitted: _Array, least: float) -> float:
    """Relative scatter of the runs around the law, averaged with the prior; three parameters were fitted."""
    relative = (rates - fitted) / np.maximum(np.maximum(rates, fitted), least)
    freedom = max(0, len(rates) - MIN_SIZES)
    shown = float(np.sum(relative**2)) if freedom else 0.0
    return float(np.sqrt((PRIOR_RUNS * PRIOR_SCATTER**2 + shown) / (PRIOR_RUNS + freedom)))


def _by_block(table: NDArray[np.int_], blocks: Sequence[str]) -> tuple[_Array, str]:
    """Sums of the rows of each block, or the rows themselves where blocks are too few to be drawn from."""
    names, index = np.unique(np.asarray(blocks), return_inverse=True)
    if len(names) < MIN_BLOCKS:
        return table.astype(float), "utterance"
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, index, table)
    return sums, "speaker"
