"""Phrases in what a Whisper on CTranslate2 has found: texts with them are scored on the same encoder output.

E encoder frames, D width, U tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import PhraseSet
from asr.models.text_scorer import rewritten
from asr.models.whisper_tokens import WhisperTokenizer
from asr.units import ENCODER_FRAME_S, WHISPER_WINDOW_FRAMES

Encoded = NDArray[np.float32]  # (1, E, D)

SCORED_TOGETHER = 4  # on a CPU, where each of eight takes a quarter to a half more time (docs/experiments.md)
SCORED_TOGETHER_ON_GPU = 8  # not measured there
SCORED_BEHIND_FRAMES = 25  # half a second
MIN_PROB = 1e-10
SEARCH_SURER = (
    2.0  # natural log, by which a search may be surer of its text than the scoring: it suppresses tokens
)
UNTIMED_FRAMES = 2  # that are aligned where the probabilities alone are wanted, which are of all frames


class Searched(NamedTuple):
    """A text as tokens, and their mean log probability, natural log."""

    tokens: list[int]
    score: float


class PhraseScorer:
    """Looks for phrases with a CTranslate2 model."""

    def __init__(
        self, model: Any, storage: Any, tokenizer: WhisperTokenizer, together: int = SCORED_TOGETHER
    ) -> None:
        """Score with ``model``, whose arrays are made by ``storage``, so many texts together."""
        self._model, self._storage, self._tokenizer, self._together = model, storage, tokenizer, together

    def biased(
        self, best: Searched, others: Sequence[list[int]], phrases: PhraseSet, output: Encoded,
        prompt: list[int], language: str | None, known: Any, *, is_free: bool = True,
    ) -> Searched:  # fmt: skip
        """What was found, or it or one of the ``others`` with phrases that its audio says (``asr.biasing.rescoring``).

        ``known`` is CTranslate2's alignment of what was found, if there is one. ``is_free`` is false where the search's
        score says little of what the scoring here will: in another context, or of texts that must not repeat themselves.
        """

        def log_probs(rows: Sequence[list[int]]) -> list[NDArray[np.float64]]:
            return self._token_log_probs(output, prompt, rows)

        rewrite = rewritten(
            [best.tokens, *others],
            phrases,
            language,
            self._tokenizer,
            lambda: _log_probs(known) if known is not None else log_probs([best.tokens])[0],
            lambda rows: [float(one.sum()) for one in log_probs(rows)],
            searched=best.score * len(best.tokens) - SEARCH_SURER if is_free else None,
        )
        if rewrite is None:
            return best
        tokens = self._tokenizer.encode(rewrite.text)
        return Searched(tokens, rewrite.log_prob / (len(tokens) + 1))

    def _token_log_probs(
        self, output: Encoded, prompt: list[int], rows: Sequence[list[int]]
    ) -> list[NDArray[np.float64]]:
        """Log probabilities (U,), natural log, of the tokens of several texts, given one encoder output (1, E, D).

        Of their end CTranslate2 says nothing.
        """
        found: list[NDArray[np.float64]] = []
        for start in range(0, len(rows), self._together):
            some = list(rows[start : start + self._together])
            heard = self._storage.from_array(np.repeat(output, len(some), axis=0))
            aligned = self._model.align(heard, prompt, some, [UNTIMED_FRAMES] * len(some))
            found += map(_log_probs, aligned)
        return found


def _log_probs(alignment: Any) -> NDArray[np.float64]:
    """(U,), natural log, of the tokens of an aligned text."""
    return np.log(np.maximum(np.asarray(alignment.text_token_probs, np.float64), MIN_PROB))


def near_speech(output: Encoded, duration_s: float) -> Encoded:
    """An encoder output without the silence of a whole window, which makes scoring dear (docs/experiments.md)."""
    if 2 * output.shape[1] < WHISPER_WINDOW_FRAMES:
        return output
    return np.ascontiguousarray(output[:, : math.ceil(duration_s / ENCODER_FRAME_S) + SCORED_BEHIND_FRAMES])
