"""Evaluation: a model over a manifest, and two models over the same one, paired.

Utterances go through the recognizer as a recording would, so what is measured is what is served. Every rate comes from
counts under a named normaliser; no row is ever dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.biasing.phrases import PhraseSet
from asr.data.manifest import Utterance, load_samples
from asr.evaluation.significance import PairedComparison, bootstrap_interval, paired_bootstrap
from asr.evaluation.terms import BiasedErrors, TermCounts, biased_errors, term_counts
from asr.evaluation.wer import ErrorCounts, align_words, char_errors, sum_counts, word_errors
from asr.models.base import DecodingOptions, Samples
from asr.recognizer import Recognizer
from asr.text.normalize import BY_CHARACTER, DEFAULT_NORMALIZER


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One utterance's outcome; error counts are None where there is no transcript, term counts where no terms.

    Under a normaliser by character, words are characters.
    """

    id: str
    speaker: str
    reference: str | None
    hypothesis: str
    words: ErrorCounts | None
    chars: ErrorCounts | None
    terms: TermCounts | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One model over one set.

    Attributes:
        model: the immutable reference.
        normalizer: its name and version.
        term_list: the glossary that terms were counted by.
        rows: in the manifest's order, none missing.
        audio_s: audio that was decoded; 0 where texts were given.
        compute_s: wall time that decoding took.
    """

    model: str
    normalizer: str
    rows: tuple[Row, ...]
    term_list: tuple[str, ...] = ()
    audio_s: float = 0.0
    compute_s: float = 0.0

    @property
    def by_character(self) -> bool:
        """Whether the language is written without spaces, so that its words are characters here."""
        return self.normalizer in BY_CHARACTER

    @property
    def words(self) -> ErrorCounts | None:
        """Corpus counts, or None if no row has a transcript; of characters under a normaliser by character."""
        found = [row.words for row in self.rows if row.words is not None]
        return sum_counts(found) if found else None

    @property
    def chars(self) -> ErrorCounts | None:
        """Corpus counts, or None if no row has a transcript."""
        found = [row.chars for row in self.rows if row.chars is not None]
        return sum_counts(found) if found else None

    @property
    def terms(self) -> TermCounts | None:
        """Corpus counts, or None if no row has terms."""
        found = [row.terms for row in self.rows if row.terms is not None]
        return sum(found, TermCounts()) if found else None

    @property
    def wer(self) -> float | None:
        """Word error rate as a share; None without transcripts, and where words are not written apart."""
        return self.words.rate if self.words is not None and not self.by_character else None

    @property
    def text_error(self) -> float | None:
        """WER, or CER where words are not written apart; as a share, None without transcripts."""
        return self.words.rate if self.words is not None else None

    @property
    def term_f1(self) -> float | None:
        """Term F1 as a share."""
        return self.terms.f1 if self.terms is not None else None

    @property
    def biased(self) -> BiasedErrors | None:
        """Errors on the glossary's words and on all others, or None without transcripts or glossary."""
        pairs = [(row.reference, row.hypothesis) for row in self.rows if row.reference is not None]
        if not pairs or not self.term_list:
            return None
        references, hypotheses = zip(*pairs, strict=True)
        return biased_errors(
            align_words(references, hypotheses, self.normalizer), self.term_list, self.normalizer
        )

    @property
    def error(self) -> float:
        """What a model is judged by: WER or CER, or 1 - term F1 where there is no transcript; as a share."""
        text_error = self.text_error
        return text_error if text_error is not None else 1.0 - (self.term_f1 or 0.0)

    @property
    def error_name(self) -> str:
        """What :attr:`error` is."""
        if self.words is None:
            return "term error"
        return "CER" if self.by_character else "WER"

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second of wall time."""
        return self.audio_s / self.compute_s if self.compute_s else None


def transcript_of(utterance: Utterance) -> str | None:
    """What was said, as far as it is known: an empty text is silence, unless the row names terms instead."""
    if utterance.text is None or (not utterance.text.strip() and utterance.terms is not None):
        return None
    return utterance.text


def evaluate_texts(
    utterances: Sequence[Utterance],
    hypotheses: Sequence[str],
    *,
    normalizer: str = DEFAULT_NORMALIZER,
    terms: Sequence[str] = (),
    model: str = "",
) -> Evaluation:
    """Score texts against the utterances' transcripts and terms, row by row."""
    rows = []
    for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
        reference = transcript_of(utterance)
        said = utterance.terms if utterance.terms is not None else reference
        rows.append(
            Row(
                id=utterance.id,
                speaker=utterance.speaker or utterance.session or "",
                reference=reference,
                hypothesis=hypothesis,
                words=word_errors(reference, hypothesis, normalizer) if reference is not None else None,
                chars=char_errors(reference, hypothesis, normalizer) if reference is not None else None,
                terms=term_counts(said, hypothesis, terms, normalizer)
                if said is not None and terms
                else None,
            )
        )
    return Evaluation(model=model, normalizer=normalizer, rows=tuple(rows), term_list=tuple(terms))


