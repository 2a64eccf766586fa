"""The figures of one set: headline and metric table, each rate with its counts and interval.

Intervals and paired comparisons come from ``asr.evaluation.significance``; nothing is estimated twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asr.evaluation.evaluate import Evaluation, compare
from asr.evaluation.report.model import SetResult
from asr.evaluation.report.view import (
    NONE,
    THIN,
    Cell,
    Mark,
    Strip,
    Table,
    change,
    interval,
    number,
    percent,
    points,
    signed,
    strips,
    tone_of,
)
from asr.evaluation.significance import Interval, PairedComparison, bootstrap_interval, paired_bootstrap


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """A set's first figure, before and after.

    Attributes:
        set_name: of the set.
        metric: what it is.
        base: written as a person reads it; "" without a base.
        base_interval: likewise.
        adapted: of the other model.
        adapted_interval: likewise.
        change: in points, with its interval.
        verdict: "better" or "worse" where the interval of the change leaves 0 out, and P(better).
        strip: both with their intervals.
    """

    set_name: str
    metric: str
    base: str
    base_interval: str
    adapted: str
    adapted_interval: str
    change: Cell | None
    verdict: str
    strip: Strip


def headline(result: SetResult) -> list[Headline]:
    """WER or CER where there are transcripts, term recall where there are terms; both where both are."""
    found = []
    if result.adapted.words is not None:
        found.append(
            _headline(
                result, result.adapted.error_name, word_interval, paired_errors(result), less_is_better=True
            )
        )
    if result.adapted.terms is not None and result.adapted.terms.said:
        paired = _paired_recall(result)
        found.append(_headline(result, "term recall", recall_interval, paired, less_is_better=False))
    return found


def word_interval(evaluation: Evaluation) -> Interval | None:
    """WER, or CER where words are not written apart, with its interval; None without transcripts."""
    pairs = [(row.words.errors, row.words.num_reference) if row.words else (0, 0) for row in evaluation.rows]
    return _interval(evaluation, pairs) if evaluation.words is not None else None


def char_interval(evaluation: Evaluation) -> Interval | None:
    """CER with its interval, or None without transcripts."""
    pairs = [(row.chars.errors, row.chars.num_reference) if row.chars else (0, 0) for row in evaluation.rows]
    return _interval(evaluation, pairs) if evaluation.chars is not None else None


def recall_interval(evaluation: Evaluation) -> Interval | None:
    """Term recall with its interval, or None where no terms are scored; recall is 1 less the missed share."""
    pairs = [(row.terms.false_negatives, row.terms.said) if row.terms else (0, 0) for row in evaluation.rows]
    missed = _interval(evaluation, pairs) if evaluation.terms is not None else None
    if missed is None:
        return None
    return Interval(
        rate=1 - missed.rate,
        low=1 - missed.high,
        high=1 - missed.low,
        unit=missed.unit,
        num_units=missed.num_units,
    )


def paired_errors(result: SetResult) -> PairedComparison | None:
    """The caller's comparison or the usual one; None without a base."""
    if result.paired is not None or result.base is None:
        return result.paired
    return compare(result.base, result.adapted)


def metrics_table(result: SetResult, key: str, names: tuple[str, str]) -> Table:
    """Every metric that is defined on the set, before and after."""
    by_character = result.adapted.by_character
    cer = _rate_row("Character error rate (CER)", result, char_interval, less_is_better=True)
    wer = _rate_row("Word error rate (WER)", result, word_interval, less_is_better=True)
    unit = "Characters" if by_character else "Words"
    rows = [
        cer if by_character else wer,
        *(_count_row(label, result, get) for label, get in _ERROR_COUNTS),
        _count_row(f"{unit} of the reference", result, lambda e: e.words.num_reference if e.words else None),
        None if by_character else cer,
        _rate_row("Term recall", result, recall_interval, less_is_better=False),
        *(_share_row(label, result, get, less_is_better=False) for label, get in _TERM_SHARES),
        *(_count_row(label, result, get) for label, get in _TERM_COUNTS),
        *(
            _share_row(f"{result.adapted.error_name} {label}", result, get, less_is_better=True)
            for label, get in _BIASED
        ),
        _speed_row(result),
    ]
    has_base = result.base is not None
    columns = ("Metric", *names, "Change") if has_base else ("Metric", names[1])
    kept = tuple(row if has_base else (row[0], row[2]) for row in rows if row)
    return Table(id=f"{key}-metrics", title="Metrics", columns=columns, rows=kept, text=_basis(result))


