"""What was measured of one mix with the base, and counts of it that the gate asks for."""

from __future__ import annotations

from dataclasses import dataclass

from asr.evaluation.breakdown import by_term
from asr.evaluation.evaluate import Evaluation
from asr.evaluation.terms import TermCounts
from training.data import AdaptationData
from training.interpolate import MixScore


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A mix with the base, the context in which it was heard, and what it scores there."""

    score: MixScore
    context: str
    evaluations: dict[str, Evaluation]


def critical_counts(
    base: Variant, chosen: Variant, data: AdaptationData
) -> dict[str, tuple[TermCounts, TermCounts]]:
    """Counts of base and chosen on dev and the locked test together."""
    counts = []
    for variant in (base, chosen):
        summed: dict[str, TermCounts] = {}
        for name, rows in (("dev", data.dev), ("test", data.test)):
            found = by_term(variant.evaluations[name], rows) if name in variant.evaluations else {}
            for term, one in found.items():
                summed[term] = summed.get(term, TermCounts()) + one
        counts.append(summed)
    none = TermCounts()
    return {term: (counts[0].get(term, none), counts[1].get(term, none)) for term in data.critical}


def num_said(evaluation: Evaluation) -> int:
    """How often terms of the glossary are said."""
    return evaluation.terms.said if evaluation.terms is not None else 0


def num_words(sounds: Evaluation) -> int:
    """Words in texts where nothing was said."""
    return sounds.words.insertions if sounds.words is not None else 0
