"""Interim text that does not flicker: words on which two successive hypotheses agree are committed (LocalAgreement-2).

Liu et al. 2020, "Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis selection". A
committed word stays in every later interim of its utterance; only the final, a better search, may still say otherwise.
One per stream, reset at a final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.results import Hypothesis

_PUNCTUATION = ".,;:!?\"'()-"


@dataclass(frozen=True, slots=True)
class StableText:
    """An interim text and how many of its leading words are committed."""

    words: tuple[str, ...]
    num_committed: int

    @property
    def text(self) -> str:
        """The words, joined by single spaces."""
        return " ".join(self.words)

    @property
    def stability(self) -> float:
        """Share, in [0, 1], of the words that are committed; 0 without words."""
        return self.num_committed / len(self.words) if self.words else 0.0


class Stabilizer:
    """Compares each interim hypothesis of an utterance with the one before."""

    def __init__(self) -> None:
        self._previous: list[str] = []
        self._committed: list[str] = []

    def update(self, hypothesis: Hypothesis) -> StableText:
        """The words committed so far, and behind them what the hypothesis says there.

        What follows the committed words in a hypothesis is found by the smallest edit, for it may say them otherwise.
        Words agree whatever their case and the punctuation at their edges. The last word waits: the audio may end inside
        it.
        """
        words = hypothesis.text.split()
        keys = [_key(word) for word in words]
        held = [_key(word) for word in self._committed]
        first, before = covered(held, keys), covered(held, self._previous)
        num_agreed = _num_equal(keys[first:], self._previous[before:])
        num_new = max(0, min(num_agreed, len(keys) - first - 1))
        self._committed = self._committed + words[first : first + num_new]
        self._previous = keys
        shown = (*self._committed, *words[first + num_new :])
        return StableText(words=shown, num_committed=len(self._committed))

    def reset(self) -> None:
        """Forget the utterance: its final was decided."""
        self._previous, self._committed = [], []


def covered(held: Sequence[str], keys: Sequence[str]) -> int:
    """How many leading ``keys`` say what ``held`` says: those with the smallest edit distance to it, as many as it has if
    several have."""
    distances = list(range(len(keys) + 1))
    for row, word in enumerate(held, start=1):
        above, distances[0] = distances[0], row
        for column, key in enumerate(keys, start=1):
            here = min(distances[column] + 1, distances[column - 1] + 1, above + (word != key))
            above, distances[column] = distances[column], here
    return min(range(len(keys) + 1), key=lambda end: (distances[end], abs(end - len(held))))


def _key(word: str) -> str:
    return word.strip(_PUNCTUATION).casefold()


def _num_equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many leading elements are equal."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count
