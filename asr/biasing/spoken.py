"""Digits and letters as they are spoken and misheard, and as they are written: the classes of account codes; and numbers.

``$DIGITS`` stands for two digits or more, ``$ALPHANUMERIC`` for letters, too. English names and their homophones; words
that are digits already are kept. In a phrase such as ``order number $DIGITS`` the words around the class say where it is.
"""

from __future__ import annotations

import re
from collections import Counter
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
_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {"fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "twelfth": 12}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_CARDINALS = {name: number for number, name in enumerate((*_UNITS, *_TEENS))} | {
    name: 10 * number for number, name in enumerate(_TENS, 2)
}
_NUMBERS = {
    **_CARDINALS, **_SCALES, **_ORDINALS,
    **{name + "th": number for name, number in _CARDINALS.items() if name in _TEENS},
    **{name[:-1] + "ieth": number for name, number in _CARDINALS.items() if name in _TENS},
}  # fmt: skip
MAX_NUMBER_WORDS = 8
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


def is_number(word: str, *, is_english: bool) -> bool:
    """Whether a word has a digit or, in English, names a number above one, which is a pronoun as well."""
    plain = _SIGNS.sub("", word.casefold())
    parts = [_SIGNS.sub("", part) for part in word.casefold().split("-")]
    named = is_english and plain != "one" and all(part in _NUMBERS for part in parts)
    return named or any(sign.isdigit() for sign in plain)


def loses_number(before: Sequence[str], after: Sequence[str], *, is_english: bool) -> bool:
    """Whether a number of ``before`` is not in ``after``, however the two write it ("seven forty seven", "747")."""
    lost = [_readings(run) for run in _number_runs(before, is_english=is_english)]
    if not lost:
        return False
    left = Counter(
        reading
        for run in _number_runs(after, is_english=is_english)
        for start in range(len(run))
        for end in range(start + 1, min(len(run), start + MAX_NUMBER_WORDS) + 1)
        for reading in _readings(run[start:end])
    )
    for readings in lost:
        kept = next((reading for reading in sorted(readings) if left[reading] > 0), None)
        if kept is None:
            return True
        left[kept] -= 1
    return False


def _number_runs(words: Sequence[str], *, is_english: bool) -> list[list[str]]:
    """The parts of each longest stretch of number words; numbers in digits by themselves."""
    found: list[list[str]] = []
    is_open = False  # whether the last one may go on
    for word in words:
        digits = "".join(filter(str.isdigit, word))
        parts = [_SIGNS.sub("", part) for part in word.casefold().split("-")]
        goes_on = is_open and is_english and parts == ["one"]
        if digits:
            found.append([digits])
        elif goes_on or is_number(word, is_english=is_english):
            found = [*found[:-1], [*found[-1], *parts]] if is_open else [*found, parts]
        is_open = not digits and (goes_on or is_number(word, is_english=is_english))
    return found


def _readings(parts: Sequence[str]) -> set[str]:
    """What the parts of a number mean together: their digits in a row, and their sum."""
    if parts[0].isdigit():
        return {parts[0]}
    row, total, current = "", 0, 0
    for place, part in enumerate(parts):
        value = _NUMBERS[part]
        is_after_tens = place > 0 and parts[place - 1] in _TENS and 0 < value < 10
        row = row[:-1] + str(value) if is_after_tens else row + str(value)
        if value < 100:
            current += value
        elif value == 100:
            current = max(1, current) * 100
        else:
            total, current = total + max(1, current) * value, 0
    return {row, str(total + current)}


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
