"""Everyday sentences without end, from patterns: general speech to teach or to replay, in no domain.

Made up so that names, numbers, spelled letters and questions all occur; ``everyday.txt`` holds lists and patterns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np

from training.synth.dataset import Sentence

MAX_JOINED = 4  # sentences said in one breath, for the longer contexts
JOINED_SHARE = 0.25
_SLOT = re.compile(r"\{(\w+)\}")

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def everyday_sentences(count: int, seed: int) -> list[Sentence]:
    """``count`` different sentences, some of them several in one breath; the same for the same seed."""
    words, patterns = _grammar()
    rng = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        parts = int(rng.integers(2, MAX_JOINED + 1)) if rng.random() < JOINED_SHARE else 1
        texts[" ".join(_filled(patterns[rng.integers(len(patterns))], words, rng) for _ in range(parts))] = (
            None
        )
    return [Sentence(id=f"everyday-{index:04d}", text=text) for index, text in enumerate(texts)]


def _grammar() -> tuple[dict[str, list[str]], list[str]]:
    """The lists of words by their slot, and the patterns."""
    lines = resources.files("training.synth").joinpath("everyday.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    lists = [line.split(" = ") for line in lines if " = " in line]
    return {slot: words.split(", ") for slot, words in lists}, [line for line in lines if " = " not in line]


def _filled(pattern: str, words: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    text = _SLOT.sub(lambda slot: _word(slot[1], words, rng), pattern)
    return text[0].upper() + text[1:]


def _word(slot: str, words: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    if slot == "digits":
        return " ".join(_DIGITS[index] for index in rng.integers(10, size=rng.integers(3, 8)))
    if slot == "letters":
        return " ".join(_LETTERS[index] for index in rng.integers(26, size=rng.integers(3, 7)))
    return words[slot][int(rng.integers(len(words[slot])))]