def evaluate_model(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    *,
    normalizer: str = DEFAULT_NORMALIZER,
    terms: Sequence[str] = (),
    options: DecodingOptions | None = None,
    phrases: PhraseSet | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Transcribe every utterance as a recording of its own and score it.

    Args:
        recognizer: the model.
        utterances: with transcripts, or terms that were said.
        normalizer: by name.
        terms: the glossary; without it terms are not scored.
        options: the search; by default beam 5 without word times.
        phrases: that any utterance may hold.
        on_row: called after each utterance.

    Raises:
        AudioError: a recording cannot be read.
    """
    audio_s = 0.0

    def recordings() -> Iterator[Samples]:
        nonlocal audio_s
        for utterance in utterances:
            samples = load_samples(utterance)
            audio_s += len(samples) / 16_000
            yield samples

    started = time.perf_counter()
    hypotheses = []
    options = options or DecodingOptions(word_times=False)
    for transcript in recognizer.transcribe_many(recordings(), options, phrases=phrases):
        hypotheses.append(transcript.text)
        on_row()
    compute_s = time.perf_counter() - started
    scored = evaluate_texts(
        utterances, hypotheses, normalizer=normalizer, terms=terms, model=recognizer.reference
    )
    return replace(scored, audio_s=audio_s, compute_s=compute_s)


def compare(
    base: Evaluation, other: Evaluation, *, num_samples: int = 2000, seed: int = 0
) -> PairedComparison:
    """Paired bootstrap of two models over the same rows, resampling speakers: is ``other`` better?

    The error is words' where there are transcripts, else missed and wrongly found terms'.
    """
    errors, sizes = zip(*(_errors(evaluation) for evaluation in (base, other)), strict=True)
    blocks = [row.speaker or row.id for row in base.rows]
    return paired_bootstrap(errors[0], errors[1], sizes[0], blocks=blocks, samples=num_samples, seed=seed)


def _errors(evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Errors and reference size of each row."""
    if evaluation.words is not None:
        pairs = [
            (row.words.errors, row.words.num_reference) if row.words else (0, 0) for row in evaluation.rows
        ]
    else:
        pairs = [
            (
                row.terms.false_negatives + row.terms.false_positives,
                row.terms.true_positives + row.terms.false_negatives,
            )
            if row.terms
            else (0, 0)
            for row in evaluation.rows
        ]
    array = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything as JSON-ready values; rates are shares, ``None`` where they are not defined.

    Substitutions, deletions and insertions are of what ``metric`` counts: words, or characters for a CER.
    """
    words, chars, terms, biased = evaluation.words, evaluation.chars, evaluation.terms, evaluation.biased
    by_character = evaluation.by_character
    interval = _interval(evaluation) if words else None
    document: dict[str, Any] = {
        "model": evaluation.model,
        "normalizer": evaluation.normalizer,
        "utterances": len(evaluation.rows),
        "utterances_with_text": sum(row.words is not None for row in evaluation.rows),
        "metric": evaluation.error_name,
        "wer": evaluation.wer,
        "wer_interval": None if by_character else interval,
        "cer": chars.rate if chars else None,
        "cer_interval": interval if by_character else None,
        "substitutions": words.substitutions if words else None,
        "deletions": words.deletions if words else None,
        "insertions": words.insertions if words else None,
        "reference_words": words.num_reference if words and not by_character else None,
        "reference_characters": chars.num_reference if chars else None,
        "term_recall": terms.recall if terms else None,
        "term_precision": terms.precision if terms else None,
        "term_f1": terms.f1 if terms else None,
        "terms_said": terms.true_positives + terms.false_negatives if terms else None,
        "terms_missed": terms.false_negatives if terms else None,
        "terms_inserted": terms.false_positives if terms else None,
        "biased_wer": biased.biased.rate if biased and not by_character else None,
        "unbiased_wer": biased.unbiased.rate if biased and not by_character else None,
        "audio_s": round(evaluation.audio_s, 3),
        "rtfx": round(evaluation.rtfx, 2) if evaluation.rtfx else None,
    }
    return document


def _interval(evaluation: Evaluation) -> list[float]:
    errors, sizes = _errors(evaluation)
    interval = bootstrap_interval(errors, sizes, blocks=[row.speaker or row.id for row in evaluation.rows])
    return [interval.low, interval.high]