Rate = Callable[[Evaluation], float | None]

_ERROR_COUNTS: tuple[tuple[str, Rate], ...] = (
    ("Substitutions", lambda e: e.words.substitutions if e.words else None),
    ("Deletions", lambda e: e.words.deletions if e.words else None),
    ("Insertions", lambda e: e.words.insertions if e.words else None),
)
_TERM_SHARES: tuple[tuple[str, Rate], ...] = (
    ("Term precision", lambda e: e.terms.precision if e.terms else None),
    ("Term F1", lambda e: e.terms.f1 if e.terms else None),
)
_TERM_COUNTS: tuple[tuple[str, Rate], ...] = (
    ("Terms said", lambda e: e.terms.said if e.terms else None),
    ("Terms missed", lambda e: e.terms.false_negatives if e.terms else None),
    ("Terms inserted", lambda e: e.terms.false_positives if e.terms else None),
)
_BIASED: tuple[tuple[str, Rate], ...] = (
    ("inside terms (biased)", lambda e: e.biased.biased.rate if e.biased else None),
    ("outside terms (unbiased)", lambda e: e.biased.unbiased.rate if e.biased else None),
)


def _basis(result: SetResult) -> str:
    """What the figures rest on."""
    rows = result.adapted.rows
    with_text = sum(row.words is not None for row in rows)
    speakers = {row.speaker for row in rows if row.speaker}
    minutes = sum(utterance.duration_s for utterance in result.utterances) / 60
    found = word_interval(result.adapted) or recall_interval(result.adapted)
    drawn = f"95{THIN}% intervals by bootstrap over {found.num_units} {_unit(result, found)}" if found else ""
    parts = [
        f"{len(rows)} utterances, {minutes:.1f} min of audio",
        f"{with_text} with a transcript"
        if with_text
        else "none with a transcript: word errors are not defined",
        f"{len(speakers)} speakers" if speakers else "speakers not named",
        f"normaliser {result.adapted.normalizer}",
        drawn,
    ]
    return "; ".join(part for part in parts if part) + "."


def _unit(result: SetResult, found: Interval) -> str:
    """What was resampled: a row that names nobody is a block of its own."""
    named = [bool(row.speaker) for row in result.adapted.rows]
    if found.unit == "utterance" or not any(named):
        return "utterances"
    return "speakers or sessions" if all(named) else "speakers, sessions and utterances of nobody named"


def _interval(evaluation: Evaluation, pairs: list[tuple[int, int]]) -> Interval:
    errors, sizes = zip(*pairs, strict=True)
    return bootstrap_interval(errors, sizes, blocks=[row.speaker or row.id for row in evaluation.rows])


def _paired_recall(result: SetResult) -> PairedComparison | None:
    """Of missed terms: below 0, fewer are missed."""
    if result.base is None:
        return None
    missed, said = [], []
    for evaluation in (result.base, result.adapted):
        missed.append([row.terms.false_negatives if row.terms else 0 for row in evaluation.rows])
        said.append([row.terms.said if row.terms else 0 for row in evaluation.rows])
    return paired_bootstrap(
        missed[0], missed[1], said[0], blocks=[row.speaker or row.id for row in result.base.rows]
    )


