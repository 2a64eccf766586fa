"""Which phrases an utterance may hold, by the sound of a first text of it: a few out of thousands, in milliseconds.

So the cost of what follows does not grow with the list, and what sounds like nothing in the utterance can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import MAX_WORDS, Phrase, PhraseSet
from asr.biasing.sounds import SoundTable, letters
from asr.biasing.spoken import BUILT_IN, runs

MIN_SIMILARITY = 0.55  # below it, in English, one in 250 of those tried is what is said (docs/experiments.md)
SPANS_WITHIN = 0.12  # of a phrase's best span, for another of it to be tried
SPANS_A_PHRASE = 2
MAX_SPAN_WORDS = MAX_WORDS + 1  # so that the longest phrase is found where it is said
MATCHES, WORDS_A_MATCH, MAX_MATCHES = 4, 4, 16  # 4, and one more for every 4 words; at most 16
CRITICAL_AHEAD = 0.05
_KEPT_INDICES = 64
_PUNCTUATION = ".,;:!?\"'()-"


@dataclass(frozen=True, slots=True)
class Match:
    """Words ``start`` up to, not including, ``end``, which may be ``phrase``; ``similarity`` is 0 to 1."""

    phrase: Phrase
    start: int
    end: int
    similarity: float

    @property
    def rank(self) -> float:
        """What is tried first: what sounds alike, and critical phrases a little ahead."""
        return self.similarity + CRITICAL_AHEAD * self.phrase.critical


class PhraseIndex:
    """Finds the phrases of a set by their sound. Safe to use from several threads.

    Attributes:
        is_english: whether English is said, whose sounds count as well as its letters.
    """

    def __init__(self, phrases: PhraseSet, *, is_english: bool = True) -> None:
        self.is_english = is_english
        self._patterns = [one for one in phrases if _pattern(one.text)]
        plain = [one for one in phrases if not _pattern(one.text)]
        forms = [(form, one) for one in plain for form in (one.text, *one.sounds_like)]
        self._owners = [owner for _, owner in forms]
        self._table = SoundTable([form for form, _ in forms], is_english=is_english)
        self._exact = {letters(one.text): one for one in plain}
        self._ahead = np.array([CRITICAL_AHEAD * one.critical for one in self._owners], np.float32)
        longest = max((len(form.split()) for form, _ in forms), default=0)
        self._max_words = min(longest + 3, MAX_SPAN_WORDS)

    def matches(self, words: Sequence[str]) -> list[Match]:
        """The likeliest phrases of a text and where, best first; not what it holds already."""
        return self.all_matches([words])[0]

    def all_matches(self, texts: Sequence[Sequence[str]]) -> list[list[Match]]:
        """:meth:`matches` of texts that have much in common."""
        spans = dict.fromkeys(
            " ".join(words[start:end]) for words in texts for start, end in self._spans(words)
        )
        alike = (
            self._table.similarities(list(spans)) if spans and self._owners else np.zeros((0, 0), np.float32)
        )
        rows = {span: row for row, span in enumerate(spans)}
        return [[*_coded(self._patterns, words), *self._alike(words, rows, alike)] for words in texts]

    def held(self, words: Sequence[str]) -> list[Match]:
        """The phrases that a text holds as they are to be written, the longest first, none within another."""
        found: list[Match] = []
        for length in range(min(self._max_words, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                text, end = " ".join(words[start : start + length]), start + length
                if self._is_held(text) and not any(start < one.end and one.start < end for one in found):
                    found.append(Match(self._exact[letters(text)], start, end, 1.0))
        return found

    def _spans(self, words: Sequence[str]) -> list[tuple[int, int]]:
        return [
            (start, end)
            for start in range(len(words))
            for end in range(start + 1, min(start + self._max_words, len(words)) + 1)
        ]

    def _alike(
        self, words: Sequence[str], rows: Mapping[str, int], similarities: NDArray[np.float32]
    ) -> list[Match]:
        """Of a text whose spans have these ``rows`` (S,) of ``similarities`` (S, P)."""
        spans = self._spans(words)
        if not spans or not self._owners:
            return []
        texts = [" ".join(words[start:end]) for start, end in spans]
        held = [span for span, text in zip(spans, texts, strict=True) if self._is_held(text)]
        alike = similarities[[rows[text] for text in texts]]
        matches: list[Match] = []
        limit = max_matches(len(words))
        best = alike.max(0)
        order = np.argsort(-(best + self._ahead), kind="stable")
        for form in order[best[order] >= MIN_SIMILARITY]:
            if len(matches) >= limit:
                break
            for match in self._places(self._owners[form], alike[:, form], spans):
                if match not in matches and all(_makes_way(words, one, match) for one in held):
                    matches.append(match)
        return matches

    def _places(
        self, phrase: Phrase, alike: NDArray[np.float32], spans: Sequence[tuple[int, int]]
    ) -> Iterator[Match]:
        """The best span of a form and those that are about as good."""
        rows = np.argsort(-alike, kind="stable")[:SPANS_A_PHRASE]
        for row in rows:
            if alike[row] >= alike[rows[0]] - SPANS_WITHIN:
                start, end = spans[row]
                yield Match(phrase, start, end, float(alike[row]))

    def _is_held(self, text: str) -> bool:
        """Whether a span is a phrase already, as it is to be written."""
        phrase = self._exact.get(letters(text))
        if phrase is None:
            return False
        return written(text, phrase) == written(phrase.text, phrase)


def written(text: str, phrase: Phrase) -> str:
    """``text`` without punctuation around it, and in one case unless the phrase has capitals of its own."""
    plain = text.strip(_PUNCTUATION)
    return plain if any(letter.isupper() for letter in phrase.text[1:]) else plain.casefold()


def max_matches(num_words: int) -> int:
    """How many places are tried in a text of so many words."""
    return min(MATCHES + num_words // WORDS_A_MATCH, MAX_MATCHES)


def _pattern(text: str) -> str:
    """The class of digits or letters that a phrase has; "" for none."""
    return next((name for name in BUILT_IN if name in text.upper().split()), "")


def _coded(patterns: Sequence[Phrase], words: Sequence[str]) -> Iterator[Match]:
    """Stretches of digits and letters where the words around them are those of a pattern, as they are written."""
    plain = [letters(word) for word in words]
    for phrase in patterns:
        kind, parts = _pattern(phrase.text), phrase.text.split()
        place = [part.upper() for part in parts].index(kind)
        ahead, behind = ([letters(part) for part in some] for some in (parts[:place], parts[place + 1 :]))
        for start, end, written in runs(words, kind):
            fits = (
                plain[max(0, start - len(ahead)) : start] == ahead
                and plain[end : end + len(behind)] == behind
            )
            if fits and " ".join(words[start:end]).strip(_PUNCTUATION) != written:
                yield Match(replace(phrase, text=written), start, end, 1.0)


def _makes_way(words: Sequence[str], held: tuple[int, int], match: Match) -> bool:
    """Whether a phrase that the text holds may be replaced: only by a longer one of which it is a part."""
    start, end = held
    if match.start >= end or start >= match.end:
        return True
    covers = match.start <= start and end <= match.end and match.end - match.start > end - start
    said, wanted = letters("".join(words[start:end])), letters(match.phrase.text)
    return covers and said in wanted and said != wanted


@lru_cache(maxsize=_KEPT_INDICES)
def index_of(phrases: PhraseSet, *, is_english: bool = True) -> PhraseIndex:
    """The index of a set, made once; the last ``64`` are kept."""
    return PhraseIndex(phrases, is_english=is_english)
