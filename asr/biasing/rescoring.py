"""Whether an utterance says a phrase: the text with the phrase in its place, scored by the model on the same audio.

A phrase wins where the text with it, with its boost, is likelier than without. The boost grows with the phrase's tokens
and with how much the replaced words sound like it, and is bounded: words of which the model is sure stay, and where
there are none, no phrase can come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asr.biasing.retrieval import Match, PhraseIndex, max_matches

NO_BOOST_SIMILARITY = 0.4  # below which a phrase has no boost at all
TRIED_FIRST = 3  # before the others, of which fewer can win then
_EDGES = re.compile(r"^(\W*)(.*?)([^\w]*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A text with the phrases that won, and its log probability given the audio, natural log."""

    text: str
    log_prob: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of the search; ``bonus`` is that of the phrases it holds less that of those the first text holds."""

    words: list[str]
    bonus: float
    brought: tuple[str, ...]


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
) -> Rewrite | None:
    """The text with the phrases that its audio says; None where the first one stays.

    Args:
        texts: of a search, best first. A misheard phrase is often nearer to what was said in one of the others.
        index: of the phrases.
        score: log probability of each of several texts given the audio, natural log.
        num_tokens: of a phrase, as the model writes it.
        at_most: log probability that a text cannot exceed; what cannot win with it is not scored.
    """
    bases = _read(texts, index, num_tokens)
    candidates = _candidates(bases, index, num_tokens)
    if not candidates:
        return None
    (before,) = score(texts[:1])

    def tried(some: Sequence[_Candidate], gained: float) -> list[_Tried]:
        some = [one for one in some if at_most(one.text) - before + one.bonus > gained]
        log_probs = score([one.text for one in some]) if some else ()
        return [
            _Tried(log_prob - before + one.bonus, log_prob, one)
            for one, log_prob in zip(some, log_probs, strict=True)
        ]

    found = tried(candidates[:TRIED_FIRST], 0.0)
    found += tried(candidates[TRIED_FIRST:], max([0.0, *(one.gain for one in found)]))
    found.sort(key=lambda one: -one.gain)
    if not found or found[0].gain <= 0:
        return None
    best = found[0]
    others = [
        one.candidate
        for one in found
        if one.candidate.base is not bases[0] or one.gain > 0  # else it lost against the text that it changes
    ]
    grown = tried(_together(best.candidate, others, num_tokens), best.gain)
    best = max([best, *grown], key=lambda one: one.gain)
    return best.candidate.rewrite(best.log_prob)


def _read(texts: Sequence[str], index: PhraseIndex, num_tokens: Callable[[str], int]) -> list[_Text]:
    """Each different text once, with the phrases that it holds as they are to be written."""
    bases: list[_Text] = []
    first: list[Match] = []
    for text in dict.fromkeys(texts):
        words = text.split()
        held = index.held(words)
        first = held if not bases else first
        known = {match.phrase.text for match in first}
        bonus = sum(_bonus(match, num_tokens) for match in held) - sum(
            _bonus(match, num_tokens) for match in first
        )
        bases.append(
            _Text(words, bonus, tuple(one.phrase.text for one in held if one.phrase.text not in known))
        )
    return bases


def _candidates(
    bases: Sequence[_Text], index: PhraseIndex, num_tokens: Callable[[str], int]
) -> list[_Candidate]:
    """Texts with a phrase that the first one has not, the likeliest first; no more than one text would be tried with."""
    found: dict[str, tuple[float, _Candidate]] = {}
    for base in bases:
        ranked = [(1.0, _Candidate(base, (), base.bonus))] if base.brought else []
        for match in index.matches(base.words):
            bonus = base.bonus + _bonus(match, num_tokens)
            ranked.append((match.rank, _Candidate(base, (match,), bonus)))
        for rank, one in ranked:
            if (text := one.text) not in found or found[text][1].bonus < one.bonus:
                found[text] = (rank, one)
    ordered = sorted(found.values(), key=lambda pair: -pair[0])
    return [one for _, one in ordered[: max_matches(len(bases[0].words))]]


def _together(
    best: _Candidate, others: Sequence[_Candidate], num_tokens: Callable[[str], int]
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
            bonus = grown[-1].bonus + _bonus(other.matches[0], num_tokens)
            grown.append(_Candidate(best.base, (*placed, *other.matches), bonus))
    return grown[1:]


def _bonus(match: Match, num_tokens: Callable[[str], int]) -> float:
    likeness = max(0.0, match.similarity - NO_BOOST_SIMILARITY) / (1 - NO_BOOST_SIMILARITY)
    return match.phrase.boost * num_tokens(match.phrase.text) * likeness


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
