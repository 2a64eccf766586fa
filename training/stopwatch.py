"""Where a training's wall time goes: learning and saving, and scoring what was learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from torch import Tensor

from training.loop import DevScore

Score = Callable[[Mapping[str, Tensor]], DevScore]


class Stopwatch:
    """Times the stretches between two evaluations."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin the first stretch by ``clock``, s."""
        self._clock = clock
        self._began_s, self._scoring_s = clock(), 0.0

    def timed(self, score: Score) -> Score:
        """``score``, whose time counts as scoring."""

        def scored(weights: Mapping[str, Tensor]) -> DevScore:
            began_s = self._clock()
            try:
                return score(weights)
            finally:
                self._scoring_s += self._clock() - began_s

        return scored

    def lap(self) -> tuple[float, float]:
        """End the stretch and begin the next: its learning and saving, and its scoring, s."""
        now_s = self._clock()
        learning_s, scoring_s = now_s - self._began_s - self._scoring_s, self._scoring_s
        self._began_s, self._scoring_s = now_s, 0.0
        return learning_s, scoring_s
