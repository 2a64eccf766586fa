"""How likely texts are next to one whose tokens' probabilities are known: a bound first, which costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MIN_OTHERS_PROB = 1e-6  # what float32 may hide behind a probability of 1


class TextScorer:
    """Log probabilities, natural log, of texts as tokens, given the audio of one utterance.

    Args:
        tokens: of the known text.
        known: gives (U,) of each of them, given those before it; asked once, if at all.
        score: log probability of each of several texts; asked for all but the known one.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        known: Callable[[], NDArray[np.float64]],
        score: Callable[[Sequence[list[int]]], list[float]],
    ) -> None:
        self._tokens, self._ask, self._score = list(tokens), known, score

    def log_probs(self, rows: Sequence[list[int]]) -> list[float]:
        """Of each text."""
        unknown = [row for row in rows if row != self._tokens]
        scored = iter(self._score(unknown) if unknown else ())
        return [float(self._ahead[-1]) if row == self._tokens else next(scored) for row in rows]

    def at_most(self, tokens: Sequence[int]) -> float:
        """What a text cannot exceed: where it leaves the known one, it has no more than that leaves to others."""
        length = min(len(tokens), len(self._tokens))
        shared = next((place for place in range(length) if tokens[place] != self._tokens[place]), length)
        return float(self._ahead[shared] + (self._others[shared] if shared < length else 0.0))

    @cached_property
    def _known(self) -> NDArray[np.float64]:
        known = self._ask()
        assert len(known) == len(self._tokens), (len(known), len(self._tokens))
        return known

    @cached_property
    def _ahead(self) -> NDArray[np.float64]:
        """(U + 1,) of the first n tokens."""
        return np.concatenate([[0.0], np.cumsum(self._known)])

    @cached_property
    def _others(self) -> NDArray[np.float64]:
        """(U,) of all other tokens together in the place of each."""
        return np.log(np.maximum(-np.expm1(self._known), MIN_OTHERS_PROB))
