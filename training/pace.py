"""Where a training's wall time goes: learning, and scoring what was learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch import Tensor

from training.loop import DevScore


class Pace:
    """A watch over the stretches between two evaluations."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin the first stretch."""
        self._clock = clock
        self._began, self._scoring_s = clock(), 0.0

    def timed(
        self, score: Callable[[Mapping[str, Tensor]], DevScore]
    ) -> Callable[[Mapping[str, Tensor]], DevScore]:
        """``score``, whose time is told apart."""

        def scored(weights: Mapping[str, Tensor]) -> DevScore:
            began = self._clock()
            try:
                return score(weights)
            finally:
                self._scoring_s += self._clock() - began

        return scored

    def lap(self) -> str:
        """End the stretch and begin the next: "31.0 s of training, 4.2 s of scoring"."""
        now = self._clock()
        training_s, scoring_s = now - self._began - self._scoring_s, self._scoring_s
        self._began, self._scoring_s = now, 0.0
        return f"{training_s:.1f} s of training, {scoring_s:.1f} s of scoring"
