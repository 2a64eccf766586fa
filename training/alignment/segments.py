"""Units of a transcript to segments of a recording: what can be trained on, and what cannot, with the reason.

A segment holds as many units as fit its limit and prefers to end with a sentence. Nothing is dropped: units that were not
found, and speech that the transcript lacks, are segments with a reason. Frames in, seconds out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.decoding.ctc_alignment import LogProbs, TokenSpan, best_path
from asr.decoding.ctc_tokens import CtcTokens
from training.alignment.transcript import TranscriptWord
from training.alignment.units import MAX_UNIT_S, Alignment, Unit, window_score
from training.alignment.viterbi import Frames

MAX_SEGMENT_S = 20.0
MAX_PAUSE_S = 1.0  # a longer one within a segment would be silence to learn from
MAX_MARGIN_S = 0.5  # before the first and after the last character, as in ctc-segmentation
MIN_HEARD_CHARACTERS = 3  # that speech without text has at least
MIN_FOREIGN_CHARACTERS = 2  # in a margin; a single one may be the word's own, placed astray
SAME_CHARACTER_S = 0.1  # a character heard so near to an aligned one is that one
MAX_UNWRITABLE_SHARE = 0.5
_MAX_HEARD_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameTimes:
    """When the frames of a recording are: the first begins at ``first_s``, the others ``step_s`` apart."""

    first_s: float
    step_s: float
    duration_s: float

    def of(self, frame: int) -> float:
        """Where ``frame`` begins, s, within the recording; the very first at its beginning."""
        return min(self.duration_s, self.first_s + frame * self.step_s) if frame else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A span of a recording and its text.

    Attributes:
        start_s: from the recording's first sample.
        end_s: likewise.
        text: as the transcript writes it; "" for speech that it lacks.
        score: see :func:`training.alignment.units.window_score`.
        reason: why it cannot be trained on; "" if it can.
        unwritable_words: how many of its words the model could not check, for want of characters.
    """

    start_s: float
    end_s: float
    text: str
    score: float
    reason: str = ""
    unwritable_words: int = 0


def cut_segments(
    alignment: Alignment,
    log_probs: LogProbs,
    tokens: CtcTokens,
    times: FrameTimes,
    *,
    min_score: float,
) -> list[Segment]:
    """The segments of a recording in their order, good ones and others.

    Args:
        alignment: of the transcript.
        log_probs: emissions (E, V), natural log.
        tokens: what the outputs mean.
        times: of the frames; no segment leaves the recording.
        min_score: below it a segment cannot be trained on.
    """
    cutter = _Cutter(alignment, log_probs, tokens, times.step_s, min_score)
    segments = []
    for (start, end), text, score, reason, unwritable in cutter.pieces():
        start_s = times.of(start)
        end_s = times.duration_s if end >= len(log_probs) else times.of(end)
        segments.append(
            Segment(
                start_s=start_s,
                end_s=max(end_s, min(times.duration_s, start_s + times.step_s)),
                text=text,
                score=score,
                reason=reason,
                unwritable_words=unwritable,
            )
        )
    return segments


_Cut = tuple[Frames, str, float, str, int]


