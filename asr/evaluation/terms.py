"""Terms: were the words that matter to a domain recognised, and were any made up?

Terms are matched as whole words after the normaliser, so "sixteen ounce" is found in "16 ounce", and longest
first without overlap, so "drip coffee" is not also "coffee". The rules for a row:

- What was said: with a text, the glossary's terms in it, each as often as it occurs. With a list of terms,
  for each the glossary's terms that it contains ("some brown sugar" says "brown sugar"), or itself if none.
- A said term is a hit if its words occur in the hypothesis, in a place that no longer or earlier term has
  taken: a said "coffee" is hit by "iced coffee", but one "iced coffee" does not hit both "coffee" and "iced
  coffee".
- A false positive is a glossary term in the hypothesis that is not said, nor contains or is part of a said
  one: hearing "iced coffee" for "coffee" is no invention, and repetition is what WER counts.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from asr.errors import InputError
from asr.evaluation.wer import AlignedWord, Alignment, ErrorCounts, count
from asr.text.normalize import DEFAULT_NORMALIZER, get_normalizer

Words = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TermCounts:
    """Terms found, missed and made up; ``a + b`` adds counts up. A rate over nothing is 1: nothing went "
    "wrong."""

    true_positives: int = 0
    false_negatives: int = 0
    false_positives: int = 0

    @property
    def said(self) -> int:
        """How many terms were said."""
        return self.true_positives + self.false_negatives

    @property
    def recall(self) -> float:
        """Share of the said terms that were found."""
        return self.true_positives / self.said if self.said else 1.0

    @property
    def precision(self) -> float:
        """Share of the terms in the hypothesis that were said."""
        found = self.true_positives + self.false_positives
        return self.true_positives / found if found else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, from the counts."""
        total = 2 * self.true_positives + self.false_negatives + self.false_positives
        return 2 * self.true_positives / total if total else 1.0

    def __add__(self, other: TermCounts) -> TermCounts:
        return TermCounts(
            true_positives=self.true_positives + other.true_positives,
            false_negatives=self.false_negatives + other.false_negatives,
            false_positives=self.false_positives + other.false_positives,
        )


@dataclass(frozen=True, kw_only=True)
class TermOutcome:
    """One row's terms by name, as the glossary (or, for others, the row) writes them; each as often as it "
    "counts."""

    found: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()

    @property
    def counts(self) -> TermCounts:
        """The numbers of the three."""
        return TermCounts(
            true_positives=len(self.found),
            false_negatives=len(self.missed),
            false_positives=len(self.invented),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BiasedErrors:
    """Word errors inside terms (B-WER) and outside (U-WER)."""

    biased: ErrorCounts = field(default_factory=ErrorCounts)
    unbiased: ErrorCounts = field(default_factory=ErrorCounts)

    def __add__(self, other: BiasedErrors) -> BiasedErrors:
        return BiasedErrors(biased=self.biased + other.biased, unbiased=self.unbiased + other.unbiased)


def term_counts(
    said: str | Sequence[str], hypothesis: str, term_list: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> TermCounts:
    """Count one row's terms; see ``term_outcome``."""
    return term_outcome(said, hypothesis, term_list, normalizer).counts


def term_outcome(
    said: str | Sequence[str], hypothesis: str, term_list: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> TermOutcome:
    """Find, miss and make up one row's terms, by the rules above.

    Args:
        said: the reference text, or the list of terms that were said.
        hypothesis: what the model wrote.
        term_list: the glossary.
        normalizer: by name.

    Raises:
        InputError: a term of which the normaliser leaves nothing.
        OptionError: there is no normaliser of that name.
    """
    glossary = _glossary(tuple(term_list), normalizer)
    names = dict(glossary.names)
    spoken = _said_terms(said, glossary, names, normalizer)
    words = _words(hypothesis, normalizer)
    found, missed = _hits(spoken, words)
    related = set(spoken)
    invented = [
        term
        for _, term in glossary.matches(words)
        if not any(_contains(term, other) or _contains(other, term) for other in related)
    ]
    return TermOutcome(
        found=tuple(names[term] for term in found),
        missed=tuple(names[term] for term in missed),
        invented=tuple(names[term] for term in invented),
    )


def counts_by_term(outcomes: Iterable[TermOutcome]) -> dict[str, TermCounts]:
    """The per-term table of a corpus: the most often missed first, then by name."""
    table: dict[str, TermCounts] = {}
    for outcome in outcomes:
        for names, one in (
            (outcome.found, TermCounts(true_positives=1)),
            (outcome.missed, TermCounts(false_negatives=1)),
            (outcome.invented, TermCounts(false_positives=1)),
        ):
            for name in names:
                table[name] = table.get(name, TermCounts()) + one
    return dict(sorted(table.items(), key=lambda entry: (-entry[1].false_negatives, entry[0])))


def biased_errors(
    alignments: Iterable[Alignment], term_list: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> BiasedErrors:
    """Split word errors by whether they concern terms (Le et al. 2021, arXiv:2104.02194).

    A word of the reference is biased if it lies in a glossary term's occurrence in the reference; an inserted
    word is, if it lies in one in the hypothesis. The two sum to the ordinary counts.

    Args:
        alignments: of ``align_words``, under the same normaliser.
        term_list: the glossary.
        normalizer: by name.
    """
    glossary = _glossary(tuple(term_list), normalizer)
    biased: list[AlignedWord] = []
    unbiased: list[AlignedWord] = []
    for alignment in alignments:
        for step, is_biased in _flagged(alignment, glossary):
            (biased if is_biased else unbiased).append(step)
    return BiasedErrors(biased=count(tuple(biased)), unbiased=count(tuple(unbiased)))


class _Glossary:
    """Terms as word sequences, found by their first word, longest first."""

    def __init__(self, names: Mapping[Words, str]) -> None:
        self.names = names
        self._by_first: dict[str, list[Words]] = {}
        for term in sorted(names, key=len, reverse=True):
            self._by_first.setdefault(term[0], []).append(term)

    def matches(self, words: Words) -> Iterator[tuple[int, Words]]:
        """(start, term) of all maximal occurrences, none overlapping: the longest first, then from the "
        "left."""
        candidates = [
            (start, term)
            for start, word in enumerate(words)
            for term in self._by_first.get(word, ())
            if words[start : start + len(term)] == term
        ]
        taken = [False] * len(words)
        chosen = []
        for start, term in sorted(candidates, key=lambda match: (-len(match[1]), match[0])):
            span = slice(start, start + len(term))
            if not any(taken[span]):
                taken[span] = [True] * len(term)
                chosen.append((start, term))
        yield from sorted(chosen)


@functools.lru_cache(maxsize=16)
def _glossary(term_list: tuple[str, ...], normalizer: str) -> _Glossary:
    names: dict[Words, str] = {}
    for term in term_list:
        names.setdefault(_term_words(term, normalizer), term)
    return _Glossary(names)


@functools.lru_cache(maxsize=4096)
def _term_words(term: str, normalizer: str) -> Words:
    words = _words(term, normalizer)
    if not words:
        raise InputError(
            f"the term {term!r} is empty under the normaliser {normalizer}; remove it or write it in words"
        )
    return words


def _words(text: str, normalizer: str) -> Words:
    return tuple(get_normalizer(normalizer)(text).split())


def _said_terms(
    said: str | Sequence[str], glossary: _Glossary, names: dict[Words, str], normalizer: str
) -> list[Words]:
    """The said terms, each as often as it was said; adds the names of terms that the glossary does not "
    "have."""
    if isinstance(said, str):
        return [term for _, term in glossary.matches(_words(said, normalizer))]
    spoken: list[Words] = []
    for text in said:
        words = _term_words(text, normalizer)
        inside = [term for _, term in glossary.matches(words)]
        if not inside:
            names.setdefault(words, text)
        spoken += inside or [words]
    return spoken


def _hits(spoken: Sequence[Words], words: Words) -> tuple[list[Words], list[Words]]:
    """Which said terms occur, each taking words of its own; the longest choose first."""
    taken = [False] * len(words)
    found, missed = [], []
    for term, times in sorted(Counter(spoken).items(), key=lambda entry: (-len(entry[0]), entry[0])):
        left = times
        for start in range(len(words) - len(term) + 1):
            span = slice(start, start + len(term))
            if left and words[span] == term and not any(taken[span]):
                taken[span] = [True] * len(term)
                left -= 1
        found += [term] * (times - left)
        missed += [term] * left
    return found, missed


def _contains(outer: Words, inner: Words) -> bool:
    return any(outer[start : start + len(inner)] == inner for start in range(len(outer) - len(inner) + 1))


def _flagged(alignment: Alignment, glossary: _Glossary) -> Iterator[tuple[AlignedWord, bool]]:
    """Each step with whether it concerns a term."""
    in_reference = _positions(
        glossary, tuple(step.reference for step in alignment if step.reference is not None)
    )
    in_hypothesis = _positions(
        glossary, tuple(step.hypothesis for step in alignment if step.hypothesis is not None)
    )
    said = heard = 0
    for step in alignment:
        yield step, said in in_reference if step.reference is not None else heard in in_hypothesis
        said += step.reference is not None
        heard += step.hypothesis is not None


def _positions(glossary: _Glossary, words: Words) -> set[int]:
    return {
        position for start, term in glossary.matches(words) for position in range(start, start + len(term))
    }
