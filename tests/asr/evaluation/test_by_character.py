"""Languages without spaces between words: errors are counted in characters and called a CER, terms are found."""

from __future__ import annotations

from pathlib import Path

from asr.data.manifest import Utterance
from asr.evaluation.evaluate import Evaluation, as_document, compare, evaluate_texts
from asr.text.languages import normalizer_for

REFERENCES = ("医者は薬を出した", "電車が遅れています")
HYPOTHESES = ("医者は 薬を出した", "電車は遅れています")


def _scored(language: str, terms: tuple[str, ...] = ()) -> Evaluation:
    rows = [
        Utterance(id=str(index), audio_path=Path("x.wav"), duration_s=1.0, text=text)
        for index, text in enumerate(REFERENCES)
    ]
    return evaluate_texts(rows, HYPOTHESES, normalizer=normalizer_for(language), terms=terms)


def test_japanese_is_judged_by_cer_and_a_space_is_no_error() -> None:
    evaluation = _scored("ja")
    assert (evaluation.error_name, evaluation.wer) == ("CER", None)
    assert evaluation.error == evaluation.text_error == 1 / 17
    document = as_document(evaluation)
    assert (document["metric"], document["wer"], document["cer"]) == ("CER", None, 1 / 17)
    assert (document["substitutions"], document["reference_characters"]) == (1, 17)
    assert document["reference_words"] is None and document["wer_interval"] is None
    assert document["cer_interval"][0] <= 1 / 17 <= document["cer_interval"][1]


def test_the_same_texts_by_words_would_be_all_wrong() -> None:
    evaluation = _scored("de")
    assert (evaluation.error_name, evaluation.error) == ("WER", 1.5)


def test_terms_are_found_in_unbroken_text_and_pairs_are_compared() -> None:
    evaluation = _scored("ja", ("薬", "電車", "バス"))
    assert evaluation.terms is not None
    assert (evaluation.terms.true_positives, evaluation.terms.said) == (2, 2)
    assert compare(evaluation, evaluation).delta == 0
