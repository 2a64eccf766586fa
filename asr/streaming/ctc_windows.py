"""Which windows of a growing utterance a Wav2Vec2-CTC must hear, and how their frames become one emission matrix.

Values in, values out: the model call lies between :meth:`WindowPlan.due` and :meth:`Emissions.add`, in whatever thread
or process. Windows lie on a grid from the utterance's start, so that the chunks in which audio comes make no difference.
T samples, E encoder frames, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.decoding.ctc_alignment import LogProbs
from asr.errors import OptionError
from asr.models.base import Samples
from asr.models.ctc_frames import FrameGrid, normalized
from asr.units import SAMPLE_RATE_HZ, WHISPER_WINDOW_S, to_samples, to_seconds

MAX_SPAN_S = float(WHISPER_WINDOW_S)  # what the engine takes at once


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowOptions:
    """How an utterance is heard while it grows.

    Audio is heard ``(left_s + chunk_s + right_s) / chunk_s`` times; it is in a partial hypothesis after ``chunk_s`` and
    has its right context after ``chunk_s + right_s`` at most. What that costs and brings is in docs/experiments.md.

    Attributes:
        left_s: audio before a chunk that its window has, too; 0 to 20.
        chunk_s: audio whose frames a window settles; 0.1 to 5.
        right_s: audio after it, 0.05 to 5.
        revise_s: audio before a chunk whose frames its window settles anew, with more right context than they had; in
            whole chunks, at most ``left_s``. It costs nothing: the window has that audio anyway.
        commit_margin_s: how far a word must end before the last settled frame to be committed; 0 to 5.

    Raises:
        OptionError: a value outside its range, with ``field`` set.
    """

    left_s: float = 4.0
    chunk_s: float = 1.0
    right_s: float = 0.5
    revise_s: float = 2.0
    commit_margin_s: float = 0.2

    def __post_init__(self) -> None:
        limits = {
            "left_s": (0.0, 20.0),
            "chunk_s": (0.1, 5.0),
            "right_s": (0.05, 5.0),
            "revise_s": (0.0, self.left_s),
            "commit_margin_s": (0.0, 5.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(
                    f"{name} is {value:g}, outside {low:g} to {high:g}; choose a value within", field=name
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CtcWindow:
    """Audio to run through the model, and which of the frames that come out are kept.

    Attributes:
        index: of the window on the utterance's grid; windows are added in their order.
        samples: (T,) float32 at the level that the model wants: input of ``TorchCtc.window_emissions``.
        first_frame: frame of the utterance that the window's first frame is.
        keep: first frame of the utterance that the window settles, the first of a chunk.
        keep_end: the one after the last; None for all, in the window that ends the utterance.
        end_sample: sample of the utterance at which the window ends.
    """

    index: int
    samples: Samples
    first_frame: int
    keep: int
    keep_end: int | None
    end_sample: int

    @property
    def is_last(self) -> bool:
        """Whether it ends the utterance."""
        return self.keep_end is None

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole utterance: its emissions are those of the offline pass."""
        return self.is_last and self.first_frame == 0


