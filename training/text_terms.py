"""The terms of a domain, found in its texts: words that stand there far oftener than in the language, and their company.

A version looks for them as it does for a glossary. Keyness is how many times as often a word stands in the text as in
the language, as a power of ten; a pair of words belongs together by its normalised pointwise mutual information
(Bouma 2009). How often words stand in a language: the package ``wordfreq``.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise

import regex
from wordfreq import available_languages, zipf_frequency

from asr.text.languages import ENGLISH, WITHOUT_SPACES, normalizer_for
from asr.text.normalize import get_normalizer

MIN_LINES = 3  # in fewer, it may be a slip
MIN_KEYNESS = 1.5  # 30 times as often as in the language
MIN_TOGETHER = 0.5  # normalised pointwise mutual information, at most 1; of words that meet by chance 0
MAX_WORDS = 3
COMMON = 4.5  # as log10 of times in a thousand million words; above it a word is no term by itself,
EVERYDAY = 5.9  # and from here on no part of one: the hundred or so commonest
RARE = 1.0  # what a word has that the language is not known to have
# fmt: off
FILLERS = frozenset({  # repeated letters written once
    "ah", "äh", "ähm", "alright", "bye", "eh", "ehm", "em", "er", "erm", "euh", "heu", "hm", "hum", "m", "mhm",
    "m-hm", "nope", "oh", "öh", "ok", "okay", "uh", "uh-huh", "um", "yeah", "yep", "yup",
})
# fmt: on
# fmt: off
UNPUNCTUATED = frozenset({  # contractions without their apostrophe
    "arent", "cant", "couldnt", "didnt", "doesnt", "dont", "hadnt", "hasnt", "havent", "hes", "im", "isnt",
    "ive", "shes", "shouldnt", "thats", "theyre", "theyve", "wasnt", "werent", "weve", "whats", "wont",
    "wouldnt", "youre", "youve",
})
# fmt: on
_WORDFREQ_CODES = {"no": "nb", "tl": "fil", "hr": "sh", "sr": "sh", "bs": "sh"}
_NEEDS_MORE = frozenset({"ko"})  # wordfreq cuts it with a package that is not installed
_ELIDES = frozenset({"fr", "it", "ca"})
_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*(?:['’-][\p{L}\p{N}][\p{L}\p{M}\p{N}]*)*")
_TOKEN = regex.compile(r"(?P<ahead>[^\p{L}\p{M}\p{N}]*)(?P<core>.*?)(?P<behind>[^\p{L}\p{M}\p{N}]*)")
_ELISION = regex.compile(r"(?:qu|\p{L}{1,4}l|\p{L}|un)['’](?=\p{L})", regex.IGNORECASE)
_POSSESSIVE = regex.compile(r"['’]s$", regex.IGNORECASE)
_SENTENCE_ENDS = frozenset(".!?…:")
_ABBREVIATED = frozenset({"dr", "mr", "mrs", "ms", "prof", "st"})  # a dot behind them ends no sentence
_NOUNS_WITH_CAPITALS = frozenset({"de", "lb"})


@dataclass(frozen=True, slots=True)
class _Said:
    """A word as it is written; ``is_first`` in its sentence, where its case says nothing."""

    text: str
    is_first: bool

    @property
    def key(self) -> str:
        return self.text.casefold()


def can_find_terms(language: str) -> bool:
    """Whether it is known how often words stand in this language, which writes them apart."""
    code = _code(language)
    return code in available_languages() and code not in WITHOUT_SPACES | _NEEDS_MORE


def text_terms(lines: Sequence[str], language: str, *, limit: int) -> list[str]:
    """The terms of a text, what stands out most first: words and runs of two or three, as the text writes them.

    No term has a digit in it or, in English, a spelled number, which are to be heard as they are said; none an
    apostrophe, a filler or a word twice.

    Args:
        lines: sentences or utterances; no term goes from one to the next, or over punctuation.
        language: one of :func:`can_find_terms`.
        limit: terms at most.
    """
    runs = [list(_runs(line, language)) for line in lines]
    counts = Counter(word.key for line in runs for run in line for word in run)
    total = counts.total()
    in_lines = Counter(key for line in runs for key in {word.key for run in line for word in run})
    rarity = {word: zipf_frequency(word, _code(language)) for word in counts}
    may_be_term = _word_test(language)
    keyness = {
        word: math.log10(count / total * 1e9) - max(rarity[word], RARE)
        for word, count in counts.items()
        if in_lines[word] >= MIN_LINES and rarity[word] < EVERYDAY and may_be_term(word)
    }
    key = {word for word, value in keyness.items() if value >= MIN_KEYNESS}
    pairs = Counter(
        (first.key, second.key) for line in runs for run in line for first, second in pairwise(run)
    )
    joined = {pair for pair in pairs if _togetherness(pair, pairs, counts, total) >= MIN_TOGETHER}
    inside = Counter(word.text for line in runs for run in line for word in run if not word.is_first)
    forms: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    terms_of_lines: Counter[tuple[str, ...]] = Counter()
    usual = {word.casefold(): word for word, _ in reversed(inside.most_common())}
    for line in runs:
        found = {}
        for words in _grams(line):
            keys = tuple(word.key for word in words)
            if set(keys) <= keyness.keys() and all(pair in joined for pair in pairwise(keys)):
                first = (
                    usual.get(keys[0], _lowered(words[0].text, language))
                    if words[0].is_first
                    else words[0].text
                )
                found[keys] = " ".join([first, *(word.text for word in words[1:])])
        terms_of_lines.update(found.keys())
        for keys, text in found.items():
            forms[keys][text] += 1
    ranks = {
        keys: count * sum(max(0.0, keyness[word]) for word in keys)
        for keys, count in terms_of_lines.items()
        if count >= MIN_LINES and len(set(keys)) == len(keys) and key & set(keys)
        if len(keys) > 1 or rarity[keys[0]] < COMMON
    }
    ordered = sorted(ranks, key=lambda keys: (-ranks[keys], keys))
    return [
        max(forms[keys].items(), key=lambda form: (form[1], _capitals(form[0])))[0]
        for keys in ordered[:limit]
    ]


def _code(language: str) -> str:
    """The language's code in wordfreq."""
    return _WORDFREQ_CODES.get(language, language)


