"""Whether an utterance says a phrase: the text with the phrase in its place, scored by the model on the same audio.

A phrase wins where the text with it, with its boost, is likelier than without. The boost grows with the phrase's tokens
and with how much the replaced words sound like it, and is bounded: words of which the model is sure stay, and where
there are none, no phrase can come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr.biasing.retrieval import Match, PhraseIndex

NO_BOOST_SIMILARITY = 0.4  # below which a phrase has no boost at all
_EDGES = re.compile(r"^(\W*)(.*?)([^\w]*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A text with the phrases that won, and its log probability given the audio, natural log."""

    text: str
    log_prob: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    match: Match
    text: str
    bonus: float


def rescored(
    text: str,
    index: PhraseIndex,
    score: Callable[[Sequence[str]], Sequence[float]],
    num_tokens: Callable[[str], int],
) -> Rewrite | None:
    """The text with the phrases that its audio says; None where it stays.

    Args:
        text: of a first search.
        index: of the phrases.
        score: log probability of each of several texts given the audio, natural log.
        num_tokens: of a phrase, as the model writes it.
    """
    words = text.split()
    candidates = [
        _Candidate(match, _replaced(words, [match]), _bonus(match, num_tokens))
        for match in index.matches(words)
    ]
    if not candidates:
        return None
    before, *after = score([text, *(one.text for one in candidates)])
    gains = [log_prob - before + one.bonus for one, log_prob in zip(candidates, after, strict=True)]
    chosen = _apart(candidates, gains)
    if not chosen:
        return None
    first = chosen[0]
    best = _rewrite(candidates[first].text, after[first], [candidates[first]])
    if len(chosen) == 1:
        return best
    winners = [candidates[place] for place in chosen]
    together = _replaced(words, [one.match for one in winners])
    (log_prob,) = score([together])
    gain = log_prob - before + sum(one.bonus for one in winners)
    return _rewrite(together, log_prob, winners) if gain > gains[first] else best


def _apart(candidates: Sequence[_Candidate], gains: Sequence[float]) -> list[int]:
    """Those that gain, best first, none in the place of a better one."""
    chosen: list[int] = []
    for place in sorted(range(len(gains)), key=lambda place: -gains[place]):
        if gains[place] > 0 and not any(_meet(candidates[place], candidates[one]) for one in chosen):
            chosen.append(place)
    return chosen


def _rewrite(text: str, log_prob: float, winners: Sequence[_Candidate]) -> Rewrite:
    in_order = sorted(winners, key=lambda one: one.match.start)
    return Rewrite(text, log_prob, tuple(one.match.phrase.text for one in in_order))


def _bonus(match: Match, num_tokens: Callable[[str], int]) -> float:
    likeness = max(0.0, match.similarity - NO_BOOST_SIMILARITY) / (1 - NO_BOOST_SIMILARITY)
    return match.phrase.boost * num_tokens(match.phrase.text) * likeness


def _meet(one: _Candidate, other: _Candidate) -> bool:
    return one.match.start < other.match.end and other.match.start < one.match.end


def _replaced(words: Sequence[str], matches: Sequence[Match]) -> str:
    """The words with phrases in the places of their matches, the punctuation around them kept."""
    written = list(words)
    for match in sorted(matches, key=lambda match: -match.start):
        span = " ".join(words[match.start : match.end])
        edges = _EDGES.match(span)
        ahead, behind = (edges.group(1), edges.group(3)) if edges else ("", "")
        written[match.start : match.end] = [ahead + match.phrase.text + behind]
    return " ".join(written)
