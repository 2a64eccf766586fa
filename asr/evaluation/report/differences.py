"""The utterances that two models differ on most: their audio, their words side by side, and their terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.data.manifest import Utterance
from asr.evaluation.breakdown import Column, Difference, merge_alignments, rank_differences, rank_errors
from asr.evaluation.evaluate import Row
from asr.evaluation.report.audio import AudioBudget
from asr.evaluation.report.model import SetResult
from asr.evaluation.report.view import THIN
from asr.evaluation.terms import TermOutcome, term_outcome
from asr.evaluation.wer import AlignedWord, align_words

MAX_DIFFERENCES = 12  # of a kind

_RECOGNISED = "recognised"


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """What one model has at one place: the word, or a dash where it left one out.

    Attributes:
        text: shown; "" for a place that only the other model fills.
        kind: "hit", "substitution", "deletion", "insertion", or "" for nothing.
    """

    text: str
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One column of the words side by side; ``base`` is None without a base."""

    reference: str
    base: Word | None
    adapted: Word


@dataclass(frozen=True, kw_only=True, slots=True)
class TermLine:
    """One term and what became of it, in words; ``base`` is None without a base."""

    term: str
    base: str | None
    adapted: str

    @property
    def fates(self) -> set[str]:
        """What became of it under either model, without how often."""
        return {
            fate.removesuffix(" times").rstrip("0123456789 ") for fate in (self.base, self.adapted) if fate
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """One utterance.

    Attributes:
        id: its name.
        details: speaker and duration.
        errors: how they changed, in words.
        audio: a data URI, or "".
        missing_audio: why there is none.
        language: for the transcripts, or "".
        places: the words side by side; with no transcript, the base's words stand for the reference.
        against: what the first line of the places is: "reference" or the base's name.
        has_reference: a departure from the first line is an error, and not only a difference.
        terms: those that a model missed or inserted, where terms are scored.
        recognised: the terms that went right everywhere.
        texts: (whose, text) as written, before normalising.
    """

    id: str
    details: str
    errors: str
    audio: str
    missing_audio: str
    language: str
    places: tuple[Place, ...]
    against: str
    has_reference: bool
    terms: tuple[TermLine, ...]
    recognised: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Utterances of one kind, the largest change first.

    Attributes:
        id: unique on the page.
        title: what kind.
        text: how many there are, and how many are shown.
        utterances: those shown.
    """

    id: str
    title: str
    text: str
    utterances: tuple[Spoken, ...]


def rankings(result: SetResult, key: str, names: tuple[str, str], budget: AudioBudget) -> list[Ranking]:
    """Regressions and gains, or the most errors where there is no base."""
    if result.base is None:
        ranked = [("errors", "Most errors", "utterances have errors", rank_errors(result.adapted))]
    else:
        worse, better = rank_differences(result.base, result.adapted)
        ranked = [
            ("regressions", "Worst regressions", "utterances got more errors", worse),
            ("gains", "Best gains", "utterances got fewer errors", better),
        ]
    return [
        Ranking(
            id=f"{key}-{kind}",
            title=title,
            text=_text(len(found), what, len(result.adapted.rows)),
            utterances=tuple(_spoken(result, row, names, budget) for row in found[:MAX_DIFFERENCES]),
        )
        for kind, title, what, found in ranked
    ]


def _text(count: int, what: str, total: int) -> str:
    shown = f" The {MAX_DIFFERENCES} with the most are shown." if count > MAX_DIFFERENCES else ""
    return f"{count or 'No'} of {total} {what}.{shown}" if count else f"No {what.replace('have', 'has')}."


def _spoken(result: SetResult, found: Difference, names: tuple[str, str], budget: AudioBudget) -> Spoken:
    utterance, adapted = result.utterances[found.index], result.adapted.rows[found.index]
    base = result.base.rows[found.index] if result.base is not None else None
    terms = _terms(result, utterance, base, adapted)
    audio, missing = budget.embed(utterance)
    speaker = [f"speaker {adapted.speaker}"] if adapted.speaker else []
    return Spoken(
        id=utterance.id,
        details=", ".join([*speaker, f"{utterance.duration_s:.1f}{THIN}s"]),
        errors=_errors(
            found,
            adapted,
            "characters" if result.adapted.by_character else "words",
            has_base=base is not None,
        ),
        audio=audio,
        missing_audio=missing,
        language=utterance.language or "",
        places=_places(result, base, adapted),
        has_reference=adapted.reference is not None,
        against="reference" if adapted.reference is not None else names[0],
        terms=tuple(line for line in terms if line.fates != {_RECOGNISED}),
        recognised=tuple(line.term for line in terms if line.fates == {_RECOGNISED}),
        texts=_texts(base, adapted, names),
    )


def _errors(found: Difference, row: Row, unit: str, *, has_base: bool) -> str:
    count = (
        row.words.num_reference if row.words is not None else row.terms.said if row.terms is not None else 0
    )
    unit = unit if row.words is not None else "terms"
    before = f"{found.base_errors} before, " if has_base else ""
    return f"errors: {before}{found.errors}{' now' if has_base else ''}, of {count} {unit}"  # fmt: skip


def _places(result: SetResult, base: Row | None, adapted: Row) -> tuple[Place, ...]:
    """Against the reference; without one, the adapted model's words against the base's."""
    normalizer = result.adapted.normalizer
    if adapted.reference is None:
        if base is None:
            return ()
        (alignment,) = align_words([base.hypothesis], [adapted.hypothesis], normalizer)
        return tuple(_place(column, has_base=False) for column in merge_alignments(None, alignment))
    said = adapted.reference
    (after,) = align_words([said], [adapted.hypothesis], normalizer)
    before = align_words([said], [base.hypothesis], normalizer)[0] if base is not None else None
    return tuple(_place(column, has_base=base is not None) for column in merge_alignments(before, after))


def _place(column: Column, *, has_base: bool) -> Place:
    return Place(
        reference=column.reference or "",
        base=_word(column.base) if has_base else None,
        adapted=_word(column.adapted),
    )


def _word(step: AlignedWord | None) -> Word:
    return Word(text="", kind="") if step is None else Word(text=step.hypothesis or "", kind=step.kind)


def _terms(result: SetResult, utterance: Utterance, base: Row | None, adapted: Row) -> tuple[TermLine, ...]:
    if adapted.terms is None:
        return ()
    said = utterance.terms if utterance.terms is not None else adapted.reference or ()
    evaluation = result.adapted
    outcomes = [
        term_outcome(said, row.hypothesis, evaluation.term_list, evaluation.normalizer)
        for row in (base, adapted)
        if row is not None
    ]
    names = dict.fromkeys(name for o in outcomes for name in (*o.found, *o.missed, *o.invented))
    return tuple(
        TermLine(
            term=name,
            base=_fate(outcomes[0], name) if base is not None else None,
            adapted=_fate(outcomes[-1], name),
        )
        for name in names
    )


def _fate(outcome: TermOutcome, name: str) -> str:
    parts: Sequence[tuple[str, int]] = (
        (_RECOGNISED, outcome.found.count(name)),
        ("missed", outcome.missed.count(name)),
        ("inserted", outcome.invented.count(name)),
    )
    told = [f"{word} {times} times" if times > 1 else word for word, times in parts if times]
    return ", ".join(told) or "not written"


def _texts(base: Row | None, adapted: Row, names: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    reference = [("reference", adapted.reference)] if adapted.reference is not None else []
    before = [(names[0], base.hypothesis)] if base is not None else []
    return (*reference, *before, (names[1], adapted.hypothesis))
