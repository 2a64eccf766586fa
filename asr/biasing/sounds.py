"""How alike two spellings sound, from 0 to 1: for finding what a recogniser may have misspelt.

English by its consonants (Metaphone: Philips 1990, "Hanging on the Metaphone") and letters together, other languages by
letters alone. S spans, P phrases.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONSONANTS_SHARE = 0.6  # of the similarity; measured on drug names (docs/experiments.md)
MIN_CONSONANTS = 0.3  # of their similarity, below which letters are not looked at


def letters(text: str) -> str:
    """``text`` in lower case without accents, spaces and punctuation."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if sign.isalnum())


def consonants(text: str) -> str:
    """The Metaphone code of ``text``, read as one word."""
    import jellyfish

    return str(jellyfish.metaphone(letters(text)))


class SoundTable:
    """Spellings that others are compared with.

    Args:
        spellings: P of them.
        is_english: whether consonants count.
    """

    def __init__(self, spellings: Sequence[str], *, is_english: bool) -> None:
        self._letters = [letters(one) for one in spellings]
        self._consonants = [consonants(one) for one in spellings] if is_english else None

    def similarities(self, spans: Sequence[str]) -> NDArray[np.float32]:
        """(S, P) similarities of S spans to the spellings; 0 where the consonants already differ too much."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cdist

        scorer, plain = Levenshtein.normalized_similarity, [letters(one) for one in spans]
        if self._consonants is None:
            return cdist(plain, self._letters, scorer=scorer, dtype=np.float32)
        heard = cdist(
            [consonants(one) for one in spans], self._consonants,
            scorer=scorer, score_cutoff=MIN_CONSONANTS, dtype=np.float32,
        )  # fmt: skip
        written = cdist(plain, self._letters, scorer=scorer, dtype=np.float32)
        alike = np.asarray(CONSONANTS_SHARE * heard + (1 - CONSONANTS_SHARE) * written, np.float32)
        alike[heard == 0] = 0.0
        return alike