def _headline(
    result: SetResult,
    metric: str,
    measure: Callable[[Evaluation], Interval | None],
    paired: PairedComparison | None,
    *,
    less_is_better: bool,
) -> Headline:
    adapted = measure(result.adapted)
    base = measure(result.base) if result.base is not None else None
    ((strip),) = strips([(_mark(base), _mark(adapted))])
    delta = adapted.rate - base.rate if adapted and base else None
    return Headline(
        set_name=result.name,
        metric=metric,
        base=percent(base.rate, 1) if base else "",
        base_interval=interval(base.low, base.high) if base else "",
        adapted=percent(adapted.rate, 1) if adapted else NONE,
        adapted_interval=interval(adapted.low, adapted.high) if adapted else "",
        change=_paired_cell(delta, paired, less_is_better=less_is_better) if delta is not None and paired else None,
        verdict=_verdict(delta, paired, less_is_better=less_is_better) if delta is not None and paired else "",
        strip=strip,
    )  # fmt: skip


def _paired_cell(delta: float, paired: PairedComparison, *, less_is_better: bool) -> Cell:
    """The change in the metric's own sense; ``paired`` counts errors, so that recall turns it round."""
    low, high = (paired.low, paired.high) if less_is_better else (-paired.high, -paired.low)
    return Cell(
        text=points(delta, 1),
        note=f"{signed(100 * low, 1)} to {signed(100 * high, 1)}",
        order=delta,
        tone=tone_of(delta, less_is_better=less_is_better) if _is_clear(paired) else "",
    )


def _verdict(delta: float, paired: PairedComparison, *, less_is_better: bool) -> str:
    tone = tone_of(delta, less_is_better=less_is_better) if _is_clear(paired) else ""
    return f"{tone or 'no clear difference'}, P(better) {paired.prob_better:.3f}"


def _is_clear(paired: PairedComparison) -> bool:
    """The interval does not hold 0."""
    return paired.low > 0 or paired.high < 0


def _mark(found: Interval | None) -> Mark | None:
    return Mark(place=found.rate, low=found.low, high=found.high) if found else None


def _rate_row(
    label: str, result: SetResult, measure: Callable[[Evaluation], Interval | None], *, less_is_better: bool
) -> tuple[Cell, ...]:
    adapted, base = measure(result.adapted), measure(result.base) if result.base is not None else None
    if adapted is None:
        return ()
    cells = [
        Cell(text=percent(found.rate), note=interval(found.low, found.high)) if found else Cell(text=NONE)
        for found in (base, adapted)
    ]
    delta = adapted.rate - base.rate if base else 0.0
    return Cell(text=label), *cells, change(delta, less_is_better=less_is_better, unit="share")


def _share_row(label: str, result: SetResult, get: Rate, *, less_is_better: bool) -> tuple[Cell, ...]:
    adapted, base = get(result.adapted), get(result.base) if result.base is not None else None
    if adapted is None:
        return ()
    cells = [Cell(text=percent(value)) if value is not None else Cell(text=NONE) for value in (base, adapted)]
    delta = adapted - base if base is not None else 0.0
    return Cell(text=label), *cells, change(delta, less_is_better=less_is_better, unit="share")


def _count_row(label: str, result: SetResult, get: Rate) -> tuple[Cell, ...]:
    """Counts of errors have less for better; what was said has no better, and no change."""
    adapted, base = get(result.adapted), get(result.base) if result.base is not None else None
    if adapted is None:
        return ()
    cells = [Cell(text=number(value)) if value is not None else Cell(text=NONE) for value in (base, adapted)]
    delta = adapted - base if base is not None else 0.0
    return Cell(text=label), *cells, change(delta, less_is_better=True, unit="count")


def _speed_row(result: SetResult) -> tuple[Cell, ...]:
    base = result.base.rtfx if result.base is not None else None
    adapted = result.adapted.rtfx
    if adapted is None:
        return ()
    cells = [Cell(text=f"{value:.1f}") if value is not None else Cell(text=NONE) for value in (base, adapted)]
    return Cell(text="RTFx (audio per wall time)"), *cells, Cell(text="")