class WindowPlan:
    """The windows of one utterance.

    A model that wants normalised audio gets each window at that window's own mean and variance, as if it were a segment:
    causal, without state, and for an utterance in one window the offline pass. Statistics of the utterance so far, the
    other causal rule, come no nearer to the offline pass at an even level and cost words where a speaker grows quiet
    (docs/experiments.md). Group norm inside the feature encoder (wav2vec2-base) sees the window alone, too.
    """

    def __init__(self, grid: FrameGrid, options: WindowOptions) -> None:
        """Round the options to whole frames.

        Raises:
            OptionError: less right context than a frame sees, or a window longer than the engine takes.
        """
        self._grid = grid
        stride = grid.stride_samples
        self.chunk_frames = max(1, round(options.chunk_s * SAMPLE_RATE_HZ / stride))
        self._chunk = self.chunk_frames * stride
        self._left = round(options.left_s * SAMPLE_RATE_HZ / stride) * stride
        self._right = to_samples(options.right_s)
        self._revised = min(round(options.revise_s / options.chunk_s), self._left // self._chunk)
        if self._right < grid.receptive_samples - stride:
            raise OptionError(
                f"right_s is {options.right_s:g}, less than what a frame of this model sees; give at least "
                f"{to_seconds(grid.receptive_samples - stride):g}",
                field="right_s",
            )
        if self.span_samples > to_samples(MAX_SPAN_S):
            raise OptionError(
                f"left_s, chunk_s and right_s make {to_seconds(self.span_samples):g} s; a window has at most "
                f"{MAX_SPAN_S:g} s: take less left_s",
                field="left_s",
            )

    @property
    def span_samples(self) -> int:
        """The longest window; an utterance no longer than this is given to the model whole at its end."""
        return self._left + self._chunk + self._right

    def num_due(self, num_samples: int) -> int:
        """How many windows of the grid lie within the first ``num_samples`` of the utterance."""
        return max(0, (num_samples - self._right) // self._chunk)

    def due(self, samples: Samples, num_added: int) -> list[CtcWindow]:
        """The windows that ``samples`` (T,), the utterance so far, complete, without the first ``num_added``."""
        return [self._window(samples, index) for index in range(num_added, self.num_due(len(samples)))]

    def last(self, samples: Samples) -> CtcWindow:
        """The window that ends the utterance ``samples`` (T,): whole if it fits, else what no other settles."""
        index = self.num_due(len(samples))
        whole = len(samples) <= self.span_samples
        begin = 0 if whole else max(0, index * self._chunk - self._left)
        return CtcWindow(
            index=index,
            samples=self._at_level(samples[begin:]),
            first_frame=begin // self._grid.stride_samples,
            keep=max(0, index - self._revised) * self.chunk_frames,
            keep_end=None,
            end_sample=len(samples),
        )

    def _window(self, samples: Samples, index: int) -> CtcWindow:
        begin = max(0, index * self._chunk - self._left)
        end = (index + 1) * self._chunk + self._right
        return CtcWindow(
            index=index,
            samples=self._at_level(samples[begin:end]),
            first_frame=begin // self._grid.stride_samples,
            keep=max(0, index - self._revised) * self.chunk_frames,
            keep_end=(index + 1) * self.chunk_frames,
            end_sample=end,
        )

    def _at_level(self, window: Samples) -> Samples:
        return normalized(window) if self._grid.normalizes and len(window) else window.copy()


class Emissions:
    """The emissions of one utterance, stitched as its windows come back from the model.

    A frame is what the newest window that keeps it gave; what is kept depends on the audio of the utterance alone.
    """

    def __init__(self, vocab_size: int, chunk_frames: int) -> None:
        self._chunk_frames = chunk_frames
        self._pieces: list[LogProbs] = []  # one for each chunk, and what the last window has more
        self._empty: LogProbs = np.empty((0, vocab_size), np.float32)
        self._tail = self._empty
        self._whole: LogProbs | None = None
        self.num_windows = 0

    @property
    def num_frames(self) -> int:
        """Frames that have their right context."""
        return sum(map(len, self._pieces[-1:])) + self._chunk_frames * max(0, len(self._pieces) - 1)

    @property
    def log_probs(self) -> LogProbs:
        """The frames that have their right context, (E, V); of an utterance that fitted one window, the offline pass."""
        return self._whole if self._whole is not None else self._joined(self._pieces)

    def add(self, window: CtcWindow, log_probs: LogProbs) -> None:
        """Take what the model gave for a window; the next one of the grid, or the last."""
        assert window.is_last or window.index == self.num_windows, (window.index, self.num_windows)
        assert window.index <= self.num_windows, "windows are due before the last one"
        first, kept = window.first_frame, window.keep // self._chunk_frames
        end = window.keep_end if window.keep_end is not None else first + len(log_probs)
        del self._pieces[kept:]  # also what was heard beyond the utterance, as it turned out
        for chunk in range(kept, window.index + 1):
            piece_end = end if chunk == window.index else (chunk + 1) * self._chunk_frames
            self._pieces.append(log_probs[chunk * self._chunk_frames - first : max(0, piece_end - first)])
        self._tail = log_probs[end - first :]
        self._whole = log_probs if window.is_whole else None
        self.num_windows = window.index + 1

    def open_from(self, frame: int) -> LogProbs:
        """Frames (E, V) from ``frame`` on, those that still lack right context included."""
        skipped = max(0, min(frame // self._chunk_frames, len(self._pieces) - 1))
        joined = self._joined([*self._pieces[skipped:], self._tail])
        return joined[frame - skipped * self._chunk_frames :]

    def _joined(self, pieces: Sequence[LogProbs]) -> LogProbs:
        return np.concatenate([self._empty, *pieces])
