"""Is a difference more than chance? Bootstrap over speakers or sessions (Bisani and Ney 2004; Liu et al.
2020).

Utterances of one speaker rise and fall together, so whole blocks are drawn. With fewer than ``MIN_BLOCKS``
blocks their resamples say little, and utterances are drawn instead; the result says which, and is then too
sure of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr.errors import InputError, OptionError

MIN_BLOCKS = 8
CONFIDENCE = 0.95
_CHUNK_CELLS = 4_000_000  # 32 MB of counts at a time

Unit = Literal["block", "utterance"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A corpus rate with its 95 % interval.

    Attributes:
        rate: errors over reference size.
        low: 2.5 % of the resamples lie below.
        high: 2.5 % lie above.
        unit: what was resampled.
        num_units: how many of them there are.
    """

    rate: float
    low: float
    high: float
    unit: Unit
    num_units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedComparison:
    """System b against system a on the same rows.

    Attributes:
        delta: rate of b minus rate of a; below 0, b is better.
        low: 2.5 % of the resampled deltas lie below.
        high: 2.5 % lie above.
        prob_better: share of the resamples in which b has strictly fewer errors.
        unit: what was resampled.
        num_units: how many of them there are.
    """

    delta: float
    low: float
    high: float
    prob_better: float
    unit: Unit
    num_units: int


def paired_bootstrap(
    errors_a: ArrayLike,
    errors_b: ArrayLike,
    num_reference: ArrayLike,
    blocks: Sequence[str | None] | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> PairedComparison:
    """Compare two systems by their errors on the same rows.

    Args:
        errors_a: (N,) errors of the one, by row; of whatever kind, as long as fewer is better.
        errors_b: (N,) errors of the other.
        num_reference: (N,) reference size of each row, e.g. its words.
        blocks: (N,) the speaker or session of each row; None draws utterances, and a row whose block is None
            is a block of its own.
        samples: resamples.
        seed: of the resampling.

    Raises:
        InputError: there are no rows, or the lengths differ.
        OptionError: no samples.
    """
    table, unit = _by_unit([errors_a, errors_b, num_reference], blocks)
    sums = _resampled_sums(table, samples, seed)
    deltas = (sums[:, 1] - sums[:, 0]) / np.maximum(sums[:, 2], 1.0)
    total = table.sum(axis=0)
    low, high = _quantiles(deltas)
    return PairedComparison(
        delta=float((total[1] - total[0]) / max(total[2], 1.0)),
        low=low,
        high=high,
        prob_better=float(np.mean(sums[:, 1] < sums[:, 0])),
        unit=unit,
        num_units=len(table),
    )


def bootstrap_interval(
    errors: ArrayLike,
    num_reference: ArrayLike,
    blocks: Sequence[str | None] | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The 95 % interval of one system's corpus rate; arguments and errors as for ``paired_bootstrap``."""
    table, unit = _by_unit([errors, num_reference], blocks)
    sums = _resampled_sums(table, samples, seed)
    low, high = _quantiles(sums[:, 0] / np.maximum(sums[:, 1], 1.0))
    total = table.sum(axis=0)
    return Interval(
        rate=float(total[0] / max(total[1], 1.0)), low=low, high=high, unit=unit, num_units=len(table)
    )


def _by_unit(
    columns: Sequence[ArrayLike], blocks: Sequence[str | None] | None
) -> tuple[NDArray[np.float64], Unit]:
    """(U, columns) sums by block, or by utterance where blocks are too few."""
    arrays = [np.asarray(column, np.float64) for column in columns]
    lengths = [array.size for array in arrays] + ([] if blocks is None else [len(blocks)])
    if len(set(lengths)) != 1 or not lengths[0]:
        raise InputError(
            f"a bootstrap needs one row or more and the same number in each column, not {lengths}"
        )
    rows = np.stack(arrays, axis=1)
    if blocks is None:
        return rows, "utterance"
    names = [f"#{index}" if name is None else f"={name}" for index, name in enumerate(blocks)]
    unique, index = np.unique(names, return_inverse=True)
    if len(unique) < MIN_BLOCKS:
        return rows, "utterance"
    table = np.zeros((len(unique), rows.shape[1]))
    np.add.at(table, index, rows)
    return table, "block"


def _resampled_sums(table: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """(samples, columns): column sums over as many units as there are, drawn with replacement."""
    if samples < 1:
        raise OptionError(f"{samples} resamples; at least 1 is needed, 2000 are usual", field="samples")
    generator = np.random.default_rng(seed)
    num_units = len(table)
    shares = np.full(num_units, 1 / num_units)
    step = max(1, _CHUNK_CELLS // num_units)
    sizes = [min(step, samples - start) for start in range(0, samples, step)]
    return np.concatenate([generator.multinomial(num_units, shares, size=size) @ table for size in sizes])


def _quantiles(values: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
