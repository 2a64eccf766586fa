"""Word and character errors as counts, from jiwer's minimum-edit alignment.

Corpus rates are sums of counts over sums of reference words, never means of rates. No row is dropped: an
empty reference counts its insertions, an empty hypothesis its deletions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asr.errors import InputError
from asr.text.normalize import BY_CHARACTER, DEFAULT_NORMALIZER, get_normalizer

Kind = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorCounts:
    """Errors of one row or of a corpus; ``a + b`` and ``sum_counts`` add them up."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    hits: int = 0

    @property
    def num_reference(self) -> int:
        """Words (or characters) of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def num_hypothesis(self) -> int:
        """Words (or characters) of the hypothesis."""
        return self.hits + self.substitutions + self.insertions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per word of the reference; an empty reference is taken as one word, so the rate is "
        "finite."""
        return self.errors / max(1, self.num_reference)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            hits=self.hits + other.hits,
        )


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """One step of an alignment; ``reference`` is None for an insertion, ``hypothesis`` for a deletion."""

    kind: Kind
    reference: str | None
    hypothesis: str | None


Alignment = tuple[AlignedWord, ...]


def sum_counts(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The corpus's counts out of its rows'."""
    return sum(counts, ErrorCounts())


def align_words(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> list[Alignment]:
    """Align each hypothesis with its reference, word by word, after normalising both.

    Raises:
        InputError: the two do not have the same number of rows.
        OptionError: there is no normaliser of that name.
    """
    return _align(references, hypotheses, normalizer, by_character=False)


def count(alignment: Alignment) -> ErrorCounts:
    """The errors of one alignment."""
    kinds = [step.kind for step in alignment]
    return ErrorCounts(
        substitutions=kinds.count("substitution"),
        deletions=kinds.count("deletion"),
        insertions=kinds.count("insertion"),
        hits=kinds.count("hit"),
    )


def word_errors(reference: str, hypothesis: str, normalizer: str = DEFAULT_NORMALIZER) -> ErrorCounts:
    """Word errors of one row."""
    return word_errors_by_row([reference], [hypothesis], normalizer)[0]


def word_errors_by_row(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> list[ErrorCounts]:
    """Word errors of every row; ``sum_counts`` of them is the corpus.

    Raises:
        InputError: the two do not have the same number of rows.
    """
    return [count(alignment) for alignment in align_words(references, hypotheses, normalizer)]


def char_errors(reference: str, hypothesis: str, normalizer: str = DEFAULT_NORMALIZER) -> ErrorCounts:
    """Character errors of one row; a space counts as a character, but for a normaliser by character."""
    return char_errors_by_row([reference], [hypothesis], normalizer)[0]


def char_errors_by_row(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: str = DEFAULT_NORMALIZER
) -> list[ErrorCounts]:
    """Character errors of every row.

    Raises:
        InputError: the two do not have the same number of rows.
    """
    return [count(row) for row in _align(references, hypotheses, normalizer, by_character=True)]


def _align(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: str, *, by_character: bool
) -> list[Alignment]:
    import jiwer

    if len(references) != len(hypotheses):
        raise InputError(
            f"{len(references)} references and {len(hypotheses)} hypotheses; each row needs both"
        )
    if not references:
        return []
    normalize = get_normalizer(normalizer)
    split = by_character and normalizer not in BY_CHARACTER  # whose words are characters already
    process = jiwer.process_characters if split else jiwer.process_words
    output = process([normalize(text) for text in references], [normalize(text) for text in hypotheses])
    rows = zip(output.alignments, output.references, output.hypotheses, strict=True)
    return [tuple(_steps(chunks, reference, hypothesis)) for chunks, reference, hypothesis in rows]


_KINDS: dict[str, Kind] = {
    "equal": "hit",
    "substitute": "substitution",
    "delete": "deletion",
    "insert": "insertion",
}


def _steps(
    chunks: Iterable[Any], reference: Sequence[str], hypothesis: Sequence[str]
) -> Iterator[AlignedWord]:
    """jiwer's chunks, word by word."""
    for chunk in chunks:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for pair in itertools.zip_longest(said, heard):
            yield AlignedWord(_KINDS[chunk.type], *pair)
