"""Digits and letters as they are spoken and misheard, and as they are written: the classes of account codes; and numbers.

``$DIGITS`` stands for two digits or more, ``$ALPHANUMERIC`` for letters, too. English names and their homophones; words
that are digits already are kept. In a phrase such as ``order number $DIGITS`` the words around the class say where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

DIGITS, ALPHANUMERIC = "$DIGITS", "$ALPHANUMERIC"
BUILT_IN = (DIGITS, ALPHANUMERIC)
MIN_SIGNS = 2
_DIGIT_NAMES = {
    "zero": "0", "oh": "0", "o": "0", "one": "1", "won": "1", "two": "2", "to": "2", "too": "2", "three": "3",
    "tree": "3", "four": "4", "for": "4", "fore": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "ate": "8",
    "nine": "9", "niner": "9",
}  # fmt: skip
_LETTER_NAMES = {
    "ay": "A", "bee": "B", "be": "B", "see": "C", "sea": "C", "cee": "C", "dee": "D", "ef": "F", "eff": "F", "gee": "G",
    "aitch": "H", "eye": "I", "jay": "J", "kay": "K", "el": "L", "ell": "L", "em": "M", "en": "N", "pee": "P", "pea": "P",
    "queue": "Q", "cue": "Q", "are": "R", "ess": "S", "tee": "T", "tea": "T", "you": "U", "vee": "V", "ex": "X",
    "why": "Y", "zee": "Z", "zed": "Z",
}  # fmt: skip
_NUMBER_NAMES = frozenset((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty",
    "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "billion", "trillion",
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth", "thirtieth", "fortieth", "fiftieth", "sixtieth", "seventieth", "eightieth", "ninetieth",
))  # fmt: skip
_SURE = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
_SIGNS = re.compile(r"[^0-9a-z]")


def signs(word: str, kind: str) -> str:
    """What a word stands for in a class; "" for nothing."""
    plain = _SIGNS.sub("", word.casefold())
    if plain.isdigit():
        return plain
    if plain in _DIGIT_NAMES:
        return _DIGIT_NAMES[plain]
    if kind != ALPHANUMERIC:
        return ""
    if plain in _LETTER_NAMES:
        return _LETTER_NAMES[plain]
    is_code = len(plain) == 1 or any(sign.isdigit() for sign in plain)
    return plain.upper() if plain and is_code else ""


def digits(word: str) -> str:
    """The number that a word has in digits, a point within it kept; "" for none."""
    return "".join(sign for sign in word if sign.isdigit() or sign == ".").strip(".")


def number_names(words: Sequence[str]) -> list[str]:
    """The English names of numbers among words and their parts ("twenty-five"), in their order."""
    parts = (_SIGNS.sub("", part) for word in words for part in word.casefold().split("-"))
    return [part for part in parts if part in _NUMBER_NAMES]


def runs(words: Sequence[str], kind: str) -> Iterator[tuple[int, int, str]]:
    """The longest stretches of words that may stand for a class: start, end, and how they are written.

    Each has at least ``MIN_SIGNS`` signs, and a word that cannot be mistaken: a digit or its usual name.
    """
    start = 0
    while start < len(words):
        end, written = start, ""
        while end < len(words) and (more := signs(words[end], kind)):
            written += more
            end += 1
            if words[end - 1].endswith((".", "?", "!")):
                break
        if len(written) >= MIN_SIGNS and any(_is_sure(word) for word in words[start:end]):
            yield start, end, written
        start = max(end, start + 1)


def _is_sure(word: str) -> bool:
    plain = _SIGNS.sub("", word.casefold())
    return plain in _SURE or any(sign.isdigit() for sign in plain)
