"""Whether an utterance says a phrase: the text with the phrase in its place, scored by the model on the same audio.

A phrase wins where the text with it, with its boost, is likelier than without. The boost is for the words that it
brings and grows with their tokens, since rare words are written with many, and with how much the replaced words sound
like it. It is bounded: a common word for another, or a number for another, comes only if the model nearly says so itself,
and where there are no words, no phrase can come.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asr.biasing.phrases import Phrase
from asr.biasing.retrieval import Match, PhraseIndex, max_matches, written
from asr.biasing.sounds import letters
from asr.biasing.spoken import digits, number_names

NO_BOOST_SIMILARITY = 0.4  # below which a phrase has no boost at all
TRIED_FIRST = 3  # before the others, of which fewer can win then
SURE = (
    -1.0
)  # natural log of what is left at most to texts that part from the first one where the model is sure of it
SURE_SIMILARITY = 0.8  # from which a phrase is tried there all the same (docs/experiments.md)
LIKE = 0.9  # the similarity below which, in English, a text with a phrase is to have more room than to win,
UNLIKE_COST = 25.0  # by so much, natural log, for each 1 of similarity less (docs/experiments.md)
WHOLE_WORD = 0.5  # tokens that the first one of a word counts for: a word of one token is a common one
_END = re.compile(r"\W*$")
_EDGES = re.compile(r"^(\W*)(.*?)([^\w]*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A text with the phrases that won, and its log probability given the audio, natural log."""

    text: str
    log_prob: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of the search; ``bonus`` is for the phrases it holds, less what those of the first text lose in it."""

    words: list[str]
    bonus: float
    brought: tuple[str, ...]


class _Boosts:
    """What phrases are worth in a text that is not the first one, for the words that it has more of."""

    def __init__(self, first: Sequence[str], num_tokens: Callable[[str], int], *, is_english: bool) -> None:
        self._first, self._num_tokens = first, num_tokens
        self._digits = {digits(word) for word in first} - {""}
        self._names = Counter(number_names(first) if is_english else ())

    def brought(self, match: Match, words: Sequence[str], *, is_heard: bool = False) -> float:
        """Of a phrase that ``words`` hold; ``is_heard`` if it is the first text's own words, written otherwise."""
        likeness = max(0.0, match.similarity - NO_BOOST_SIMILARITY) / (1 - NO_BOOST_SIMILARITY)
        found = {digits(word) for word in words} - {""}
        # 1.5 and 15 have the same signs, but not the same sound
        is_heard = is_heard and _decimals(found) == _decimals(self._digits)
        loses_number = bool(self._digits - found or self._names - Counter(number_names(words)))

        def is_boosted(word: str) -> bool:
            if number := digits(word):
                return not self._digits or number in self._digits
            return not (loses_number and number_names([word]))

        return likeness * sum(
            self._worth(match.phrase, word)
            for word in _new_words(match.phrase, words, self._first)
            if is_heard or is_boosted(word)
        )

    def lost(self, match: Match, words: Sequence[str]) -> float:
        """Of a phrase of the first text, for its words that ``words`` have fewer of."""
        return sum(self._worth(match.phrase, word) for word in _new_words(match.phrase, self._first, words))

    def _worth(self, phrase: Phrase, word: str) -> float:
        return phrase.boost * (self._num_tokens(word) - 1 + WHOLE_WORD)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A text of the search with phrases in the places of ``matches``; ``bonus`` is that of all that it holds."""

    base: _Text
    matches: tuple[Match, ...]
    bonus: float

    @property
    def text(self) -> str:
        return _replaced(self.base.words, self.matches)

    def rewrite(self, log_prob: float) -> Rewrite:
        in_order = sorted(self.matches, key=lambda match: match.start)
        return Rewrite(self.text, log_prob, (*self.base.brought, *(match.phrase.text for match in in_order)))


class _Tried(NamedTuple):
    """A text that was scored; ``gain`` is its log probability and bonus over those of the first text, natural log."""

    gain: float
    log_prob: float
    candidate: _Candidate


def rescored(
    texts: Sequence[str],
    index: PhraseIndex,
    score: Callable[[Sequence[str]], Sequence[float]],
    num_tokens: Callable[[str], int],
    at_most: Callable[[str], float] = lambda text: 0.0,
    *,
    searched: float | None = None,
) -> Rewrite | None:
    """The text with the phrases that its audio says; None where the first one stays.

    Args:
        texts: of a search, best first. A misheard phrase is often nearer to what was said in one of the others.
        index: of the phrases.
        score: log probability of each of several texts given the audio, natural log.
        num_tokens: of a phrase, as the model writes it.
        at_most: log probability that a text cannot exceed: what the first text leaves to others where they part. What
            cannot win with it is not scored. Nor is what sounds otherwise where it leaves little: such a text is refused
            though it might win by less than its unlikeness.
        searched: log probability of the first text by the search, natural log, or less. What it leaves to others in any
            one place over its own is at most minus that: where no phrase could win so, not even the first text is scored.
    """
    if not letters(texts[0]):
        return None
    boosts = _Boosts(texts[0].split(), num_tokens, is_english=index.is_english)
    bases = _read(texts, index, boosts)
    candidates = _candidates(bases, index, boosts)
    if searched is not None:
        candidates = [one for one in candidates if _may_win(one, -searched, None, index)]
    if not candidates:
        return None
    (before,) = score(texts[:1])

    def tried(some: Sequence[_Candidate], best: _Tried | None = None) -> list[_Tried]:
        some = [one for one in some if _may_win(one, at_most(one.text) - before, best, index)]
        log_probs = score([one.text for one in some]) if some else ()
        return [
            _Tried(log_prob - before + one.bonus, log_prob, one)
            for one, log_prob in zip(some, log_probs, strict=True)
        ]

    found = tried(candidates[:TRIED_FIRST])
    found += tried(candidates[TRIED_FIRST:], max(found, key=lambda one: one.gain, default=None))
    found.sort(key=lambda one: -one.gain)
    if not found or found[0].gain <= 0:
        return None
    best = found[0]
    others = [
        one.candidate
        for one in found
        if one.candidate.base is not bases[0] or one.gain > 0  # else it lost against the text that it changes
    ]
    is_first = best.candidate.base is bases[0]
    grown = tried(_together(best.candidate, others, boosts, is_first=is_first))
    best = max([best, *grown], key=lambda one: one.gain)
    return best.candidate.rewrite(best.log_prob)


def _read(texts: Sequence[str], index: PhraseIndex, boosts: _Boosts) -> list[_Text]:
    """Each different text once, with the phrases that it holds as they are to be written.

    The others end as the first does: that a text ends too early is no part of its score.
    """
    end = "".join(_END.findall(texts[0]))
    bases: list[_Text] = []
    first: list[Match] = []
    for text in dict.fromkeys([texts[0], *(_END.sub("", one, 1) + end for one in texts[1:])]):
        words = text.split()
        held = index.held(words)
        first = held if not bases else first
        known = {match.phrase.text for match in first}
        gained = sum(boosts.brought(match, words) for match in held)
        bonus = gained - sum(boosts.lost(match, words) for match in first)
        bases.append(
            _Text(words, bonus, tuple(one.phrase.text for one in held if one.phrase.text not in known))
        )
    return bases


def _candidates(bases: Sequence[_Text], index: PhraseIndex, boosts: _Boosts) -> list[_Candidate]:
    """Texts with a phrase that the first one has not, the likeliest first; no more than one text would be tried with."""
    found: dict[str, tuple[float, _Candidate]] = {}
    for base, matches in zip(bases, index.all_matches([base.words for base in bases]), strict=True):
        alone = _Candidate(base, (), base.bonus)
        ranked = [(1.0, alone)] if base.brought else []
        is_first = base is bases[0]
        ranked += [(match.rank, _with(alone, match, boosts, is_first=is_first)) for match in matches]
        for rank, one in ranked:
            if (text := one.text) not in found or found[text][1].bonus < one.bonus:
                found[text] = (rank, one)
    ordered = sorted(found.values(), key=lambda pair: -pair[0])
    return [one for _, one in ordered[: max_matches(len(bases[0].words))]]


def _together(
    best: _Candidate, others: Sequence[_Candidate], boosts: _Boosts, *, is_first: bool
) -> list[_Candidate]:
    """The best one with one, two and more of the others in the same text, none in the place of another."""
    grown = [best]
    for other in others:
        placed = grown[-1].matches
        if (
            other.base is best.base
            and other.matches
            and not any(_meet(other.matches[0], one) for one in placed)
        ):
            grown.append(_with(grown[-1], other.matches[0], boosts, is_first=is_first))
    return grown[1:]


def _with(one: _Candidate, match: Match, boosts: _Boosts, *, is_first: bool) -> _Candidate:
    """A candidate with one phrase more; ``is_first`` if its text is the first one."""
    matches = (*one.matches, match)
    words = _replaced(one.base.words, matches).split()
    gained = boosts.brought(match, words, is_heard=is_first and match.similarity == 1)
    return _Candidate(one.base, matches, one.bonus + gained)


def _decimals(numbers: Iterable[str]) -> set[str]:
    return {one for one in numbers if "." in one}


def _new_words(phrase: Phrase, words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The words of a phrase that ``words`` have more of than ``known``, each as often as it is more."""
    more = Counter(written(word, phrase) for word in words)
    more.subtract(written(word, phrase) for word in known)
    found = []
    for word in phrase.text.split():
        if more[written(word, phrase)] > 0:
            more[written(word, phrase)] -= 1
            found.append(word)
    return found


