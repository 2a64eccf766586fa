"""The transcript of a recording in units (sentences, or what lies between pauses), each with its frames and its score.

What the recording does not hold is found by its score, and then left out, so that its neighbours get their frames back.
E encoder frames, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr.decoding.ctc_alignment import LogProbs
from asr.decoding.ctc_tokens import CtcTokens
from training.alignment.anchors import PIECE_CELLS, Piece, cut_into_pieces
from training.alignment.transcript import TranscriptWord
from training.alignment.viterbi import Frames, align_words

MIN_PAUSE_S = 0.3  # a pause that words may be parted at
MIN_SENTENCE_PAUSE_S = 0.1  # at the end of a sentence; without it two sentences are one unit in the end
MIN_UNIT_CHARACTERS = (
    4  # a shorter one, within a sentence, may be a word that was placed astray: it stays with its likes
)
MAX_UNIT_S = 19.0  # a row's limit less its margins
SCORE_WINDOW_S = 0.6
MAX_ROUNDS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Words ``first`` up to ``end``, the last excluded.

    Attributes:
        first: index of its first word.
        end: index after its last.
        frames: from its first character to its last; None where it was left out.
        score: see :func:`window_score`; of a unit that was left out, from before.
    """

    first: int
    end: int
    frames: Frames | None
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """A transcript on a recording's frames.

    Attributes:
        words: of the transcript.
        units: of all words, in order.
        path: (E,) log probability of each frame's output on the path; NaN where the wildcard stands.
    """

    words: Sequence[TranscriptWord]
    units: Sequence[Unit]
    path: NDArray[np.float32] = field(repr=False)


def window_score(path: NDArray[np.float32], frames: Frames, frame_s: float) -> float:
    """How well the least certain part of a span fits, 0 to 1.

    The posterior of the path's outputs, averaged (geometrically) over each window of ``SCORE_WINDOW_S``; the lowest of
    these averages. The confidence score of ctc-segmentation (Kürzinger et al. 2020, arXiv 2007.09127, windows of 30
    frames), as a probability instead of its logarithm. Frames of the wildcard do not count; 0 where no other is left.
    """
    means = _window_means(path, frames, frame_s)
    return math.exp(float(means.min())) if len(means) else 0.0


def _window_means(path: NDArray[np.float32], frames: Frames, frame_s: float) -> NDArray[np.float64]:
    span = path[frames[0] : frames[1]].astype(np.float64)
    span = span[np.isfinite(span)]
    length = min(len(span), round(SCORE_WINDOW_S / frame_s))
    if not length:
        return np.empty(0)
    sums = np.concatenate([[0.0], np.cumsum(span)])
    means: NDArray[np.float64] = (sums[length:] - sums[:-length]) / length
    return means


def align_transcript(
    log_probs: LogProbs,
    words: Sequence[TranscriptWord],
    tokens: CtcTokens,
    *,
    frame_s: float,
    min_score: float,
    piece_cells: int = PIECE_CELLS,
) -> Alignment:
    """Align a transcript; units below ``min_score`` are left out one after the other, the worst of a run first.

    Args:
        log_probs: emissions (E, V) of the recording, natural log.
        words: of the transcript, at least one.
        tokens: what the outputs mean.
        frame_s: from one frame to the next.
        min_score: 0 to 1.
        piece_cells: size from which on the recording is aligned in pieces.

    Raises:
        InputError: a stretch that is too long to align, in which nothing of the transcript is heard.
    """
    pieces = cut_into_pieces(log_probs, words, tokens, piece_cells=piece_cells)
    work = _Work(log_probs, words, tokens, frame_s)
    sentences = {number + 1 for number, word in enumerate(words) if word.ends_sentence}
    work.align(pieces, sentences, set())
    spans = _unit_spans(words, work.frames, frame_s)
    breaks = sentences | {first for first, _ in spans}
    scores = [work.score(span) for span in spans]
    lost: set[int] = set()  # numbers of units
    for _ in range(MAX_ROUNDS):
        found = _worst_of_runs([score < min_score for score in scores], work.means(spans), lost)
        if not found:
            break
        lost |= found
        left_out = {word for number in lost for word in range(*spans[number])}
        touched = {word for number in found for word in range(*spans[number])}
        work.align(
            [piece for piece in pieces if touched & set(range(piece.first_word, piece.end_word))],
            breaks,
            left_out,
        )
        scores = [scores[number] if number in lost else work.score(span) for number, span in enumerate(spans)]
    units = [
        Unit(first=first, end=end, frames=work.span((first, end)), score=score)
        for (first, end), score in zip(spans, scores, strict=True)
    ]
    return Alignment(words=words, units=_joined(units, frame_s, min_score), path=work.path)


