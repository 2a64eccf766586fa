"""How likely an interim result stays: agreement of successive hypotheses (LocalAgreement).

Liu et al. 2020, "Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis
selection": words on which two successive hypotheses agree seldom change any more. One per stream, reset at
a final.
"""

from __future__ import annotations

from itertools import takewhile

from asr.results import Hypothesis

_PUNCTUATION = ".,;:!?\"'()-"


class Stabilizer:
    """Compares each interim hypothesis of an utterance with the one before."""

    def __init__(self) -> None:
        self._previous: list[str] = []

    def update(self, hypothesis: Hypothesis) -> float:
        """Share, in [0, 1], of the hypothesis's words that lead it as they led the one before.

        Case and punctuation at the edges of words do not count. 0 for the first hypothesis and an empty one.
        """
        words = [word.strip(_PUNCTUATION).casefold() for word in hypothesis.text.split()]
        pairs = zip(words, self._previous, strict=False)
        num_agreed = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        self._previous = words
        return num_agreed / len(words) if words else 0.0

    def reset(self) -> None:
        """Forget the utterance: its final was decided."""
        self._previous = []
