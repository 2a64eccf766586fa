"""Tables that say where the errors are: by term, speaker, length, and by what was confused with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from asr.evaluation.breakdown import (
    Confusion,
    GroupCounts,
    LengthRange,
    alignments,
    by_length,
    by_speaker,
    by_term,
    confusions,
)
from asr.evaluation.report.model import SetResult
from asr.evaluation.report.view import (
    NONE,
    THIN,
    Cell,
    Mark,
    Table,
    change,
    counted_share,
    number,
    percent,
    strips,
)
from asr.evaluation.terms import TermCounts

MAX_CONFUSIONS = 15  # of a kind; the rest is summed up

Key = TypeVar("Key", bound=Hashable)


def term_table(result: SetResult, key: str, names: tuple[str, str]) -> Table:
    """Every term that was said or inserted, and in a sentence those that were neither."""
    title, id_ = "By term", f"{key}-terms"
    if result.adapted.terms is None:
        return Table(id=id_, title=title, text="No term list was given, so terms are not scored.")
    after = by_term(result.adapted, result.utterances)
    before = by_term(result.base, result.utterances) if result.base is not None else None
    tables = [table for table in (before, after) if table is not None]
    heard = [term for term in after if any(_counted(table.get(term)) for table in tables)]
    heard.sort(key=lambda term: (-_missed(after, term), -_missed(before, term), term))
    marks = strips((_recall_mark(before, term), _recall_mark(after, term)) for term in heard)
    rows = [
        (
            Cell(text=term),
            Cell(text=number(after.get(term, TermCounts()).said)),
            *_recalled(before, after, term),
            *_inserted(before, after, term),
            Cell(strip=strip, order=_recall(after, term)),
        )
        for term, strip in zip(heard, marks, strict=True)
    ]
    return Table(
        id=id_,
        title=title,
        columns=("Term", "Said", *_doubled(names, "Recognised", before), *_doubled(names, "Inserted", before), "Recall"),
        rows=tuple(rows),
        text="Recognised: how often a said term was written. Inserted: written where neither it nor a related term "
        "was said.",
        after=_unheard([term for term in after if term not in heard]),
        is_sortable=True,
    )  # fmt: skip


def speaker_table(result: SetResult, key: str, names: tuple[str, str]) -> Table:
    """By speaker or session."""
    title, id_ = "By speaker", f"{key}-speakers"
    after = by_speaker(result.adapted)
    if set(after) == {""}:
        return Table(id=id_, title=title, text="No row names a speaker or session.")
    before = by_speaker(result.base) if result.base is not None else None
    return _group_table(
        result, (id_, title, "Speaker"), names, (before, after), lambda name: name or "not named"
    )


def length_table(result: SetResult, key: str, names: tuple[str, str]) -> Table:
    """By duration."""
    after = by_length(result.adapted, result.utterances)
    before = by_length(result.base, result.utterances) if result.base is not None else None
    heads = (f"{key}-lengths", "By length", "Duration")
    return _group_table(result, heads, names, (before, after), _range_name)


def confusion_table(result: SetResult, key: str, names: tuple[str, str]) -> Table:
    """The most frequent substitutions, deletions and insertions of both models."""
    title, id_ = "Confusions", f"{key}-confusions"
    if result.adapted.words is None:
        return Table(id=id_, title=title, text="No row has a transcript, so words cannot be aligned.")
    after = confusions(alignments(result.adapted))
    before = confusions(alignments(result.base)) if result.base is not None else None
    both = Counter(after) + (before or Counter())
    if not both:
        return Table(id=id_, title=title, text="No errors.")
    shown: list[Confusion] = []
    left: list[str] = []
    for kind in ("substitution", "deletion", "insertion"):
        ranked = sorted((error for error in both if error.kind == kind), key=lambda error: _rank(both, error))
        shown += ranked[:MAX_CONFUSIONS]
        rest = ranked[MAX_CONFUSIONS:]
        left += [f"{len(rest)} more {kind}s" + _occurrences(before, after, rest)] if rest else []
    rows = [(*_confusion_cells(error), *_pair_of_counts(before, after, error)) for error in shown]
    columns = ("Said", "Written", "Kind", *((*names, "Change") if before is not None else (names[1],)))
    return Table(
        id=id_,
        title=title,
        columns=columns,
        rows=tuple(rows),
        text=f"Up to {MAX_CONFUSIONS} of each kind, the most frequent first.",
        after=f"Not shown: {'; '.join(left)}." if left else "",
        text_columns=(0, 1, 2),
        is_sortable=True,
    )


def _group_table(
    result: SetResult,
    heads: tuple[str, str, str],
    names: tuple[str, str],
    groups: tuple[Mapping[Key, GroupCounts] | None, Mapping[Key, GroupCounts]],
    name_of: Callable[[Key], str],
) -> Table:
    """Groups with WER or CER, or term recall where there are no transcripts."""
    id_, title, first = heads
    before, after = groups
    by_words = result.adapted.words is not None
    metric = result.adapted.error_name if by_words else "Term recall"
    unit = "Characters" if result.adapted.by_character else "Words"
    rate = _wer_of if by_words else _recall_of
    pairs = [(None if before is None else rate(before[name]), rate(after[name])) for name in after]
    marks = strips((_mark(base), _mark(adapted)) for base, adapted in pairs)
    rows = []
    for index, (name, (base, adapted), strip) in enumerate(zip(after, pairs, marks, strict=True)):
        counts = after[name]
        rows.append(
            (
                Cell(text=name_of(name), order=None if isinstance(name, str) else index),
                Cell(text=number(counts.num_utterances)),
                Cell(text=number(counts.words.num_reference if by_words else counts.terms.said)),
                *_rates(base, adapted, has_base=before is not None, less_is_better=by_words),
                Cell(strip=strip, order=adapted),
            )
        )
    sizes = ("Utterances", unit if by_words else "Terms said")
    rates = (*_doubled(names, metric, before), "Change") if before is not None else (metric,)
    return Table(
        id=id_, title=title, columns=(first, *sizes, *rates, metric), rows=tuple(rows), is_sortable=True
    )


def _rates(base: float | None, adapted: float | None, *, has_base: bool, less_is_better: bool) -> list[Cell]:
    cells = [
        Cell(text=NONE) if rate is None else Cell(text=percent(rate), order=rate)
        for rate in ((base, adapted) if has_base else (adapted,))
    ]
    if has_base and base is not None and adapted is not None:
        return [*cells, change(adapted - base, less_is_better=less_is_better, unit="share")]
    return [*cells, Cell(text=NONE)] if has_base else cells


def _wer_of(counts: GroupCounts) -> float | None:
    return counts.words.rate if counts.words.num_reference or counts.words.errors else None


def _recall_of(counts: GroupCounts) -> float | None:
    return counts.terms.recall if counts.terms.said else None


def _mark(rate: float | None) -> Mark | None:
    return None if rate is None else Mark(place=rate)


def _range_name(span: LengthRange) -> str:
    low, high = span
    return f"{low:g}{THIN}s or more" if high is None else f"{low:g} to {high:g}{THIN}s"


def _doubled(names: tuple[str, str], what: str, before: object | None) -> tuple[str, ...]:
    return (f"{what}, {names[0]}", f"{what}, {names[1]}") if before is not None else (what,)


def _counted(counts: TermCounts | None) -> bool:
    return counts is not None and bool(counts.said or counts.false_positives)


def _recall(table: Mapping[str, TermCounts] | None, term: str) -> float | None:
    counts = (table or {}).get(term)
    return counts.recall if counts is not None and counts.said else None


def _missed(table: Mapping[str, TermCounts] | None, term: str) -> int:
    return (table or {}).get(term, TermCounts()).false_negatives


def _recall_mark(table: Mapping[str, TermCounts] | None, term: str) -> Mark | None:
    return _mark(_recall(table, term))


def _recalled(
    before: Mapping[str, TermCounts] | None, after: Mapping[str, TermCounts], term: str
) -> list[Cell]:
    return [
        Cell(text=counted_share(counts.true_positives, counts.recall), order=counts.recall)
        if counts.said
        else Cell(text=NONE)
        for counts in _of_term(before, after, term)
    ]


def _inserted(
    before: Mapping[str, TermCounts] | None, after: Mapping[str, TermCounts], term: str
) -> list[Cell]:
    return [Cell(text=number(counts.false_positives)) for counts in _of_term(before, after, term)]


def _of_term(
    before: Mapping[str, TermCounts] | None, after: Mapping[str, TermCounts], term: str
) -> list[TermCounts]:
    return [table.get(term, TermCounts()) for table in (before, after) if table is not None]


def _unheard(terms: Sequence[str]) -> str:
    return f"Neither said nor written in this set: {', '.join(terms)}." if terms else ""


def _rank(both: Mapping[Confusion, int], error: Confusion) -> tuple[int, str, str]:
    return -both[error], error.said or "", error.written or ""


def _confusion_cells(error: Confusion) -> tuple[Cell, Cell, Cell]:
    return Cell(text=error.said or NONE), Cell(text=error.written or NONE), Cell(text=error.kind)


def _pair_of_counts(
    before: Mapping[Confusion, int] | None, after: Mapping[Confusion, int], error: Confusion
) -> list[Cell]:
    if before is None:
        return [Cell(text=number(after.get(error, 0)))]
    pair = (before.get(error, 0), after.get(error, 0))
    delta = change(pair[1] - pair[0], less_is_better=True, unit="count")
    return [*(Cell(text=number(times)) for times in pair), delta]


def _occurrences(
    before: Mapping[Confusion, int] | None, after: Mapping[Confusion, int], rest: Sequence[Confusion]
) -> str:
    counts = [
        number(sum(table.get(error, 0) for error in rest)) for table in (before, after) if table is not None
    ]
    return f" (occurring {' and '.join(counts)} times)"
