"""Where on the frames the tokens of a CTC output lie, and the words that they make.

E frames, V vocabulary, U tokens. Frames are counted here; seconds are the engine's business, as it knows their stride.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr.decoding.ctc_tokens import CtcTokens

LogProbs = NDArray[np.float32]  # (E, V)
_TIE_BREAK = 1e-9  # far below what a float32 tells apart


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """A token on frames ``start`` up to, not including, ``end``; ``log_prob`` is its mean over them, natural log."""

    token: int
    start: int
    end: int
    log_prob: float


@dataclass(frozen=True, slots=True)
class WordSpan:
    """A word, its frames, and the mean log probability of its tokens."""

    text: str
    start: int
    end: int
    log_prob: float


def best_path(log_probs: LogProbs, tokens: CtcTokens) -> list[TokenSpan]:
    """The likeliest token of each frame, repeats merged and blanks left out."""
    return path_spans(log_probs, log_probs.argmax(-1), tokens)


def can_align(labels: Sequence[int], num_frames: int) -> bool:
    """Whether CTC can write ``labels`` on ``num_frames``: one frame each, and a blank between equal neighbours."""
    return min_frames(labels) <= num_frames


def min_frames(labels: Sequence[int]) -> int:
    """The fewest frames on which CTC can write ``labels``."""
    return len(labels) + sum(first == second for first, second in pairwise(labels))


def align(log_probs: LogProbs, labels: Sequence[int], tokens: CtcTokens) -> list[TokenSpan]:
    """The likeliest frames of the U given labels; [] where they do not fit."""
    return path_spans(log_probs, align_path(log_probs, labels, blank=tokens.blank), tokens)


def align_path(log_probs: LogProbs, labels: Sequence[int], *, blank: int) -> NDArray[np.int64]:
    """The likeliest path (E,) that writes the U labels (Viterbi; torchaudio's ``forced_align``); (0,) where none can.

    It takes E * (2 U + 1) bytes, so a recording of an hour is aligned in pieces. Where two predecessors of a state tie,
    ``forced_align`` may take the worst of the three (pytorch/audio#4221): double precision and an offset of its own for
    every value leave no ties.
    """
    import torch
    from torchaudio.functional import forced_align

    if not labels or not can_align(labels, len(log_probs)):
        return np.empty(0, np.int64)
    distinct = log_probs + _TIE_BREAK * np.random.default_rng(0).random(log_probs.shape)
    path, _scores = forced_align(
        torch.from_numpy(distinct)[None],
        torch.tensor([list(labels)]),
        blank=blank,
    )
    frames: NDArray[np.int64] = path[0].numpy().astype(np.int64)
    return frames


def label_frames(path: NDArray[np.int64], *, blank: int) -> list[tuple[int, int]]:
    """First and last frame, the last excluded, of each of the U labels that ``path`` writes, in their order."""
    if not len(path):
        return []
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(start, end) for start, end in pairwise(edges) if path[start] != blank]


def path_spans(log_probs: LogProbs, path: NDArray[np.int64], tokens: CtcTokens) -> list[TokenSpan]:
    """Runs of the same token on a path (E,), without blanks and special tokens."""
    spans = []
    for start, end in label_frames(path, blank=tokens.blank):
        token = int(path[start])
        if tokens.labels[token]:
            spans.append(TokenSpan(token, start, end, float(log_probs[start:end, token].mean())))
    return spans


def words_of(spans: Sequence[TokenSpan], tokens: CtcTokens) -> list[WordSpan]:
    """Group spans at the spaces between them, or take each as a word where the model writes none."""
    groups: list[list[TokenSpan]] = [[]]
    for span in spans:
        if span.token == tokens.separator:
            groups.append([])
        elif tokens.separator is None:
            groups.append([span])
        else:
            groups[-1].append(span)
    return [_word(group, tokens) for group in groups if group]


def _word(group: Sequence[TokenSpan], tokens: CtcTokens) -> WordSpan:
    text = tokens.text([span.token for span in group])
    return WordSpan(text, group[0].start, group[-1].end, math.fsum(s.log_prob for s in group) / len(group))
