"""The terms of a domain, found in its texts: words that stand there far oftener than in the language, and their company.

A version looks for them as it does for a glossary. Keyness is how many times as often a word stands in the text as in
the language, as a power of ten; a pair of words belongs together by its normalised pointwise mutual information
(Bouma 2009). How often words stand in a language: the package ``wordfreq``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from wordfreq import available_languages, zipf_frequency
from wordfreq.tokens import tokenize

from asr.text.languages import WITHOUT_SPACES, normalizer_for
from asr.text.normalize import get_normalizer

MIN_COUNT = 3  # less often, it may be a slip
MIN_KEYNESS = 1.5  # 30 times as often as in the language
MIN_TOGETHER = 0.5  # normalised pointwise mutual information, at most 1; of words that meet by chance 0
MAX_WORDS = 3
COMMON = 4.5  # as log10 of times in a thousand million words; above it a word is no term by itself,
EVERYDAY = 5.9  # and from here on no part of one: the hundred or so commonest
RARE = 1.0  # what a word has that the language is not known to have
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ENDS = re.compile(r"[.,;:!?…()\"“”]+(?:\s|$)")  # of what belongs together
_BEGINS = re.compile(r"(?:^|[.!?…:])[\s\"'“”‘(\[-]*$")  # what stands before the first word of a sentence


def can_find_terms(language: str) -> bool:
    """Whether it is known how often words stand in this language, which writes them apart."""
    return language in available_languages() and language not in WITHOUT_SPACES


def text_terms(lines: Sequence[str], language: str, *, limit: int) -> list[str]:
    """The terms of a text, what stands out most first: words and runs of two or three, as the text writes them.

    No term has a number in it, which is to be heard as it is said, or an apostrophe; none repeats a word.

    Args:
        lines: sentences or utterances; no term goes from one to the next, or over punctuation.
        language: one of :func:`can_find_terms`.
        limit: terms at most.
    """
    runs = [[word.casefold() for word in _WORD.findall(part)] for line in lines for part in _ENDS.split(line)]
    counts = Counter(word for words in runs for word in words)
    total = counts.total()
    may_be_term = _word_test(language)
    rarity = {word: zipf_frequency(word, language) for word in counts}
    keyness = {
        word: math.log10(count / total * 1e9) - max(rarity[word], RARE)
        for word, count in counts.items()
        if count >= MIN_COUNT and rarity[word] < EVERYDAY and may_be_term(word)
    }
    key = {word for word, value in keyness.items() if value >= MIN_KEYNESS}
    ranks: dict[tuple[str, ...], float] = {
        (word,): counts[word] * keyness[word] for word in key if rarity[word] < COMMON
    }
    pairs = Counter(pair for words in runs for pair in pairwise(words))
    joined = {pair for pair in pairs if _togetherness(pair, pairs, counts) >= MIN_TOGETHER}
    for run, count in _runs(runs, joined).items():
        if count >= MIN_COUNT and len(set(run)) == len(run) and set(run) <= set(keyness) and key & set(run):
            ranks[run] = count * sum(max(0.0, keyness[word]) for word in run)
    ordered = sorted(ranks, key=lambda run: (-ranks[run], run))
    forms = _forms(lines)
    return [" ".join(forms.get(word, word) for word in run) for run in ordered[:limit]]


def _word_test(language: str) -> Callable[[str], bool]:
    """Whether a word may be in a term: no number, in digits or spelled, no filler, no contraction."""
    normalize = get_normalizer(normalizer_for(language))

    def is_contraction(word: str) -> bool:
        """Also one without its apostrophe: "whats"."""
        contracted = [f"{word[:-size]}'{word[-size:]}" for size in (1, 2) if len(word) > size]
        return any(mark in word for mark in "'’") or any(
            tokenize(one, language) == [one]  # else it is taken for two words
            and zipf_frequency(one, language) > zipf_frequency(word, language)
            for one in contracted
        )

    def may_be_term(word: str) -> bool:
        said = normalize(word)
        return bool(said) and not any(map(str.isdigit, word + said)) and not is_contraction(word)

    return may_be_term


def _forms(lines: Sequence[str]) -> dict[str, str]:
    """How words are written where no sentence begins, most often; lower case, where they are written in no other way."""
    inside = Counter(
        match[0]
        for line in lines
        for match in _WORD.finditer(line)
        if not _BEGINS.search(line[: match.start()])
    )
    return {word.casefold(): word for word, _ in reversed(inside.most_common())}


def _togetherness(pair: tuple[str, str], pairs: Counter[tuple[str, str]], counts: Counter[str]) -> float:
    """Normalised pointwise mutual information of two words that follow one another, -1 to 1."""
    total, count = counts.total(), pairs[pair]
    by_chance = counts[pair[0]] / total * counts[pair[1]]
    return math.log(count / by_chance) / math.log(total / count) if count < total else 1.0


def _runs(runs: Sequence[Sequence[str]], joined: set[tuple[str, str]]) -> Counter[tuple[str, ...]]:
    """How often runs of two and three words stand in the text of which every two belong together."""
    return Counter(
        run
        for words in runs
        for size in range(2, MAX_WORDS + 1)
        for run in zip(*(words[start:] for start in range(size)), strict=False)
        if all(pair in joined for pair in pairwise(run))
    )
