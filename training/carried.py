"""The phrases that versions carry: what a job's base and its result look for in whatever they hear (``asr.biasing``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.biasing.phrases import Phrase, PhraseSet, combined, phrase_set
from asr.data.glossary import Term, read_terms
from asr.errors import OptionError
from training.spec import AdaptationSpec

SHOWN = 12  # of the terms found, in a note


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """None for none.

    Attributes:
        base: what the base carries.
        adapted: what a version of the job does: the glossary, terms found in its text, and what the base carries.
        notes: what of the glossary cannot be looked for, and why.
    """

    base: PhraseSet | None = None
    adapted: PhraseSet | None = None
    notes: tuple[str, ...] = ()


def carried_by(
    spec: AdaptationSpec, base: PhraseSet | None, *, is_able: bool, found: Sequence[str] = ()
) -> Carried:
    """What base and result of a job carry.

    Args:
        spec: of the job.
        base: what the base carries.
        is_able: whether versions of this family look for phrases.
        found: terms found in the text (:func:`training.text_terms.text_terms`).
    """
    if not (is_able and spec.training.carry_phrases):
        return Carried(base=base)
    own, notes = phrases_of(read_terms(spec.terms)) if spec.terms else (None, ())
    others, _ = phrases_of([Term(text=text) for text in found])
    if others:
        shown = ", ".join([one.text for one in others][:SHOWN])
        notes = (*notes, f"text: {len(others)} terms found in it are looked for, such as {shown}")
    adapted = None
    for phrases in (own, others, base):
        adapted = combined(adapted, phrases) if adapted and phrases else adapted or phrases
    return Carried(base=base, adapted=adapted, notes=notes)


def phrases_of(glossary: Sequence[Term]) -> tuple[PhraseSet | None, tuple[str, ...]]:
    """What of a glossary can be looked for in an utterance, and a note on each term that cannot."""
    usable, reasons = [], {}
    for term in glossary:
        try:
            usable.append(Phrase(text=term.text, critical=term.critical))
        except OptionError as error:  # too long
            reasons[term.text] = str(error)
    phrases, reports = phrase_set(usable, max_phrases=len(usable))
    reasons |= {one.text: one.reason for one in reports if one.reason}
    notes = tuple(
        f"terms: {text!r} is taught, but not looked for: {reason}" for text, reason in reasons.items()
    )
    return phrases if len(phrases) else None, notes
