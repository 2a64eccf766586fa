"""Inverse text normalisation of English numbers: "forty two" to "42", found by the library text2num.

The step ``itn-en-1`` writes cardinals above three, ordinals above "second", decimals, smaller ones beside others; three
or more digits that are said one by one become one number ("four two four" is "424"), "nineteen ninety nine" a year. It
leaves currencies, times of day and units as they were said. It is never applied unless it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr.errors import MissingDependencyError
from asr.results import Transcript
from asr.text.rewriting import Replacement, Token, rewritten, tokens_of

MIN_DIGITS = 3  # said one by one, to be one number
ROUND = ("100", "1000", "1000000")
CENTURIES = ("18", "19", "20")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenNumber:
    """Tokens [start, stop) that say a number, and how it is written."""

    start: int
    stop: int
    text: str


def find_numbers(tokens: Sequence[Token], *, are_whole: bool = True) -> list[SpokenNumber]:
    """Numbers that are said in words, in their order; neither joined nor across punctuation or segments.

    Args:
        tokens: of a transcript.
        are_whole: leave out numbers that end within a word with hyphens ("twenty-something"); else all of that word
            counts as the number's.

    Raises:
        MissingDependencyError: text2num is not installed.
    """
    try:
        import text_to_num
    except ImportError as error:
        raise MissingDependencyError("spoken numbers need text2num: pip install 'lexitune[itn]'") from error
    parts = [
        _Part(part, index, is_first=place == 0, is_apart=place == 0 and _is_apart(tokens, index))
        for index, token in enumerate(tokens)
        for place, part in enumerate(token.core.split("-"))
    ]
    found = []
    for one in text_to_num.find_numbers(parts, "en"):
        first, last = parts[one.start], parts[one.end - 1]
        is_whole = first.is_first and (one.end == len(parts) or parts[one.end].is_first)
        if (is_whole or not are_whole) and not any(character.isdigit() for character in first.text()):
            start = first.index - _has_article(tokens, first.index, str(one.text))
            found.append(SpokenNumber(start=start, stop=last.index + 1, text=str(one.text)))
    return found


def _is_apart(tokens: Sequence[Token], index: int) -> bool:
    """Whether punctuation or the end of a segment is before a word."""
    before = tokens[index - 1] if index else None
    return before is not None and (bool(before.trailing) or before.segment != tokens[index].segment)


def _has_article(tokens: Sequence[Token], index: int, text: str) -> bool:
    """Whether "a" stands for one, as in "a hundred"."""
    before = tokens[index - 1] if index else None
    return text in ROUND and before is not None and before.core.lower() == "a" and not before.trailing


def write_numbers(transcript: Transcript) -> Transcript:
    """The step ``itn-en-1``."""
    tokens = tokens_of(transcript.segments)
    numbers = find_numbers(tokens)
    replacements = [
        Replacement(start=one.start, stop=one.stop, text=one.text) for one in _joined(numbers, tokens)
    ]
    return replace(transcript, segments=rewritten(transcript.segments, tokens, replacements))


def _joined(numbers: Sequence[SpokenNumber], tokens: Sequence[Token]) -> list[SpokenNumber]:
    """Digits that are said one by one as one number, a century and its year as one year."""
    joined: list[SpokenNumber] = []
    for run in _runs(numbers, tokens):
        texts = [one.text for one in run]
        are_digits = len(run) >= MIN_DIGITS and all(len(text) == 1 for text in texts)
        is_year = len(run) == 2 and texts[0] in CENTURIES and len(texts[1]) == 2 and texts[1].isdigit()
        joined += [_one(run)] if are_digits or is_year else run
    return joined


def _runs(numbers: Sequence[SpokenNumber], tokens: Sequence[Token]) -> list[list[SpokenNumber]]:
    """Numbers that follow each other with nothing between; single digits and others are runs of their own."""
    runs: list[list[SpokenNumber]] = []
    for one in numbers:
        last = runs[-1][-1] if runs else None
        if (
            last is not None
            and last.stop == one.start
            and not tokens[last.stop - 1].trailing
            and tokens[one.start].segment == tokens[last.start].segment
            and (len(last.text) == 1) == (len(one.text) == 1)
        ):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _one(run: Sequence[SpokenNumber]) -> SpokenNumber:
    return SpokenNumber(start=run[0].start, stop=run[-1].stop, text="".join(one.text for one in run))


class _Part:
    """A word, or a part of one with hyphens, as text2num wants it."""

    def __init__(self, text: str, index: int, *, is_first: bool, is_apart: bool) -> None:
        self.index, self.is_first = index, is_first
        self._text, self._is_apart = text, is_apart

    def text(self) -> str:
        return self._text

    def text_lowercase(self) -> str:
        return self._text.lower()

    def nt_separated(self, previous: Any) -> bool:
        return self._is_apart

    def not_a_number_part(self) -> bool:
        return not self._text
