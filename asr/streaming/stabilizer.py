"""Interim text that does not flicker: words on which two successive hypotheses agree are committed (LocalAgreement-2).

Liu et al. 2020, "Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis selection". A
committed word stays in every later interim of its utterance; only the final, a better search, may still say otherwise.
One per stream, reset at a final.
"""

from __future__ import annotations

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

        Words agree whatever their case and the punctuation at their edges. The last word waits: the audio may end inside
        it. A hypothesis that contradicts a committed word commits nothing new, nor does one that is shorter.
        """
        words = hypothesis.text.split()
        keys = [_key(word) for word in words]
        num_agreed = min(_num_equal(keys, self._previous), len(keys) - 1)
        held = [_key(word) for word in self._committed]
        if num_agreed > len(held) and keys[: len(held)] == held:
            self._committed = self._committed + words[len(held) : num_agreed]
        self._previous = keys
        shown = (*self._committed, *words[len(self._committed) :])
        return StableText(words=shown, num_committed=len(self._committed))

    def reset(self) -> None:
        """Forget the utterance: its final was decided."""
        self._previous, self._committed = [], []


def _key(word: str) -> str:
    return word.strip(_PUNCTUATION).casefold()


def _num_equal(one: list[str], other: list[str]) -> int:
    """How many leading elements are equal."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count