class _Cutter:
    """Cuts one recording; everything in frames."""

    def __init__(
        self,
        alignment: Alignment,
        log_probs: LogProbs,
        tokens: CtcTokens,
        frame_s: float,
        min_score: float,
    ) -> None:
        self._alignment = alignment
        self._num_frames = len(log_probs)
        self._tokens = tokens
        self._frame_s = frame_s
        self._min_score = min_score
        self._best = best_path(log_probs, tokens)
        self._starts = [span.start for span in self._best]

    def pieces(self) -> Iterator[_Cut]:
        """Every segment: frames, text, score, reason, unwritable words."""
        previous_end = 0
        lost: list[Unit] = []
        run: list[Unit] = []
        for unit in self._alignment.units:
            if unit.frames is None:
                yield from self._segments(run, previous_end, self._next_start(unit))
                previous_end = _end(run, previous_end)
                run = []
                lost.append(unit)
                continue
            gap = (_end(run, previous_end), unit.frames[0])
            extra = self._speech_in(gap)
            long_pause = (gap[1] - gap[0]) * self._frame_s > MAX_PAUSE_S
            bad = any(other.score < self._min_score for other in (unit, *run[-1:]))
            if lost or extra or (run and (long_pause or bad)):
                yield from self._segments(run, previous_end, unit.frames[0])
                previous_end = gap[0]
                run = []
                if lost:
                    yield self._rejected(lost, gap)
                elif extra:
                    yield self._without_text(extra)
                lost = []
            run.append(unit)
        yield from self._segments(run, previous_end, self._num_frames)
        gap = (_end(run, previous_end), self._num_frames)
        if lost:
            yield self._rejected(lost, gap)
        elif extra := self._speech_in(gap):
            yield self._without_text(extra)

    def _next_start(self, unit: Unit) -> int:
        later = (
            other.frames[0] for other in self._alignment.units if other.first > unit.first and other.frames
        )
        return next(later, self._num_frames)

    def _segments(self, run: Sequence[Unit], previous_end: int, next_start: int) -> Iterator[_Cut]:
        """Units that follow each other without a break, in segments."""
        groups = list(_groups(run, self._alignment, self._frame_s))
        for number, group in enumerate(groups):
            before = _end(groups[number - 1], 0) if number else previous_end
            after = _begin(groups[number + 1]) if number + 1 < len(groups) else next_start
            yield self._segment(group, before, after)

    def _segment(self, group: Sequence[Unit], before: int, after: int) -> _Cut:
        frames = (_begin(group), _end(group, 0))
        score = min(
            window_score(self._alignment.path, frames, self._frame_s), *(unit.score for unit in group)
        )
        words = self._alignment.words[group[0].first : group[-1].end]
        unwritable = sum(not word.spoken for word in words)
        reason = _uncheckable(words)
        length_s = (frames[1] - frames[0]) * self._frame_s
        if reason:
            score = 0.0
        elif score < self._min_score:
            reason = self._low(score, frames)
        elif length_s > MAX_UNIT_S:
            reason = f"{length_s:.1f} s without a pause to cut at; the limit is {MAX_SEGMENT_S:.0f} s"
        text = " ".join(word.text for word in words)
        return self._with_margins(frames, before, after), text, score, reason, unwritable

    def _with_margins(self, frames: Frames, before: int, after: int) -> Frames:
        """Half of the pause on both sides, ``MAX_MARGIN_S`` at most; characters that are heard end the pause."""
        margin, near = round(MAX_MARGIN_S / self._frame_s), round(SAME_CHARACTER_S / self._frame_s)
        heard = self._heard_in((before, frames[0] - near))
        if len(heard) >= MIN_FOREIGN_CHARACTERS:
            before = min(heard[-1].end, frames[0])
        heard = self._heard_in((frames[1] + near, after))
        if len(heard) >= MIN_FOREIGN_CHARACTERS:
            after = heard[0].start
        return (
            max(frames[0] - margin, (before + frames[0] + 1) // 2, 0),
            min(frames[1] + margin, (frames[1] + after) // 2, self._num_frames),
        )

    def _rejected(self, lost: Sequence[Unit], gap: Frames) -> _Cut:
        words = self._alignment.words[lost[0].first : lost[-1].end]
        score = min(unit.score for unit in lost)
        unwritable = sum(not word.spoken for word in words)
        return gap, " ".join(word.text for word in words), score, self._low(score, gap), unwritable

    def _low(self, score: float, frames: Frames) -> str:
        heard = self._text_in(frames)
        what = f"hears {heard[:_MAX_HEARD_SHOWN]!r}" if heard else "hears nothing"
        return f"a score of {score:.2f} is below {self._min_score:g}: the model {what} there"

    def _without_text(self, speech: Frames) -> _Cut:
        heard = self._text_in(speech)[:_MAX_HEARD_SHOWN]
        return speech, "", 0.0, f"speech that the transcript lacks: the model hears {heard!r}", 0

    def _speech_in(self, gap: Frames) -> Frames | None:
        """From the first to the last character that the best path has within ``gap``, if they are enough to be speech."""
        heard = self._heard_in(gap)
        return (heard[0].start, heard[-1].end) if len(heard) >= MIN_HEARD_CHARACTERS else None

    def _text_in(self, gap: Frames) -> str:
        return self._tokens.text([span.token for span in self._within(gap)])

    def _heard_in(self, gap: Frames) -> list[TokenSpan]:
        return [span for span in self._within(gap) if span.token != self._tokens.separator]

    def _within(self, gap: Frames) -> list[TokenSpan]:
        return self._best[bisect_left(self._starts, gap[0]) : bisect_left(self._starts, gap[1])]


def _groups(run: Sequence[Unit], alignment: Alignment, frame_s: float) -> Iterator[Sequence[Unit]]:
    """As many units as fit a segment; the last that ends a sentence is the last of its segment, if there is one."""
    start = 0
    while start < len(run):
        end = start + 1
        while end < len(run) and (_end(run[: end + 1], 0) - _begin(run[start:])) * frame_s <= MAX_UNIT_S:
            end += 1
        if end < len(run):
            sentences = [
                place
                for place in range(start + 1, end + 1)
                if alignment.words[run[place - 1].end - 1].ends_sentence
            ]
            end = sentences[-1] if sentences else end
        yield run[start:end]
        start = end


def _uncheckable(words: Sequence[TranscriptWord]) -> str:
    """The reason to refuse words of which the model can write too few, or ""."""
    unwritable = [word for word in words if not word.spoken]
    if len(unwritable) <= MAX_UNWRITABLE_SHARE * len(words):
        return ""
    signs = " ".join(sorted({sign for word in unwritable for sign in word.missing}))
    return (
        f"{len(unwritable)} of {len(words)} words cannot be checked: the model cannot write {signs}; write numbers as "
        "words, or take a model with these characters"
    )


def _begin(units: Sequence[Unit]) -> int:
    frames = units[0].frames
    assert frames is not None
    return frames[0]


def _end(units: Sequence[Unit], default: int) -> int:
    if not units:
        return default
    frames = units[-1].frames
    assert frames is not None
    return frames[1]
