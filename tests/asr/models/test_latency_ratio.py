"""Decoding times are compared probe by probe: what disturbs one measurement does not decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from asr.models.base import DecodingOptions, Hypothesis, Samples
from asr.models.export import latency_ratio


class Counting:
    """A decoder that counts up to ``work``, and to a thousand times as much in the calls of ``disturbed``."""

    def __init__(self, work: int, disturbed: Sequence[int] = ()) -> None:
        self._work = work
        self._disturbed = disturbed
        self._calls = 0

    def decode(self, batch: Sequence[Samples], options: DecodingOptions) -> list[list[Hypothesis]]:
        del batch, options
        for _ in range(self._work * (1000 if self._calls in self._disturbed else 1)):
            pass
        self._calls += 1
        return []


PROBES = [np.zeros(1600, dtype=np.float32)] * 3
WORK = 20_000


def test_three_times_the_work_is_three_times_the_time() -> None:
    ratio = latency_ratio(Counting(WORK), Counting(3 * WORK), PROBES, DecodingOptions(), rounds=20)
    assert ratio == pytest.approx(3.0, rel=0.3)


def test_disturbed_measurements_do_not_count() -> None:
    disturbed = Counting(WORK, disturbed=(0, 4, 8))  # in every round one of the probes
    ratio = latency_ratio(Counting(WORK), disturbed, PROBES, DecodingOptions(), rounds=3)
    assert ratio == pytest.approx(1.0, rel=0.3)
