"""Our reading of a CTC vocabulary is transformers', in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.decoding.ctc_alignment import best_path
from asr.decoding.ctc_tokens import CtcTokens, read_tokens
from asr.errors import ModelError

UPPER = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEHLO'"]


def write_vocabulary(folder: Path, tokens: list[str], **settings: Any) -> Path:
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("tokens", "settings", "blank"),
    [
        (UPPER, {}, 0),
        (UPPER, {"do_lower_case": True}, 0),
        ([*"abcdehlo'", "|", "[UNK]", "[PAD]"], {"unk_token": "[UNK]", "pad_token": "[PAD]"}, 11),
    ],
)
def test_paths_become_the_text_that_transformers_writes(
    tmp_path: Path, tokens: list[str], settings: dict[str, Any], blank: int
) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    folder = write_vocabulary(tmp_path, tokens, **settings)
    theirs = Wav2Vec2CTCTokenizer.from_pretrained(str(folder))
    ours = read_tokens(folder, blank=blank, vocab_size=len(tokens))
    rng = np.random.default_rng(0)
    spoken = [index for index, label in enumerate(ours.labels) if label]
    for _ in range(50):
        path = rng.choice([*spoken, blank, blank, blank], size=40)
        log_probs = np.log(np.full((40, len(tokens)), 1e-3, np.float32))
        log_probs[np.arange(40), path] = 0.0
        text = ours.text([span.token for span in best_path(log_probs, ours)])
        assert text == " ".join(theirs.decode(path).split())
        assert ours.text(ours.encode(text)) == text
        assert ours.encode(text) == theirs(text).input_ids


def test_folding_follows_the_vocabularys_case_and_names_what_is_missing(tmp_path: Path) -> None:
    upper = read_tokens(write_vocabulary(tmp_path, UPPER), blank=0, vocab_size=len(UPPER))
    assert upper.fold(" a  b ") == "A B"
    assert upper.missing("a 42 z") == ("2", "4", "Z")
    assert CtcTokens(labels=("", " ", "a"), blank=0).fold("A A") == "a a"
    assert CtcTokens(labels=("", " ", "a", "'"), blank=0).fold("A’a ʼa") == "a'a 'a"
    assert CtcTokens(labels=("", " ", "a", "'", "’"), blank=0).fold("a’a'a") == "a’a'a"
    assert CtcTokens(labels=("", " ", "a"), blank=0).fold("a’a") == "a’a"  # there is none to write
    assert CtcTokens(labels=("", " ", "a", "A"), blank=0).fold("A a") == "A a"
    with pytest.raises(ModelError, match="no 2 4"):
        upper.encode("a 42")


def test_a_vocabulary_that_does_not_fit_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="save the tokenizer with the model"):
        read_tokens(tmp_path, blank=0, vocab_size=3)
    write_vocabulary(tmp_path, ["<pad>", "<s>"])
    with pytest.raises(ModelError, match="do not fit"):
        read_tokens(tmp_path, blank=0, vocab_size=2)
    write_vocabulary(tmp_path, UPPER)
    with pytest.raises(ModelError, match="do not fit"):
        read_tokens(tmp_path, blank=40, vocab_size=len(UPPER))
    (tmp_path / "vocab.json").write_text(json.dumps({"eng": {"a": 0}, "deu": {"a": 0}}))
    with pytest.raises(ModelError, match="one language"):
        read_tokens(tmp_path, blank=0, vocab_size=2)
