"""The phrases that versions carry: what a job's base and its result look for in whatever they hear (``asr.biasing``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.biasing.phrases import Phrase, PhraseSet, combined, phrase_set
from asr.data.glossary import Term, read_terms
from asr.errors import OptionError
from training.spec import AdaptationSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """None for none.

    Attributes:
        base: what the base carries.
        adapted: what a version of the job does: the glossary, and what the base carries.
        notes: what of the glossary cannot be looked for, and why.
    """

    base: PhraseSet | None = None
    adapted: PhraseSet | None = None
    notes: tuple[str, ...] = ()


def carried_by(spec: AdaptationSpec, base: PhraseSet | None, *, is_able: bool) -> Carried:
    """What base and result of a job carry.

    Args:
        spec: of the job.
        base: what the base carries.
        is_able: whether versions of this family look for phrases.
    """
    if not (is_able and spec.training.carry_phrases):
        return Carried(base=base)
    own, notes = phrases_of(read_terms(spec.terms)) if spec.terms else (None, ())
    return Carried(base=base, adapted=combined(own, base) if own and base else own or base, notes=notes)


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
