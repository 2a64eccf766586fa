"""Phrases in what a Whisper has found: texts with them, scored next to one whose tokens' probabilities are known.

A bound first, which costs nothing. The same for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import PhraseSet
from asr.biasing.rescoring import Rewrite, rescored
from asr.biasing.retrieval import index_of
from asr.models.whisper_tokens import WhisperTokenizer
from asr.text.languages import ENGLISH

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


def rewritten(
    found: Sequence[list[int]], phrases: PhraseSet, language: str | None, tokenizer: WhisperTokenizer,
    known: Callable[[], NDArray[np.float64]], score: Callable[[Sequence[list[int]]], list[float]],
    *, searched: float | None = None,
) -> Rewrite | None:  # fmt: skip
    """The first of the texts ``found``, or another, with the phrases that its audio says; None where it stays.

    Args:
        found: by a search, as tokens, best first.
        phrases: that may be said.
        language: of the speech; None is English.
        tokenizer: of the model.
        known: see :class:`TextScorer`; of the first text.
        score: likewise.
        searched: see :func:`asr.biasing.rescoring.rescored`.
    """
    texts = [tokenizer.text(one) for one in found]

    def row(one: str) -> list[int]:
        # the search may have written its text with other tokens than the tokenizer would
        return found[0] if one == texts[0] else tokenizer.encode(one)

    scorer = TextScorer(found[0], known, score)
    return rescored(
        texts,
        index_of(phrases, is_english=(language or ENGLISH) == ENGLISH),
        lambda some: scorer.log_probs([row(one) for one in some]),
        lambda phrase: len(tokenizer.encode(phrase)),
        lambda one: scorer.at_most(row(one)),
        searched=searched,
    )
