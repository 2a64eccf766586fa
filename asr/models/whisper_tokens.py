"""What Whisper's tokens mean: prompts, text, and the words that tokens make up.

Works on ``tokenizer.json`` through the tokenizers library alone, so that serving does not need transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asr.errors import OptionError
from asr.text.languages import WITHOUT_SPACES
from asr.units import ENCODER_FRAME_S, WHISPER_WINDOW_S

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PUNCTUATION_AHEAD = "\"'“¿([{-"
_PUNCTUATION_BEHIND = "\"'.。,，!！?？:：”)]}、%"


@dataclass(frozen=True, slots=True)
class TokenWord:
    """A word's text and how many tokens it takes."""

    text: str
    num_tokens: int


class WhisperTokenizer:
    """Ids, prompts and words of one Whisper vocabulary."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(path))
        self.end_of_text = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        self.is_multilingual = self._tokenizer.token_to_id("<|yue|>") is not None or self.end_of_text == 50257

    def _id(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise OptionError(f"the tokenizer has no {token}; this is not a Whisper vocabulary")
        return int(number)

    @cached_property
    def no_speech(self) -> int:
        """The token that says, in place of a prompt's second one, that nobody speaks; its name has changed once."""
        found = [self._tokenizer.token_to_id(name) for name in ("<|nospeech|>", "<|nocaptions|>")]
        return next((int(number) for number in found if number is not None), self._id("<|notimestamps|>") - 1)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Language codes that a prompt may name; only English for an English-only model."""
        if not self.is_multilingual:
            return ("en",)
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        first, last = self.start + 1, self._id("<|translate|>")
        codes = [token[2:-2] for token, number in vocabulary.items() if first <= number < last]
        return tuple(sorted(codes))

    def language_of(self, token: int) -> str:
        """The code of a language token."""
        return str(self._tokenizer.id_to_token(token))[2:-2]

    def prompt(self, language: str | None) -> list[int]:
        """The tokens that a transcription without timestamps starts from.

        Raises:
            OptionError: the model does not know the language.
        """
        if language is not None and language not in self.languages:
            raise OptionError(
                f"language {language!r} is not known to this model; it knows {', '.join(self.languages)}",
                field="language",
            )
        language_tokens = [self._id(f"<|{language or 'en'}|>"), self._id("<|transcribe|>")]
        middle = language_tokens if self.is_multilingual else []
        return [self.start, *middle, self._id("<|notimestamps|>")]

    def timestamp(self, seconds: float) -> int:
        """The token of a time within a window, to 20 ms.

        Raises:
            OptionError: the time is outside a window.
        """
        if not 0 <= seconds <= WHISPER_WINDOW_S:
            raise OptionError(
                f"a timestamp of {seconds:.2f} s is outside a window of 0 to {WHISPER_WINDOW_S} s"
            )
        return self._id("<|notimestamps|>") + 1 + round(seconds / ENCODER_FRAME_S)

    def encode(self, text: str) -> list[int]:
        """Text to tokens, without special tokens; Whisper's text begins with a space."""
        return list(self._tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids)

    def unwritable(self, text: str) -> str | None:
        """What of ``text`` does not survive tokens and back, or None; byte-level tokens lose only broken Unicode."""
        written = self.decode(self.encode(text)).strip()
        expected = text.strip()
        if written == expected:
            return None
        lost = sorted(set(expected) - set(written))
        return "".join(lost) or expected

    def decode(self, tokens: list[int]) -> str:
        """Tokens to text, special tokens left out, white space at the ends kept."""
        return str(
            self._tokenizer.decode([t for t in tokens if t < self.end_of_text], skip_special_tokens=True)
        )

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens to text with single spaces."""
        return " ".join(self.decode(list(tokens)).split())

    def words(self, tokens: list[int], language: str | None) -> list[TokenWord]:
        """Group text tokens into words: at spaces, or at whole characters in languages that write none.

        Punctuation joins the word it belongs to. The numbers of tokens sum to ``len(tokens)``.
        """
        units = self._characters(tokens)
        if (language or "en") not in WITHOUT_SPACES:
            units = _at_spaces(units)
        return _join_punctuation(units)

    def _characters(self, tokens: list[int]) -> list[TokenWord]:
        units: list[TokenWord] = []
        pending: list[int] = []
        for token in tokens:
            pending.append(token)
            text = self.decode(pending)
            if REPLACEMENT not in text:
                units.append(TokenWord(text, len(pending)))
                pending = []
        if pending:
            units.append(TokenWord(self.decode(pending), len(pending)))
        return units


def _at_spaces(units: list[TokenWord]) -> list[TokenWord]:
    words: list[TokenWord] = []
    for unit in units:
        if words and not unit.text.startswith(" "):
            words[-1] = TokenWord(words[-1].text + unit.text, words[-1].num_tokens + unit.num_tokens)
        else:
            words.append(unit)
    return words


def _join_punctuation(words: list[TokenWord]) -> list[TokenWord]:
    joined: list[TokenWord] = []
    carried = TokenWord("", 0)
    for word in words:
        word = TokenWord(carried.text + word.text, carried.num_tokens + word.num_tokens)
        carried = TokenWord("", 0)
        if word.text.startswith(" ") and word.text.strip() and word.text.strip() in _PUNCTUATION_AHEAD:
            carried = word
        elif joined and word.text.strip() in _PUNCTUATION_BEHIND:
            joined[-1] = TokenWord(joined[-1].text + word.text, joined[-1].num_tokens + word.num_tokens)
        else:
            joined.append(word)
    if carried.num_tokens:
        joined.append(carried)
    return [TokenWord(word.text.strip(), word.num_tokens) for word in joined]
