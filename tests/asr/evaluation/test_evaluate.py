"""Evaluation of rows: nothing is dropped, and pairs are compared over the same rows."""

from __future__ import annotations

from pathlib import Path

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import as_document, compare, evaluate_texts


def _row(number: int, text: str | None, terms: tuple[str, ...] | None = None) -> Utterance:
    return Utterance(id=f"u{number}", audio_path=Path("x.wav"), duration_s=1.0, text=text, terms=terms)


def test_words_invented_on_silence_count_and_terms_only_rows_are_told_apart() -> None:
    rows = [_row(0, "take two boxes"), _row(1, ""), _row(2, None, ("aspirin",))]
    done = evaluate_texts(rows, ["take two boxes", "thank you so much", "aspirin"], terms=["aspirin"])
    document = as_document(done)
    assert (document["utterances"], document["utterances_with_text"]) == (3, 2)
    assert (document["insertions"], document["reference_words"]) == (4, 3)
    assert document["wer"] == 4 / 3
    assert (document["terms_said"], document["term_recall"]) == (1, 1.0)


def test_without_transcripts_the_error_is_that_of_terms() -> None:
    rows = [_row(number, None, ("aspirin",)) for number in range(20)]
    base = evaluate_texts(rows, [""] * 20, terms=["aspirin"])
    other = evaluate_texts(rows, ["aspirin"] * 20, terms=["aspirin"])
    assert (base.error, other.error, other.error_name) == (1.0, 0.0, "term error")
    comparison = compare(base, other)
    assert (comparison.delta, comparison.prob_better) == (-1.0, 1.0)


def test_a_model_is_not_better_than_itself() -> None:
    rows = [_row(number, "one two three") for number in range(12)]
    done = evaluate_texts(rows, ["one two"] * 12)
    comparison = compare(done, done)
    assert (comparison.delta, comparison.prob_better, comparison.num_units) == (0.0, 0.0, 12)
