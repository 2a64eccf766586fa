"""Distances: words never recognised, fragmentation, surprise; what is right is less surprising than what is not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asr.audio.files import write_audio
from asr.data.manifest import Utterance
from asr.evaluation.evaluate import evaluate_texts
from asr.models.bundled import unpack_bundled
from asr.models.ctc_torch import TorchCtc
from asr.models.resolve import resolve_model
from asr.models.whisper_tokens import WhisperTokenizer
from training.distance import (
    ctc_fragmentation,
    ctc_surprise,
    unrecognised_words,
    whisper_fragmentation,
    whisper_surprise,
)


def _row(text: str | None, **changes: Any) -> Utterance:
    return replace(Utterance(id=text or "", audio_path=Path("x.wav"), duration_s=1.0, text=text), **changes)


def test_a_word_is_unrecognised_if_it_is_never_written_where_it_was_said() -> None:
    rows = [_row("take aspirin now"), _row("aspirin and warfarin"), _row("warfarin now")]
    found = unrecognised_words(evaluate_texts(rows, ["take a spring now", "aspirin and war", "four in now"]))
    assert found is not None
    assert (found.distinct, found.unrecognised, found.named) == (5, 1, (("warfarin", 2),))
    assert found.share_of_said == pytest.approx(2 / 8)


def test_without_transcripts_nothing_is_known_of_words() -> None:
    assert unrecognised_words(evaluate_texts([_row(None, terms=("x",))], ["x"])) is None


def test_rare_words_are_cut_into_more_tokens() -> None:
    tokenizer = WhisperTokenizer(unpack_bundled("tiny.en").transformers_dir / "tokenizer.json")
    plain = whisper_fragmentation(["The TRAIN, to the coast!", "THE HOUSE"], tokenizer)
    assert (plain.words, plain.split_share) == (7, pytest.approx(1 / 7))  # "TRAIN" is not all of its text
    assert whisper_fragmentation(["THE HOUSE"], tokenizer).tokens_per_word == 1.0
    rare = whisper_fragmentation(["lisinopril amlodipine"], tokenizer)
    assert rare.split_share == 1.0 and rare.tokens_per_word > 2


def test_characters_that_a_ctc_cannot_write_are_counted(small_ctc: Path) -> None:
    found = ctc_fragmentation(["Take 5 mg, then 5 more."], TorchCtc(small_ctc).tokens)
    assert found.unwritable == (("5", 2),)
    assert found.split_share is None


def test_the_right_words_surprise_less_than_others(spoken: dict[str, Any], tmp_path: Path) -> None:
    base = resolve_model("bundled:tiny.en")
    rows = []
    for number, (text, samples) in enumerate(spoken.items()):
        write_audio(tmp_path / f"{number}.wav", samples)
        row = Utterance(
            id=str(number), audio_path=tmp_path / f"{number}.wav", duration_s=len(samples) / 16_000, text=text
        )
        rows.append(row)
    right = whisper_surprise(base, rows, tmp_path / "encoded", num_workers=1)
    texts = [row.text for row in rows]
    wrong_rows = [replace(row, text=text) for row, text in zip(rows, (*texts[1:], texts[0]), strict=True)]
    wrong = whisper_surprise(base, wrong_rows, tmp_path / "encoded", num_workers=1)
    assert right is not None and wrong is not None
    assert right.perplexity is not None and wrong.perplexity is not None
    assert 1 < right.perplexity < 2 < 10 < wrong.perplexity
    nats = math.log(right.perplexity) * right.tokens
    characters = sum(len(text or "") for text in texts)
    assert right.bits_per_character == pytest.approx(nats / math.log(2) / characters)
    assert whisper_surprise(base, [_row("long", duration_s=31.0)], tmp_path, num_workers=1) is None


def test_the_right_words_surprise_a_ctc_less(small_ctc: Path, domain_utterances: list[Utterance]) -> None:
    engine = TorchCtc(small_ctc, dtype="float32")
    rows = domain_utterances[:4]
    right = ctc_surprise(engine, rows, small_ctc)
    wrong_rows = [replace(row, text=rows[index - 1].text) for index, row in enumerate(rows)]
    wrong = ctc_surprise(engine, wrong_rows, small_ctc)
    assert right is not None and wrong is not None
    assert right.perplexity is None and right.bits_per_character < wrong.bits_per_character / 4
