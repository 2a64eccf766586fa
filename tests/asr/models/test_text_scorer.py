"""The bound of a text next to a known one: never below what the text has, whatever the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.models.text_scorer import TextScorer

NUM_TOKENS = 4
TEXTS = st.lists(st.integers(0, NUM_TOKENS - 1), max_size=6)


class Model:
    """Gives each next token a probability that depends on all before it."""

    def __init__(self, seed: int, sureness: float) -> None:
        self._seed, self._sureness = seed, sureness
        self.asked: list[list[int]] = []

    def log_probs(self, tokens: Sequence[int]) -> list[float]:
        found = []
        for place, token in enumerate(tokens):
            rng = np.random.default_rng([self._seed, *(one + 1 for one in tokens[:place])])
            logits = self._sureness * rng.standard_normal(NUM_TOKENS)
            found.append(float(logits[token] - np.logaddexp.reduce(logits)))
        return found

    def score(self, rows: Sequence[list[int]]) -> list[float]:
        self.asked += rows
        return [sum(self.log_probs(row)) for row in rows]


@given(TEXTS, st.lists(TEXTS, max_size=8), st.integers(0, 99), st.floats(0.1, 4))
def test_no_text_is_likelier_than_its_bound(
    known: list[int], others: list[list[int]], seed: int, sureness: float
) -> None:
    model = Model(seed, sureness)
    scorer = TextScorer(known, lambda: np.array(model.log_probs(known)), model.score)
    rows = [known, *others]
    for row, log_prob in zip(rows, scorer.log_probs(rows), strict=True):
        assert abs(log_prob - sum(model.log_probs(row))) < 1e-9
        assert log_prob <= scorer.at_most(row) + 1e-9
    assert known not in model.asked


def test_the_bound_says_how_sure_the_model_is_of_what_a_text_changes() -> None:
    scorer = TextScorer([5, 6, 7], lambda: np.log([0.5, 0.999, 0.5]), lambda rows: [0.0] * len(rows))
    assert np.isclose(scorer.at_most([5, 9, 7]), np.log(0.5 * 0.001))
    assert np.isclose(scorer.at_most([5, 6, 9]), np.log(0.5 * 0.999 * 0.5))
    assert np.isclose(scorer.at_most([5]), np.log(0.5))
