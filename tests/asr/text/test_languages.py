"""Languages: tags become codes, unknown ones are refused with the list, and each has a normaliser that fits."""

from __future__ import annotations

import pytest

from asr.errors import OptionError
from asr.text.languages import WITHOUT_SPACES, known_code, language_code, normalizer_for
from asr.text.normalize import BY_CHARACTER, NORMALIZERS, get_normalizer


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de", "de"), ("de-AT", "de"), ("PT_br", "pt"), ("jv", "jw"), ("nb-NO", "no"), ("yue", "yue")],
)
def test_tags_become_the_models_codes(tag: str, code: str) -> None:
    assert language_code(tag) == code


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    assert known_code("cy-GB", ("cy", "en"), "a model") == "cy"
    with pytest.raises(OptionError, match="'tlh' is not known to a model, which knows cy, en"):
        known_code("tlh", ("cy", "en"), "a model")
    with pytest.raises(OptionError, match="take a multilingual model, such as bundled:base"):
        known_code("de", ("en",), "bundled:tiny.en")


def test_every_language_has_a_normaliser_that_fits() -> None:
    expected = {"en": "whisper-en-1", "de": "whisper-basic-1", "cy": "whisper-basic-1", "hi": "basic-1"}
    expected |= dict.fromkeys((*WITHOUT_SPACES, "km"), "basic-chars-1")
    for code, name in expected.items():
        assert normalizer_for(code) == name
        assert name in NORMALIZERS


@pytest.mark.parametrize(
    ("language", "text"),
    [("hi", "मेरी दवा"), ("ta", "மருந்து வேண்டும்"), ("bn", "ওষুধ চাই"), ("yo", "oògùn rẹ̀"), ("yi", "אַ מענטש")],
)
def test_no_chosen_normaliser_cuts_words_at_vowel_signs(language: str, text: str) -> None:
    assert len(get_normalizer(normalizer_for(language))(text).split()) == 2


@pytest.mark.parametrize("name", sorted(BY_CHARACTER))
@pytest.mark.parametrize("text", ["医者に行く", "医者 に 行く", "医者に、行く。"])
def test_by_character_spaces_and_punctuation_do_not_count(name: str, text: str) -> None:
    assert get_normalizer(name)(text) == "医 者 に 行 く"