def _may_win(one: _Candidate, left: float, best: _Tried | None, index: PhraseIndex) -> bool:
    """Whether a text to which the model leaves so much, natural log, next to the first one, is worth scoring."""
    alike = min((match.similarity for match in one.matches), default=1.0)
    unlikeness = max(0.0, LIKE - alike) if index.is_english else 0.0  # measured by English sounds alone
    gain = left + one.bonus - UNLIKE_COST * unlikeness
    return gain > _to_beat(one, best) and (left > SURE or alike >= SURE_SIMILARITY)


def _to_beat(one: _Candidate, best: _Tried | None) -> float:
    """The gain without which a text is of no use: the best one's, unless both may be written."""
    if best is None or best.gain <= 0:
        return 0.0
    is_beside = one.base is best.candidate.base and not any(
        _meet(match, other) for match in one.matches for other in best.candidate.matches
    )
    return 0.0 if is_beside else best.gain


def _meet(one: Match, other: Match) -> bool:
    return one.start < other.end and other.start < one.end


def _replaced(words: Sequence[str], matches: Sequence[Match]) -> str:
    """The words with phrases in the places of their matches, the punctuation around them kept."""
    written = list(words)
    for match in sorted(matches, key=lambda match: -match.start):
        span = " ".join(words[match.start : match.end])
        edges = _EDGES.match(span)
        ahead, behind = (edges.group(1), edges.group(3)) if edges else ("", "")
        written[match.start : match.end] = [ahead + match.phrase.text + behind]
    return " ".join(written)
