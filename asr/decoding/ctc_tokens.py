"""What the outputs of a CTC model mean: characters, the blank, the gap between words, text and back.

Reads ``vocab.json`` and ``tokenizer_config.json`` as transformers' ``Wav2Vec2CTCTokenizer`` does (equal by test), without
importing transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.errors import ModelError

_SPECIAL_KEYS = ("pad_token", "bos_token", "eos_token", "unk_token")
_SPECIAL_DEFAULTS = ("<pad>", "<s>", "</s>", "<unk>")
MAX_NAMED = 10
# what is typed to the one that is written
APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CtcTokens:
    """The V outputs of a CTC model.

    Attributes:
        labels: text of each output: "" for the blank and for special tokens, " " between words.
        blank: the output that says nothing.
        lower_case: whether the vocabulary is upper case but text is written in lower case.
    """

    labels: tuple[str, ...]
    blank: int
    lower_case: bool = False

    @property
    def separator(self) -> int | None:
        """The output between words, or None for a model that writes no spaces."""
        return self.labels.index(" ") if " " in self.labels else None

    @property
    def characters(self) -> frozenset[str]:
        """The labels that text can be made of, the space excepted."""
        return frozenset(label for label in self.labels if label not in ("", " "))

    def text(self, tokens: Sequence[int]) -> str:
        """Collapsed tokens (no blanks, no repeats to merge) as text with single spaces."""
        joined = " ".join("".join(self.labels[token] for token in tokens).split())
        return joined.lower() if self.lower_case else joined

    def fold(self, text: str) -> str:
        """``text`` in the vocabulary's case and apostrophes, with single spaces; characters that it lacks are kept."""
        return self.folding(" ".join(text.split()))

    @property
    def folding(self) -> Callable[[str], str]:
        """How text is brought into the vocabulary's case, and its apostrophes into the one that the vocabulary has."""
        characters = self.characters
        if "'" not in characters:
            return self._to_case
        apostrophes = {sign: plain for sign, plain in APOSTROPHES.items() if chr(sign) not in characters}
        to_case = self._to_case
        return lambda text: to_case(text.translate(apostrophes))

    @property
    def _to_case(self) -> Callable[[str], str]:
        letters = "".join(label for label in self.characters if len(label) == 1)
        if self.lower_case or (letters == letters.upper() and letters != letters.lower()):
            return str.upper
        return str.lower if letters == letters.lower() and letters != letters.upper() else str

    def missing(self, text: str) -> tuple[str, ...]:
        """The characters of ``text``, after :meth:`fold`, that no output writes."""
        return tuple(sorted({sign for sign in self.fold(text) if sign != " "} - self.characters))

    def encode(self, text: str) -> list[int]:
        """Folded ``text`` to tokens, repeated characters in a row kept.

        Raises:
            ModelError: a character that the vocabulary lacks; ask :meth:`missing` first.
        """
        if missing := self.missing(text):
            raise ModelError(f"the vocabulary has no {' '.join(missing[:MAX_NAMED])}; leave such text out")
        ids = {label: index for index, label in enumerate(self.labels) if label}
        folded = self.fold(text)
        return [ids[sign] for sign in folded if sign != " " or self.separator is not None]


def read_tokens(folder: Path, *, blank: int, vocab_size: int) -> CtcTokens:
    """The outputs of the Wav2Vec2 in ``folder``.

    Args:
        folder: with ``vocab.json``, ``tokenizer_config.json`` and perhaps ``added_tokens.json``.
        blank: ``pad_token_id`` of the model's configuration.
        vocab_size: outputs of the model.

    Raises:
        ModelError: the vocabulary does not fit the model, or is one for each of many languages.
    """
    vocabulary = _read_json(folder / "vocab.json")
    if any(isinstance(value, dict) for value in vocabulary.values()):
        raise ModelError(
            f"{folder / 'vocab.json'} holds a vocabulary for each of {len(vocabulary)} languages (MMS); save the model "
            "with the vocabulary and the adapter of one language"
        )
    settings = {
        **_read_optional(folder / "special_tokens_map.json"),
        **_read_json(folder / "tokenizer_config.json"),
    }
    added = _read_optional(folder / "added_tokens.json")
    special = {
        _content(settings.get(key, default))
        for key, default in zip(_SPECIAL_KEYS, _SPECIAL_DEFAULTS, strict=True)
    }
    delimiter = _content(settings.get("word_delimiter_token", "|"))
    labels = [""] * vocab_size
    for token, index in {**added, **vocabulary}.items():
        if not isinstance(index, int) or index < 0:
            raise ModelError(f"{folder / 'vocab.json'} numbers {token!r} as {index!r}; numbers are 0 and up")
        if (
            index < vocab_size
            and index != blank
            and token not in special
            and not re.fullmatch(r"<.+>", token)
        ):
            labels[index] = " " if token == delimiter else token
    if not 0 <= blank < vocab_size or not any(label.strip() for label in labels):
        raise ModelError(
            f"{folder}: vocab.json and config.json do not fit: {vocab_size} outputs, blank (pad_token_id) {blank}; "
            "save tokenizer and model together"
        )
    return CtcTokens(labels=tuple(labels), blank=blank, lower_case=bool(settings.get("do_lower_case")))


def _content(token: Any) -> str:
    """A token's text: tokenizers write it plain, or as an object."""
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}; save the tokenizer with the model") from error
    return content
