"""How well a Whisper's tokens fit a text: whether they can write it, and how many a word takes.

Whisper's vocabulary was made on its training text: a language that was rare there is written in more, shorter tokens, and
letters that were rare in single bytes. That costs time and room in the decoder; it forbids nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asr.models.whisper_tokens import REPLACEMENT, WhisperTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Counts over texts.

    Attributes:
        num_texts: how many.
        num_lost: texts that do not survive tokens and back.
        num_characters: white space left out.
        num_in_bytes: of them, written in tokens that are no whole characters.
        num_words: at white space.
        num_tokens: of all texts.
    """

    num_texts: int
    num_lost: int
    num_characters: int
    num_in_bytes: int
    num_words: int
    num_tokens: int

    def as_line(self, language: str) -> str:
        """For the card."""
        kept = f"{self.num_texts - self.num_lost} of {self.num_texts} texts in {language} survive tokens and back"
        return (
            f"tokenizer: {kept}; {self.num_tokens / max(1, self.num_words):.2f} tokens a word, "
            f"{self.num_tokens / max(1, self.num_characters):.2f} a character, "
            f"{self.num_in_bytes / max(1, self.num_characters):.1%} of characters in single bytes"
        )


def coverage_of(texts: Sequence[str], tokenizer: WhisperTokenizer) -> Coverage:
    """Count how ``texts`` are written in the tokens of ``tokenizer``."""
    tokens = [tokenizer.encode(text) for text in texts]
    return Coverage(
        num_texts=len(texts),
        num_lost=sum(tokenizer.unwritable(text) is not None for text in texts),
        num_characters=sum(not sign.isspace() for text in texts for sign in text),
        num_in_bytes=sum(_in_bytes(row, tokenizer) for row in tokens),
        num_words=sum(len(text.split()) for text in texts),
        num_tokens=sum(map(len, tokens)),
    )


def _in_bytes(tokens: Sequence[int], tokenizer: WhisperTokenizer) -> int:
    """Characters that take several tokens: those of runs of tokens that are only text together."""
    count = 0
    pending: list[int] = []
    for token in tokens:
        pending.append(token)
        text = tokenizer.decode(pending)
        if REPLACEMENT in text:
            continue
        if len(pending) > 1:
            count += sum(not sign.isspace() for sign in text)
        pending = []
    return count
