"""Latency of a stream from what was displayed when: pure arithmetic over a recorded log, for any system.

Times are seconds since the first sample was spoken, so that a word's end in the audio and the moment of a display lie
on one axis. A word is committed at the display from which on its place holds it for ever (judged afterwards), and
promised once the system says that it will not change. Words are compared without case and punctuation.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 95, 99)
_PUNCTUATION = ".,;:!?\"'()[]-–—…"


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWord:
    """A word and where it is in the audio, s."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One display of an utterance, which replaces the one before.

    Attributes:
        at_s: when it reached the client.
        utterance: its number; a system without utterances has only one.
        words: what it shows.
        num_promised: of them, from the first on, the system says that they stay; all in a final.
        is_final: whether the utterance is done.
        timed: the words' times, if the system gives them; of finals only.
    """

    at_s: float
    utterance: int
    words: tuple[str, ...]
    num_promised: int = 0
    is_final: bool = False
    timed: tuple[TimedWord, ...] = ()


@dataclass(kw_only=True, slots=True)
class StreamLog:
    """All that a client saw of one stream.

    Attributes:
        duration_s: of the audio.
        shown: displays in their order.
        half_close_s: when the client had sent everything and said so.
        ended_s: when the server had answered everything.
        late_s: by how much each chunk was sent after it was due.
        lag_s: received and not yet processed audio, as the server reports it.
        failure: why the stream was refused or broke, or "".
        is_refused: it was refused before any audio was taken.
    """

    duration_s: float = 0.0
    shown: list[Shown] = field(default_factory=list)
    half_close_s: float | None = None
    ended_s: float | None = None
    late_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    failure: str = ""
    is_refused: bool = False

    @property
    def text(self) -> str:
        """The last display of every utterance."""
        last = {shown.utterance: shown for shown in self.shown}
        return " ".join(word for _, shown in sorted(last.items()) for word in shown.words)

    @property
    def is_complete(self) -> bool:
        """Whether all audio was sent and answered."""
        return not self.failure and self.half_close_s is not None and self.ended_s is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledWord:
    """A word of the transcript: its place in the audio if known, when it was committed and, if ever, promised, s."""

    text: str
    start_s: float | None
    end_s: float | None
    committed_s: float
    promised_s: float | None


@dataclass(kw_only=True, slots=True)
class Figures:
    """Latencies (s) of one stream or, added up, of many.

    Attributes:
        first_interim_s: from the first word's start to the utterance's first display with words.
        commit_s: from a word's end to its commit.
        promise_s: from a word's end to the promise that it stays.
        final_s: from the end of an utterance's last word to its final, where the final came before the half-close.
        half_close_final_s: from the half-close to the last final, where one came after it.
        ended_s: from the half-close to the end of the answer.
        num_showings: words newly displayed in some place by interims.
        num_changed: of them, those that were changed or taken away again.
        num_promised: words promised before their utterance's last display.
        num_broken: of them, those that it did not keep.
        num_words: of the transcripts.
        num_untimed: of them, those whose place in the audio is not known; not in the latencies.
        num_displays: interims.
        speech_s: from the first word to the last of every utterance.
        late_s: see ``StreamLog``.
        lag_s: see ``StreamLog``.
    """

    first_interim_s: list[float] = field(default_factory=list)
    commit_s: list[float] = field(default_factory=list)
    promise_s: list[float] = field(default_factory=list)
    final_s: list[float] = field(default_factory=list)
    half_close_final_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    num_showings: int = 0
    num_changed: int = 0
    num_promised: int = 0
    num_broken: int = 0
    num_words: int = 0
    num_untimed: int = 0
    num_displays: int = 0
    speech_s: float = 0.0
    late_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)

    @property
    def churn(self) -> float | None:
        """Share of the words displayed by interims that were changed later."""
        return self.num_changed / self.num_showings if self.num_showings else None


def plain(word: str) -> str:
    """A word as it is compared."""
    return word.casefold().strip(_PUNCTUATION)


def settled_words(displays: Sequence[Shown]) -> list[SettledWord]:
    """The last display's words with the times at which they settled; ``displays`` of one utterance, in their order."""
    last = displays[-1]
    words = []
    for place, text in enumerate(last.words):
        committed_s = last.at_s
        promised_s: float | None = None
        for shown in reversed(displays):
            if place >= len(shown.words) or plain(shown.words[place]) != plain(text):
                break
            committed_s = shown.at_s
        for shown in reversed(displays):
            if place >= shown.num_promised or plain(shown.words[place]) != plain(text):
                break
            promised_s = shown.at_s
        timed = last.timed[place] if len(last.timed) == len(last.words) else None
        words.append(
            SettledWord(
                text=text,
                start_s=timed.start_s if timed else None,
                end_s=timed.end_s if timed else None,
                committed_s=committed_s,
                promised_s=promised_s,
            )
        )
    return words


def count_promises(displays: Sequence[Shown]) -> tuple[int, int]:
    """Places whose word was promised before the last display, and how many of them then held another word."""
    last = [plain(word) for word in displays[-1].words]
    promised = {
        place: plain(word)
        for shown in displays[:-1]
        for place, word in enumerate(shown.words[: shown.num_promised])
    }
    broken = sum(place >= len(last) or last[place] != word for place, word in promised.items())
    return len(promised), broken