def _runs(line: str, language: str) -> Iterator[list[_Said]]:
    """The words of a line in runs with nothing but space between them; addresses and the like part them."""
    run: list[_Said] = []
    is_first = True
    for token in unicodedata.normalize("NFC", line).split():
        parts = _TOKEN.fullmatch(token)
        ahead, core, behind = parts.group("ahead", "core", "behind") if parts else ("", "", "")
        elision = _ELISION.match(core) if language in _ELIDES else None
        possessive = _POSSESSIVE.search(core) if language == ENGLISH else None
        word = core[elision.end() if elision else 0 : possessive.start() if possessive else None]
        if ahead or elision or not _WORD.fullmatch(word):
            yield run
            run = []
        if _WORD.fullmatch(word):
            run.append(_Said(word, is_first and not elision))
        if behind or possessive:
            yield run
            run = []
        ends = behind if core else ahead  # " ?" is apart in French
        if core:
            is_first = False
        is_first = is_first or not (_SENTENCE_ENDS.isdisjoint(ends) or word.casefold() in _ABBREVIATED)
    yield run


def _lowered(word: str, language: str) -> str:
    """A word that only begins sentences: without its capital, unless it has another, or the language's nouns have one."""
    return word if language in _NOUNS_WITH_CAPITALS or word[1:] != word[1:].lower() else word.casefold()


def _grams(runs: Sequence[Sequence[_Said]]) -> Iterator[tuple[_Said, ...]]:
    """Every one, two and three words in a row."""
    for run in runs:
        for size in range(1, MAX_WORDS + 1):
            yield from zip(*(run[start:] for start in range(size)), strict=False)


def _word_test(language: str) -> Callable[[str], bool]:
    """Whether a word may be in a term: no number, no filler, no contraction."""
    normalize = get_normalizer(normalizer_for(language))

    @cache
    def may_be_term(word: str) -> bool:
        said = normalize(word)
        once = "".join(sign for sign, _ in groupby(word))
        is_contraction = "'" in word or "’" in word or (language == ENGLISH and word in UNPUNCTUATED)
        return bool(said) and not (is_contraction or once in FILLERS or any(map(str.isdigit, word + said)))

    return may_be_term


def _togetherness(
    pair: tuple[str, str], pairs: Counter[tuple[str, str]], counts: Counter[str], total: int
) -> float:
    """Normalised pointwise mutual information of two words that follow one another, -1 to 1."""
    count = pairs[pair]
    by_chance = counts[pair[0]] / total * counts[pair[1]]
    return math.log(count / by_chance) / math.log(total / count) if count < total else 1.0


def _capitals(text: str) -> int:
    return sum(map(str.isupper, text))
