"""The phrases that versions carry: what a job's base and its result look for in whatever they hear (``asr.biasing``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.biasing.phrases import Phrase, PhraseSet, combined, phrase_set
from asr.data.glossary import Term, read_terms
from asr.errors import OptionError
from training.spec import AdaptationSpec
from training.text_terms import can_find_terms, text_terms

SHOWN = 12  # of the terms found, in a note


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """None for none.

    Attributes:
        base: what the base carries.
        adapted: what a version of the job does: the glossary, terms found in its text, and what the base carries.
        notes: what of the glossary cannot be looked for and why, and what was found in the text.
    """

    base: PhraseSet | None = None
    adapted: PhraseSet | None = None
    notes: tuple[str, ...] = ()


def carried_by(
    spec: AdaptationSpec, base: PhraseSet | None, *, is_able: bool, lines: Sequence[str] = ()
) -> Carried:
    """What base and result of a job carry.

    Args:
        spec: of the job.
        base: what the base carries.
        is_able: whether versions of this family look for phrases.
        lines: of the text, to find terms in.
    """
    if not (is_able and spec.training.carry_phrases):
        return Carried(base=base)
    own, notes = phrases_of(read_terms(spec.terms)) if spec.terms else (None, ())
    found, told = _found(spec, lines)
    adapted = None
    for phrases in (own, base, found):  # what a person gave counts before what was found
        adapted = combined(adapted, phrases) if adapted and phrases else adapted or phrases
    return Carried(base=base, adapted=adapted, notes=(*notes, *told))


def _found(spec: AdaptationSpec, lines: Sequence[str]) -> tuple[PhraseSet | None, tuple[str, ...]]:
    """The terms that lines of the text hold, and a note on them."""
    if not lines or not spec.training.text_phrases:
        return None, ()
    if not can_find_terms(spec.code):
        note = f"text: no terms are found in it, since how often words stand in {spec.code!r} is not known; give --terms"
        return None, (note,)
    terms = text_terms(lines, spec.code, limit=spec.training.text_phrases)
    phrases, _ = phrases_of([Term(text=text) for text in terms])
    if phrases is None:
        return None, ("text: no terms are found in it that are looked for",)
    shown = ", ".join([one.text for one in phrases][:SHOWN])
    return phrases, (f"text: {len(phrases)} terms found in it are looked for, such as {shown}",)


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