def with_reference_times(words: Sequence[SettledWord], reference: Sequence[TimedWord]) -> list[SettledWord]:
    """The words at the times that a reference gives them; those that it does not hold get none.

    So that two systems are measured against the same clock, whatever times they give themselves.
    """
    ours, theirs = [plain(word.text) for word in words], [plain(word.text) for word in reference]
    times: dict[int, TimedWord] = {}
    for block in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        times |= {block.a + step: reference[block.b + step] for step in range(block.size)}
    return [
        SettledWord(
            text=word.text,
            start_s=times[place].start_s if place in times else None,
            end_s=times[place].end_s if place in times else None,
            committed_s=word.committed_s,
            promised_s=word.promised_s,
        )
        for place, word in enumerate(words)
    ]


def count_churn(displays: Sequence[Shown]) -> tuple[int, int]:
    """Words newly displayed in a place by interims, and how many of them were changed or taken away later."""
    showings = changed = 0
    before: tuple[str, ...] = ()
    for shown in displays:
        now = tuple(plain(word) for word in shown.words)
        kept = [place < len(now) and now[place] == word for place, word in enumerate(before)]
        changed += kept.count(False)
        if not shown.is_final:
            showings += len(now) - sum(kept)
        before = now
    return showings, changed


def measure(log: StreamLog, reference: Sequence[TimedWord] = ()) -> Figures:
    """The figures of one stream; with ``reference``, words are timed by it and not by the system."""
    figures = Figures(late_s=list(log.late_s), lag_s=list(log.lag_s))
    by_utterance: dict[int, list[Shown]] = {}
    for shown in log.shown:
        by_utterance.setdefault(shown.utterance, []).append(shown)
    settled = {number: settled_words(displays) for number, displays in sorted(by_utterance.items())}
    if reference:
        timed = iter(with_reference_times([word for words in settled.values() for word in words], reference))
        settled = {number: [next(timed) for _ in words] for number, words in settled.items()}
    for number, displays in sorted(by_utterance.items()):
        _add_utterance(figures, displays, settled[number], log.half_close_s)
    if log.half_close_s is not None:
        after = [shown.at_s for shown in log.shown if shown.is_final and shown.at_s >= log.half_close_s]
        figures.half_close_final_s += [max(after) - log.half_close_s] if after else []
        figures.ended_s += [log.ended_s - log.half_close_s] if log.ended_s is not None else []
    return figures


def _add_utterance(
    figures: Figures, displays: Sequence[Shown], words: Sequence[SettledWord], half_close_s: float | None
) -> None:
    showings, changed = count_churn(displays)
    figures.num_showings += showings
    figures.num_changed += changed
    promised, broken = count_promises(displays)
    figures.num_promised += promised
    figures.num_broken += broken
    figures.num_displays += sum(not shown.is_final for shown in displays)
    figures.num_words += len(words)
    timed = [
        (word, word.start_s, word.end_s)
        for word in words
        if word.start_s is not None and word.end_s is not None
    ]
    figures.num_untimed += len(words) - len(timed)
    figures.commit_s += [word.committed_s - end_s for word, _, end_s in timed]
    figures.promise_s += [word.promised_s - end_s for word, _, end_s in timed if word.promised_s is not None]
    if not timed:
        return
    first_s, last_s = min(start for _, start, _ in timed), max(end for _, _, end in timed)
    figures.speech_s += last_s - first_s
    figures.first_interim_s.append(next(shown.at_s for shown in displays if shown.words) - first_s)
    last = displays[-1]
    if last.is_final and (half_close_s is None or last.at_s < half_close_s):
        figures.final_s.append(last.at_s - last_s)


def add_up(figures: Iterable[Figures]) -> Figures:
    """All streams' values together."""
    total = Figures()
    for one in figures:
        for name in Figures.__slots__:
            setattr(total, name, getattr(total, name) + getattr(one, name))
    return total


def percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """p50, p90, p95, p99 (linear between neighbours), mean and n; None where there is no value."""
    if not values:
        return {**{f"p{rank}": None for rank in PERCENTILES}, "mean": None, "n": 0}
    ranks = np.percentile(np.asarray(values), PERCENTILES)
    return {
        **{f"p{rank}": round(float(value), 4) for rank, value in zip(PERCENTILES, ranks, strict=True)},
        "mean": round(fmean(values), 4),
        "n": len(values),
    }


def as_document(figures: Figures) -> dict[str, Any]:
    """JSON-ready: percentiles of each latency (s), churn, counts."""
    latencies = {
        "first_interim_s": figures.first_interim_s,
        "word_commit_s": figures.commit_s,
        "word_promise_s": figures.promise_s,
        "final_after_speech_s": figures.final_s,
        "final_after_half_close_s": figures.half_close_final_s,
        "end_after_half_close_s": figures.ended_s,
        "sent_late_s": figures.late_s,
        "lag_s": figures.lag_s,
    }
    return {
        **{name: percentiles(values) for name, values in latencies.items()},
        "churn": figures.churn,
        "promised_early": figures.num_promised,
        "promises_broken": figures.num_broken,
        "words": figures.num_words,
        "words_untimed": figures.num_untimed,
        "speech_s": figures.speech_s,
        "interims_per_speech_s": figures.num_displays / figures.speech_s if figures.speech_s else None,
    }
