"""Accuracy of several systems on the same recordings: corpus rates, and paired bootstrap intervals of a difference.

A long recording is one row; where it has a transcript, its errors are given to the utterances that it was joined from,
so that there is something to resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, evaluate_texts
from asr.evaluation.significance import PairedComparison, paired_bootstrap
from asr.evaluation.wer import align_words
from asr.text.normalize import DEFAULT_NORMALIZER, get_normalizer
from benchmarks.measure.recordings import Recording

Counts = NDArray[np.int64]
UNCHANGED = "raw-1"


class Accuracy:
    """Scores texts of ``recordings``; ``terms`` is the glossary."""

    def __init__(self, recordings: Sequence[Recording], terms: Sequence[str]) -> None:
        self._recordings = recordings
        self._utterances = [recording.utterance for recording in recordings]
        self._terms = terms

    def rates(self, texts: Sequence[str]) -> dict[str, Any]:
        """WER, term recall and precision with their counts; None where there is nothing to count."""
        scored = self._evaluation(texts)
        terms = scored.terms
        errors = self._word_errors(texts).sum(axis=0)
        return {
            "wer": float(errors[0] / errors[1]) if errors[1] else None,
            "reference_words": int(errors[1]),
            "term_recall": terms.recall if terms else None,
            "term_precision": terms.precision if terms else None,
            "terms_said": terms.said if terms else None,
        }

    def differences(self, theirs: Sequence[str], ours: Sequence[str]) -> dict[str, Any]:
        """Ours less theirs, of the WER and of the share of missed terms; below 0, ours is better."""
        found: dict[str, Any] = {}
        pair = [self._evaluation(theirs), self._evaluation(ours)]
        if any(row.words for row in pair[0].rows):
            found["wer"] = _stated(self._compare_words(theirs, ours))
        missed = [_missed_terms(evaluation) for evaluation in pair]
        if pair[0].terms is not None and missed[0][1].sum():
            found["missed_terms"] = _stated(
                paired_bootstrap(missed[0][0], missed[1][0], missed[0][1], blocks=_blocks(self._utterances))
            )
        return found

    def _evaluation(self, texts: Sequence[str]) -> Evaluation:
        return evaluate_texts(self._utterances, texts, terms=self._terms)

    def _compare_words(self, theirs: Sequence[str], ours: Sequence[str]) -> PairedComparison:
        rows = [part for recording in self._recordings for part in recording.parts or (recording.utterance,)]
        first, second = self._word_errors(theirs), self._word_errors(ours)
        return paired_bootstrap(first[:, 0], second[:, 0], first[:, 1], blocks=_blocks(rows))

    def _word_errors(self, texts: Sequence[str]) -> Counts:
        """(N, 2): errors and reference words of every utterance in every recording."""
        pairs = zip(self._recordings, texts, strict=True)
        return np.concatenate([errors_by_part(one.parts or (one.utterance,), text) for one, text in pairs])


def errors_by_part(parts: Sequence[Utterance], text: str) -> Counts:
    """(N, 2): word errors and reference words of each utterance in a recording of N, from one alignment of the whole.

    A word that nobody said counts for the utterance in which the alignment puts it; at a border, for the earlier one.
    Rows without a transcript count nothing.
    """
    normalize = get_normalizer(DEFAULT_NORMALIZER)
    said = [
        normalize(part.text or "") for part in parts
    ]  # each by itself: numbers must not join across a border
    counts = np.zeros((len(parts), 2), np.int64)
    counts[:, 1] = [len(one.split()) for one in said]
    if not counts.any():
        return counts
    ends = np.cumsum(counts[:, 1])
    position = 0
    for step in align_words([" ".join(said)], [normalize(text)], UNCHANGED)[0]:
        is_said = step.reference is not None
        place = position if is_said else max(0, position - 1)
        part = min(int(np.searchsorted(ends, place, side="right")), len(parts) - 1)
        counts[part, 0] += step.reference != step.hypothesis
        position += is_said
    return counts


def _missed_terms(evaluation: Evaluation) -> tuple[Counts, Counts]:
    missed = [row.terms.false_negatives if row.terms else 0 for row in evaluation.rows]
    said = [row.terms.said if row.terms else 0 for row in evaluation.rows]
    return np.asarray(missed, np.int64), np.asarray(said, np.int64)


def _blocks(rows: Sequence[Utterance]) -> list[str]:
    return [row.speaker or row.session or row.id for row in rows]


def _stated(comparison: PairedComparison) -> dict[str, Any]:
    return {
        "delta": comparison.delta,
        "interval": [comparison.low, comparison.high],
        "prob_better": comparison.prob_better,
        "resampled": comparison.unit,
        "num_resampled": comparison.num_units,
    }
