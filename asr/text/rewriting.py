"""Transcripts whose words are replaced by others, so that text, words and their times keep saying the same.

What steps behind recognition have in common; which words are replaced by what is ``asr.text.spoken_numbers`` and
``asr.text.redaction``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from asr.results import Segment, Word

PUNCTUATION = ".,?!;:…\"'()[]“”‘’"
_TRAILING = ".,?!;:…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One word of a segment.

    Attributes:
        word: as it is written, with its times; those of the segment where it has none of its own.
        segment: which one it is of, counted from 0.
        is_timed: whether the times are its own.
    """

    word: Word
    segment: int
    is_timed: bool

    @property
    def core(self) -> str:
        """Without the punctuation around it."""
        return self.word.text.strip(PUNCTUATION)

    @property
    def trailing(self) -> str:
        """The punctuation that ends a clause or sentence behind it."""
        text = self.word.text.rstrip("\"')]”’")
        return text[len(text.rstrip(_TRAILING)) :]


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement:
    """Tokens [start, stop) become one with this text; it keeps the last one's trailing punctuation."""

    start: int
    stop: int
    text: str


def tokens_of(segments: Sequence[Segment]) -> list[Token]:
    """The words of segments; of one whose words are not its text, the text at the segment's times."""
    tokens: list[Token] = []
    for index, segment in enumerate(segments):
        is_timed = " ".join(word.text for word in segment.words) == segment.text
        words = segment.words if is_timed else _untimed(segment)
        tokens += [Token(word=word, segment=index, is_timed=is_timed) for word in words]
    return tokens


def rewritten(
    segments: Sequence[Segment], tokens: Sequence[Token], replacements: Iterable[Replacement]
) -> tuple[Segment, ...]:
    """The segments of ``tokens`` with replacements, which do not overlap, in any order.

    One that reaches beyond its segment is written where it begins; a segment of which nothing is left is left out. Words
    that were not a segment's text are dropped, for they may hold what was replaced.
    """
    kept: list[Token | None] = list(tokens)
    for one in replacements:
        first, last = tokens[one.start], tokens[one.stop - 1]
        inside = [token for token in tokens[one.start : one.stop] if token.segment == first.segment]
        word = Word(
            text=one.text + last.trailing,
            start_s=first.word.start_s,
            end_s=inside[-1].word.end_s,
            confidence=sum(token.word.confidence for token in inside) / len(inside),
        )
        kept[one.start : one.stop] = [None] * (one.stop - one.start)
        kept[one.start] = replace(first, word=word)
    words: list[list[Word]] = [[] for _ in segments]
    timed = [False] * len(segments)
    for token in kept:
        if token is not None:
            words[token.segment].append(token.word)
            timed[token.segment] = token.is_timed
    return tuple(
        replace(
            segment,
            text=" ".join(word.text for word in words[index]),
            words=tuple(words[index]) if timed[index] else (),
        )
        for index, segment in enumerate(segments)
        if words[index]
    )


def _untimed(segment: Segment) -> list[Word]:
    return [
        Word(text=text, start_s=segment.start_s, end_s=segment.end_s, confidence=segment.confidence)
        for text in segment.text.split()
    ]
