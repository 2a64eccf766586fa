"""Law of the watch: every second is training or scoring, once."""

from __future__ import annotations

from training.loop import DevScore
from training.pace import Pace


def test_scoring_is_told_apart_from_training_in_every_stretch() -> None:
    now = 0.0

    def clock() -> float:
        return now

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    def score(_weights: object) -> DevScore:
        passes(4)
        return DevScore(0.5, None)

    pace = Pace(clock)
    scored = pace.timed(score)
    passes(31)
    assert scored({}) == DevScore(0.5, None)
    assert pace.lap() == "31.0 s of training, 4.0 s of scoring"
    passes(2)
    assert pace.lap() == "2.0 s of training, 0.0 s of scoring"
