"""Bootstrap: seeded, centred, as wide as theory says, wider by blocks when blocks hang together."""

from __future__ import annotations

import numpy as np
import pytest

from asr.errors import InputError, OptionError
from asr.evaluation.significance import MIN_BLOCKS, bootstrap_interval, paired_bootstrap

N = 400
TEN = np.full(N, 10)


def _errors(rate: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).binomial(10, rate, N)


def test_the_same_seed_gives_the_same_answer() -> None:
    a, b = _errors(0.3), _errors(0.25, 1)
    assert paired_bootstrap(a, b, TEN, seed=3) == paired_bootstrap(a, b, TEN, seed=3)
    assert paired_bootstrap(a, b, TEN, seed=3) != paired_bootstrap(a, b, TEN, seed=4)


def test_the_interval_has_the_width_of_theory() -> None:
    interval = bootstrap_interval(_errors(0.3), TEN, samples=4_000)
    assert interval.rate == pytest.approx(_errors(0.3).sum() / (10 * N))
    standard_error = np.sqrt(0.3 * 0.7 / (10 * N))
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.15)
    assert interval.low < interval.rate < interval.high
    assert (interval.unit, interval.num_units) == ("utterance", N)


def test_a_system_is_never_better_than_itself() -> None:
    errors = _errors(0.3)
    comparison = paired_bootstrap(errors, errors, TEN)
    assert (comparison.delta, comparison.low, comparison.high, comparison.prob_better) == (0, 0, 0, 0)


def test_a_plain_gain_is_seen_and_swapping_mirrors_it() -> None:
    a, b = _errors(0.3), _errors(0.2, 1)
    forth, back = paired_bootstrap(a, b, TEN), paired_bootstrap(b, a, TEN)
    assert forth.delta < 0 and forth.high < 0 and forth.prob_better == 1.0 and back.prob_better == 0.0
    assert forth.delta == -back.delta
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_chance_is_not_taken_for_a_gain() -> None:
    confident = sum(
        paired_bootstrap(_errors(0.3, 2 * seed), _errors(0.3, 2 * seed + 1), TEN, samples=300).prob_better
        >= 0.95
        for seed in range(100)
    )
    assert confident <= 12  # 5 expected


def test_pairing_narrows_the_difference() -> None:
    hard = np.random.default_rng(0).integers(0, 9, N)
    comparison = paired_bootstrap(hard + 1, hard, TEN)
    single = bootstrap_interval(hard, TEN)
    assert comparison.high - comparison.low < 0.1 * (single.high - single.low)


def test_blocks_that_hang_together_widen_the_interval() -> None:
    by_speaker = np.repeat(np.random.default_rng(0).binomial(10, 0.3, 20), N // 20)
    speakers = [f"s{index // (N // 20)}" for index in range(N)]
    alone, blocked = bootstrap_interval(by_speaker, TEN), bootstrap_interval(by_speaker, TEN, blocks=speakers)
    assert (blocked.unit, blocked.num_units) == ("block", 20)
    assert blocked.high - blocked.low > 3 * (alone.high - alone.low)
    assert blocked.rate == alone.rate


def test_too_few_blocks_fall_back_to_utterances() -> None:
    few = [f"s{index % (MIN_BLOCKS - 1)}" for index in range(N)]
    enough = [f"s{index % MIN_BLOCKS}" for index in range(N)]
    errors = _errors(0.3)
    assert bootstrap_interval(errors, TEN, blocks=few) == bootstrap_interval(errors, TEN)
    assert bootstrap_interval(errors, TEN, blocks=enough).num_units == MIN_BLOCKS


def test_rows_without_a_block_are_their_own() -> None:
    blocks = [None if index < 100 else f"{index % 10}" for index in range(N)]
    assert bootstrap_interval(_errors(0.3), TEN, blocks=blocks).num_units == 110


def test_chunked_resampling_is_complete_and_empty_references_are_finite() -> None:
    comparison = paired_bootstrap(np.ones(5_000), np.zeros(5_000), np.zeros(5_000), samples=1_700)
    assert np.isfinite([comparison.delta, comparison.low, comparison.high]).all()
    assert comparison.prob_better == 1.0


def test_bad_input() -> None:
    with pytest.raises(InputError, match="same number"):
        paired_bootstrap([1, 2], [1], [3, 3])
    with pytest.raises(InputError, match="one row or more"):
        bootstrap_interval([], [])
    with pytest.raises(InputError, match="same number"):
        bootstrap_interval([1], [1], blocks=["a", "b"])
    with pytest.raises(OptionError, match="at least 1"):
        bootstrap_interval([1], [1], samples=0)
