"""Where the errors are: counts by term, speaker and length, confusions, and the rows that two models differ on.

Every breakdown partitions the corpus: its counts sum to those of the whole evaluation, to the last error. Judging
whether a difference is more than chance is ``asr.evaluation.significance``.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, Row
from asr.evaluation.terms import TermCounts, TermOutcome, counts_by_term, term_outcome
from asr.evaluation.wer import AlignedWord, Alignment, ErrorCounts, Kind, align_words

LENGTH_EDGES_S = (2.0, 4.0, 8.0, 16.0, 30.0)

Key = TypeVar("Key", bound=Hashable)
LengthRange = tuple[float, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupCounts:
    """Counts of a group of rows; ``a + b`` adds them up.

    Attributes:
        num_utterances: rows of the group.
        words: of the rows that have a transcript.
        terms: of the rows whose said terms are known.
    """

    num_utterances: int = 0
    words: ErrorCounts = field(default_factory=ErrorCounts)
    terms: TermCounts = field(default_factory=TermCounts)

    def __add__(self, other: GroupCounts) -> GroupCounts:
        return GroupCounts(
            num_utterances=self.num_utterances + other.num_utterances,
            words=self.words + other.words,
            terms=self.terms + other.terms,
        )


@dataclass(frozen=True, slots=True)
class Confusion:
    """What was said and what was written for it; ``said`` is None for an insertion, ``written`` for a deletion."""

    kind: Kind
    said: str | None
    written: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One row under two models.

    Attributes:
        index: the row.
        base_errors: word errors, or wrong terms where there is no transcript.
        errors: the same of the other model.
    """

    index: int
    base_errors: int
    errors: int

    @property
    def delta(self) -> int:
        """Errors more than the base's; below 0, the row got better."""
        return self.errors - self.base_errors


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One place of a reference aligned with up to two hypotheses; a step is None where a model has nothing there.

    Attributes:
        reference: the word that was said, or None where only a model has a word.
        base: the base's step.
        adapted: the other model's.
    """

    reference: str | None
    base: AlignedWord | None
    adapted: AlignedWord | None


def term_outcomes(evaluation: Evaluation, utterances: Sequence[Utterance]) -> list[TermOutcome]:
    """Each row's terms by name; empty where terms are not scored. The counts are those of ``evaluation.terms``."""
    outcomes = []
    for row, utterance in zip(evaluation.rows, utterances, strict=True):
        said = utterance.terms if utterance.terms is not None else row.reference
        scored = row.terms is not None and said is not None
        outcomes.append(
            term_outcome(said or (), row.hypothesis, evaluation.term_list, evaluation.normalizer)
            if scored
            else TermOutcome()
        )
    return outcomes


def by_term(evaluation: Evaluation, utterances: Sequence[Utterance]) -> dict[str, TermCounts]:
    """Counts of every term that was said or made up, then of the glossary's others, which are all zero."""
    table = counts_by_term(term_outcomes(evaluation, utterances))
    return table | {term: TermCounts() for term in evaluation.term_list if term not in table}


def by_speaker(evaluation: Evaluation) -> dict[str, GroupCounts]:
    """Counts by speaker (or session), by name; "" is who is not named."""
    return dict(sorted(_grouped((row.speaker, row) for row in evaluation.rows).items()))


def by_length(
    evaluation: Evaluation, utterances: Sequence[Utterance], edges_s: Sequence[float] = LENGTH_EDGES_S
) -> dict[LengthRange, GroupCounts]:
    """Counts by duration, shortest first: (from, below) in seconds, None for no bound; only ranges that hold rows."""
    bounds: tuple[float, ...] = (0.0, *sorted(edges_s))

    def range_of(utterance: Utterance) -> LengthRange:
        place = bisect.bisect_right(bounds, max(0.0, utterance.duration_s))
        return bounds[place - 1], bounds[place] if place < len(bounds) else None

    pairs = zip(evaluation.rows, utterances, strict=True)
    groups = _grouped((range_of(utterance), row) for row, utterance in pairs)
    return dict(sorted(groups.items(), key=lambda entry: entry[0][0]))


def alignments(evaluation: Evaluation) -> list[Alignment | None]:
    """Each row's alignment under the evaluation's normaliser; None where there is no transcript."""
    pairs = [(row.reference, row.hypothesis) for row in evaluation.rows if row.reference is not None]
    found = iter(align_words([said for said, _ in pairs], [text for _, text in pairs], evaluation.normalizer))
    return [None if row.reference is None else next(found) for row in evaluation.rows]


def confusions(aligned: Iterable[Alignment | None]) -> Counter[Confusion]:
    """How often each error was made."""
    return Counter(
        Confusion(step.kind, step.reference, step.hypothesis)
        for alignment in aligned
        for step in alignment or ()
        if step.kind != "hit"
    )


def row_errors(row: Row) -> int:
    """Word errors, or missed and made-up terms where there is no transcript."""
    if row.words is not None:
        return row.words.errors
    return row.terms.false_negatives + row.terms.false_positives if row.terms is not None else 0


def rank_differences(base: Evaluation, adapted: Evaluation) -> tuple[list[Difference], list[Difference]]:
    """Rows that got worse and rows that got better, the largest change first, then in the manifest's order."""
    rows = [
        Difference(index=index, base_errors=row_errors(before), errors=row_errors(after))
        for index, (before, after) in enumerate(zip(base.rows, adapted.rows, strict=True))
    ]
    ranked = sorted(rows, key=lambda row: -abs(row.delta))
    return [row for row in ranked if row.delta > 0], [row for row in ranked if row.delta < 0]


def rank_errors(evaluation: Evaluation) -> list[Difference]:
    """Rows with errors, the most first, where there is no other model to compare with."""
    rows = [
        Difference(index=i, base_errors=0, errors=row_errors(row)) for i, row in enumerate(evaluation.rows)
    ]
    return sorted((row for row in rows if row.errors), key=lambda row: -row.errors)


def merge_alignments(base: Alignment | None, adapted: Alignment) -> list[Column]:
    """Two alignments with the same reference, side by side; words that only a model has share a place."""
    before, after = _slots(base or ()), _slots(adapted)
    if base is None:
        before = [_Slot((), None)] * len(after)
    columns = []
    for left, right in zip(before, after, strict=True):
        extra = itertools.zip_longest(left.inserted, right.inserted)
        columns += [Column(reference=None, base=one, adapted=other) for one, other in extra]
        if right.said is not None:
            columns.append(Column(reference=right.said.reference, base=left.said, adapted=right.said))
    return columns


@dataclass(frozen=True, slots=True)
class _Slot:
    """The insertions before a word of the reference, and its step; None at the end of the reference."""

    inserted: tuple[AlignedWord, ...]
    said: AlignedWord | None


def _slots(alignment: Alignment) -> list[_Slot]:
    slots: list[_Slot] = []
    inserted: list[AlignedWord] = []
    for step in alignment:
        if step.reference is None:
            inserted.append(step)
        else:
            slots.append(_Slot(tuple(inserted), step))
            inserted = []
    return [*slots, _Slot(tuple(inserted), None)]


def _grouped(pairs: Iterable[tuple[Key, Row]]) -> dict[Key, GroupCounts]:
    groups: dict[Key, GroupCounts] = {}
    for key, row in pairs:
        one = GroupCounts(num_utterances=1, words=row.words or ErrorCounts(), terms=row.terms or TermCounts())
        groups[key] = groups.get(key, GroupCounts()) + one
    return groups
