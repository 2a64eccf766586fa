"""What follows from the language of a text: its code, the unit that errors are counted in, the normaliser that fits.

Which languages a model knows is the model's to say; codes here are those of Whisper (ISO 639-1, else 639-3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asr.errors import OptionError
from asr.text.normalize import DEFAULT_NORMALIZER

AUTO: Final = "auto"
ENGLISH: Final = "en"
# Source: openai/whisper, tokenizer.py
WITHOUT_SPACES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
# Khmer puts spaces between phrases, not words; Whisper's list lacks it.
_BY_CHARACTER: Final = WITHOUT_SPACES | {"km"}
# Vowels or tones are combining marks without a composed form: Whisper's basic normaliser makes spaces of them, which
# cuts words apart and forgives wrong vowels.
_WITH_MARKS: Final = frozenset(
    {"as", "bn", "bo", "gu", "hi", "kn", "ml", "mr", "ne", "pa", "sa", "si", "ta", "te", "yi", "yo"}
)
# Whisper's code for Javanese; Norwegian Bokmål is what Whisper calls Norwegian.
_ALIASES: Final = {"jv": "jw", "nb": "no", "cmn": "zh", "iw": "he", "fil": "tl"}


def language_code(tag: str) -> str:
    """The code that models know, of a BCP-47 tag: "de" for "de-AT"."""
    code = tag.replace("_", "-").partition("-")[0].lower()
    return _ALIASES.get(code, code)


def known_code(tag: str, known: Sequence[str], model: str) -> str:
    """The code of ``tag``, which ``model`` must know.

    Raises:
        OptionError: it does not; lists those that it knows.
    """
    code = language_code(tag)
    if code not in known:
        remedy = "" if len(known) > 1 else "; take a multilingual model, such as bundled:base"
        raise OptionError(
            f"language {tag!r} is not known to {model}, which knows {', '.join(known)}{remedy}",
            field="language",
        )
    return code


def normalizer_for(language: str) -> str:
    """The name of the normaliser for a language.

    Whisper's English one for English, its basic one elsewhere; ``basic-1`` where that one breaks words, and characters
    where words are not written apart.
    """
    if language == ENGLISH:
        return DEFAULT_NORMALIZER
    if language in _BY_CHARACTER:
        return "basic-chars-1"
    return "basic-1" if language in _WITH_MARKS else "whisper-basic-1"
