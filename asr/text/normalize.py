"""Normalisers: what counts as the same text when words are compared. Named and versioned.

A figure is only comparable under the same name; a normaliser that would change gets a new number instead. Not
for the texts that a model is trained on or returns.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from asr.errors import OptionError

Normalizer = Callable[[str], str]

DEFAULT_NORMALIZER = "whisper-en-1"

BY_CHARACTER = frozenset({"basic-chars-1"})
"""Normalisers whose words are characters: what is counted under them is a CER."""

_APOSTROPHES = re.compile(r"(?<=[^\W_])'(?=[^\W_])")
_SPELLED = re.compile(r"\b\w(?: \w)+\b")


def raw(text: str) -> str:
    """``raw-1``: the text as it is, but for white space at the ends and in runs."""
    return " ".join(text.split())


def basic(text: str) -> str:
    """``basic-1``, for any language: NFKC, lower case, no punctuation or symbols but apostrophes in words."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).replace("’", "'")
    kept = {match.start() for match in _APOSTROPHES.finditer(text)}
    signs = (
        sign if index in kept or unicodedata.category(sign)[0] not in "PSC" else " "
        for index, sign in enumerate(text)
    )
    return raw("".join(signs))


def basic_characters(text: str) -> str:
    """``basic-chars-1``, for languages written without spaces: ``basic-1``, then a space after every character.

    A word is a character then, so that rates over words are rates over characters, terms are found in unbroken text,
    and where a model puts spaces is no error.
    """
    return " ".join(basic(text).replace(" ", ""))


def whisper_basic(text: str) -> str:
    """``whisper-basic-1``: Whisper's normaliser for languages other than English (Radford et al. 2022, appendix C).

    Lower case, no bracketed remarks, marks, symbols and punctuation as spaces: apostrophes part words. Combining
    marks without a composed form become spaces, too, so it does not suit scripts that write vowels with them.
    """
    return raw(_basic()(text))


def whisper_english(text: str) -> str:
    """``whisper-en-1``: Whisper's own normaliser (Radford et al. 2022, appendix C), as in transformers.

    Lower case, no punctuation, no fillers ("hmm") or bracketed remarks, contractions and titles written out,
    numbers as digits: "TWO SIXTY" equals "260". The British-to-American spelling table of the paper is not
    part of the transformers package and is left out, so "colour" and "color" differ.
    """
    return raw(_english()(text))


def whisper_english_spelled(text: str) -> str:
    """``whisper-en-spelled-1``: ``whisper-en-1``, then runs of single letters and digits are joined.

    For domains where people spell: "U M N", "U-M-N" and "UMN" are one answer there, and which of them a model
    writes says nothing about what it heard. The price: "plan a 5" equals "plan a5", and a spelled word is one
    word, so that one wrong letter is one error.
    """
    return _SPELLED.sub(lambda run: run[0].replace(" ", ""), whisper_english(text))


@functools.cache
def _basic() -> Normalizer:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    normalize: Normalizer = BasicTextNormalizer()
    return normalize


@functools.cache
def _english() -> Normalizer:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalize: Normalizer = EnglishTextNormalizer({})
    return normalize


NORMALIZERS: Mapping[str, Normalizer] = MappingProxyType(
    {
        "raw-1": raw,
        "basic-1": basic,
        "basic-chars-1": basic_characters,
        "whisper-basic-1": whisper_basic,
        "whisper-en-1": whisper_english,
        "whisper-en-spelled-1": whisper_english_spelled,
    }
)


def get_normalizer(name: str = DEFAULT_NORMALIZER) -> Normalizer:
    """The normaliser of that name.

    Raises:
        OptionError: there is none; lists the known ones.
    """
    if name not in NORMALIZERS:
        raise OptionError(
            f"there is no normaliser {name!r}; use {', '.join(NORMALIZERS)}", field="normalizer"
        )
    return NORMALIZERS[name]
