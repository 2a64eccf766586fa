"""Law of the stopwatch: every second of a stretch is learning or scoring, once."""

from __future__ import annotations

from training.loop import DevScore
from training.stopwatch import Stopwatch


def test_scoring_is_told_apart_from_learning_in_every_stretch() -> None:
    now_s = 0.0

    def clock() -> float:
        return now_s

    def passes(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def score(_weights: object) -> DevScore:
        passes(4)
        return DevScore(0.5, None)

    stopwatch = Stopwatch(clock)
    scored = stopwatch.timed(score)
    passes(31)
    assert scored({}) == DevScore(0.5, None)
    assert stopwatch.lap() == (31, 4)
    passes(2)
    assert stopwatch.lap() == (2, 0)
