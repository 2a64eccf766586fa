"""Known answers of the stabiliser."""

from __future__ import annotations

import pytest

from asr.results import Hypothesis
from asr.streaming import Stabilizer


def _stabilities(*texts: str) -> list[float]:
    stabilizer = Stabilizer()
    return [stabilizer.update(Hypothesis(text=text)) for text in texts]


def test_stability_is_the_share_of_leading_words_that_stayed() -> None:
    texts = ["one two", "one two three four", "one too three four", ""]
    assert _stabilities(*texts) == pytest.approx([0.0, 0.5, 0.25, 0.0])


def test_case_and_punctuation_do_not_count() -> None:
    assert _stabilities("Yes, the blue", "yes the Blue.")[-1] == 1.0


def test_reset_forgets_the_utterance() -> None:
    stabilizer = Stabilizer()
    stabilizer.update(Hypothesis(text="one"))
    stabilizer.reset()
    assert stabilizer.update(Hypothesis(text="one")) == 0.0
