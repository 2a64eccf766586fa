"""Transcripts in a checkpoint's characters: nothing that is said is lost silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr.data.manifest import Utterance
from asr.decoding.ctc_alignment import min_frames
from asr.decoding.ctc_tokens import CtcTokens
from training.ctc_text import fold_transcript, make_ctc_examples, new_characters

TOKENS = CtcTokens(labels=("", " ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"), blank=0)


@pytest.mark.parametrize(
    ("text", "folded", "missing"),
    [
        ("Two lattes, please!", "TWO LATTES PLEASE", ()),
        ("It’s a well-known café.", "IT'S A WELL KNOWN CAFE", ()),
        ("Take 20 mg", "TAKE 20 MG", ("0", "2")),
        ("Ærø", "ÆRØ", ("Æ", "Ø")),
        (" ... ", "", ()),
    ],
)
def test_punctuation_and_accents_go_and_letters_and_digits_stay(
    text: str, folded: str, missing: tuple[str, ...]
) -> None:
    result = fold_transcript(text, TOKENS)
    assert (result.text, result.missing) == (folded, missing)
    again = fold_transcript(result.text, TOKENS)
    assert (again.text, again.dropped, again.unaccented) == (folded, (), ())


def test_characters_of_the_vocabulary_are_never_folded() -> None:
    tokens = CtcTokens(labels=("", " ", *"caféCAFÉ-."), blank=0)
    assert fold_transcript("Café-face.", tokens).text == "Café-face."


def utterance(text: str, duration_s: float) -> Utterance:
    return Utterance(id=text or "empty", audio_path=Path("none.wav"), duration_s=duration_s, text=text)


def test_rows_that_cannot_be_learnt_come_back_with_the_reason() -> None:
    rows = [
        utterance("A cat.", 2.0),
        utterance("", 2.0),
        utterance("Room 12", 2.0),
        utterance("far too many words for so little audio", 0.5),
        utterance("long", 31.0),
        utterance("Élan, yes", 2.0),
    ]
    made = make_ctc_examples(rows, TOKENS, receptive_samples=400, stride_samples=320)
    assert [TOKENS.text(example.tokens) for example in made.examples] == ["A CAT", "ELAN YES"]
    reasons = [row.reason for row in made.rejected]
    expected = ["no text", "cannot write 1 2", "38 characters need 40 frames", "at most 30 s"]
    assert len(reasons) == len(expected)
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True))
    assert any(". 1x" in note for note in made.notes) and any("É 1x" in note for note in made.notes)


@pytest.mark.parametrize("text", ["CAT", "CATT", "TTTT"])
def test_a_row_is_taken_exactly_from_the_frames_that_ctc_needs(text: str) -> None:
    needed = min_frames(TOKENS.encode(text))
    for num_frames, is_taken in ((needed, True), (needed - 1, False)):
        rows = [utterance(text, (400 + 320 * (num_frames - 1)) / 16_000)]
        made = make_ctc_examples(rows, TOKENS, receptive_samples=400, stride_samples=320)
        assert bool(made.examples) is is_taken


def test_new_characters_are_the_letters_and_digits_that_are_missing() -> None:
    assert new_characters(["Þetta er 4!", "Ægir, Élan"], TOKENS) == ("4", "Æ", "Þ")