class _Work:
    """The alignment as it stands: frames of the words, log probabilities of the path."""

    def __init__(
        self, log_probs: LogProbs, words: Sequence[TranscriptWord], tokens: CtcTokens, frame_s: float
    ) -> None:
        self._log_probs = log_probs
        self._words = words
        self._tokens = tokens
        self._frame_s = frame_s
        self.frames: list[Frames | None] = [None] * len(words)
        self.path = np.full(len(log_probs), np.nan, np.float32)

    def align(self, pieces: Sequence[Piece], breaks: Set[int], lost: Set[int]) -> None:
        """Align some pieces anew."""
        for piece in pieces:
            start, first = piece.first_frame, piece.first_word
            aligned = align_words(
                self._log_probs[start : piece.end_frame],
                self._words[first : piece.end_word],
                self._tokens,
                breaks={word - first for word in breaks},
                lost={word - first for word in lost},
                frame_s=self._frame_s,
            )
            self.path[start : piece.end_frame] = aligned.log_probs
            self.frames[first : piece.end_word] = [
                None if frames is None else (frames[0] + start, frames[1] + start)
                for frames in aligned.frames
            ]

    def span(self, words: tuple[int, int]) -> Frames | None:
        """From the first frame of the first word to the last of the last; None unless all have frames."""
        placed = [frames for frames in self.frames[slice(*words)] if frames is not None]
        return (placed[0][0], placed[-1][1]) if len(placed) == words[1] - words[0] else None

    def score(self, words: tuple[int, int]) -> float:
        """The score of a unit: 0 where it has no frames, 1 where nothing of it can be checked."""
        span = self.span(words)
        if span and not any(word.spoken for word in self._words[slice(*words)]):
            return 1.0
        return window_score(self.path, span, self._frame_s) if span else 0.0

    def means(self, spans: Sequence[tuple[int, int]]) -> list[float]:
        """The mean log probability of each unit."""
        found = []
        for words in spans:
            span = self.span(words)
            frames = self.path[slice(*span)] if span else self.path[:0]
            frames = frames[np.isfinite(frames)]
            found.append(float(frames.mean()) if len(frames) else -math.inf)
        return found


def _joined(units: Sequence[Unit], frame_s: float, min_score: float) -> list[Unit]:
    """The units, good neighbours without a pause between them as one, as far as a row may be long."""
    joined: list[Unit] = []
    for unit in units:
        last = joined[-1] if joined else None
        if last and last.frames and unit.frames and min(last.score, unit.score) >= min_score:
            gap_s = (unit.frames[0] - last.frames[1]) * frame_s
            length_s = (unit.frames[1] - last.frames[0]) * frame_s
            if gap_s < MIN_SENTENCE_PAUSE_S and length_s <= MAX_UNIT_S:
                frames = (last.frames[0], unit.frames[1])
                score = min(last.score, unit.score)
                joined[-1] = Unit(first=last.first, end=unit.end, frames=frames, score=score)
                continue
        joined.append(unit)
    return joined


def _worst_of_runs(bad: Sequence[bool], means: Sequence[float], lost: Set[int]) -> set[int]:
    """In each run of bad units the one with the lowest mean, of those that are not lost yet."""
    found: set[int] = set()
    run: list[int] = []
    for number, is_bad in enumerate([*bad, False]):
        if is_bad:
            run.append(number)
            continue
        candidates = [place for place in run if place not in lost]
        if candidates:
            found.add(min(candidates, key=lambda place: means[place]))
        run = []
    return found


def _unit_spans(
    words: Sequence[TranscriptWord], frames: Sequence[Frames | None], frame_s: float
) -> list[tuple[int, int]]:
    """Words up to the next end of a sentence or pause; what is longer than a row may be is cut at its widest gap."""
    gaps = [_gap_s(frames, number, frame_s) for number in range(len(words) - 1)]
    ends = [
        number + 1 for number, gap_s in enumerate(gaps) if words[number].ends_sentence or gap_s >= MIN_PAUSE_S
    ]
    spans = []
    for span in _without_scraps(list(pairwise([0, *ends, len(words)])), words, gaps):
        spans += _short_enough(span, gaps, frames, frame_s)
    return spans


def _without_scraps(
    spans: Sequence[tuple[int, int]], words: Sequence[TranscriptWord], gaps: Sequence[float]
) -> list[tuple[int, int]]:
    """The spans, those of a few characters joined to the nearer neighbour in the same sentence."""
    waiting: list[tuple[int, int]] = list(spans)
    done: list[tuple[int, int]] = []
    while waiting:
        first, end = waiting.pop(0)
        before = gaps[first - 1] if done and not words[first - 1].ends_sentence else math.inf
        after = gaps[end - 1] if waiting and not words[end - 1].ends_sentence else math.inf
        is_scrap = sum(len(word.spoken) for word in words[first:end]) < MIN_UNIT_CHARACTERS
        if not is_scrap or min(before, after) == math.inf:
            done.append((first, end))
        elif before <= after:
            done[-1] = (done[-1][0], end)
        else:
            waiting[0] = (first, waiting[0][1])
    return done


def _gap_s(frames: Sequence[Frames | None], number: int, frame_s: float) -> float:
    """From word ``number`` to the next; a word without frames is a unit with its likes."""
    one, other = frames[number], frames[number + 1]
    if one is None or other is None:
        return 0.0 if one is other else math.inf
    return (other[0] - one[1]) * frame_s


def _short_enough(
    span: tuple[int, int], gaps: Sequence[float], frames: Sequence[Frames | None], frame_s: float
) -> list[tuple[int, int]]:
    begin, last = frames[span[0]], frames[span[1] - 1]
    if span[1] - span[0] < 2 or begin is None or last is None:
        return [span]
    if (last[1] - begin[0]) * frame_s <= MAX_UNIT_S:
        return [span]
    cut = max(range(span[0] + 1, span[1]), key=lambda word: gaps[word - 1])
    return [
        *_short_enough((span[0], cut), gaps, frames, frame_s),
        *_short_enough((cut, span[1]), gaps, frames, frame_s),
    ]
