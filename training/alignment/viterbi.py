"""Words on frames: forced alignment with a wildcard that stands for whatever the transcript does not say.

E encoder frames, V vocabulary, U labels. The wildcard is one more output, with probability 0.5 on every frame: it takes
what no word explains (speech without text, words whose sound is unknown) and leaves what one does. Pratap et al. 2023
(Scaling Speech Technology to 1,000+ Languages) align with one of probability 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr.decoding.ctc_alignment import LogProbs, align_path, label_frames
from asr.decoding.ctc_tokens import CtcTokens
from training.alignment.transcript import TranscriptWord

WILDCARD_LOG_PROB = math.log(0.5)
MAX_GAP_IN_WORD_S = (
    0.4  # models place a first letter early or a last one late, across a pause: such a letter has no say
)
Frames = tuple[int, int]  # the first, and the one after the last
_NO_WORD = -1


@dataclass(frozen=True, slots=True)
class AlignedWords:
    """W words on E frames.

    Attributes:
        frames: of each word; None where it was left out, or where there was no room.
        log_probs: (E,) of the path, natural log; NaN on frames that the wildcard took.
    """

    frames: list[Frames | None]
    log_probs: NDArray[np.float32]


def align_words(
    log_probs: LogProbs,
    words: Sequence[TranscriptWord],
    tokens: CtcTokens,
    *,
    breaks: Set[int],
    lost: Set[int],
    frame_s: float,
) -> AlignedWords:
    """Place ``words`` on the frames of ``log_probs`` (E, V).

    Args:
        log_probs: emissions, natural log.
        words: W of them.
        tokens: what the outputs mean.
        breaks: words before which other speech may come.
        lost: words that are left out, with other speech in their place.
        frame_s: from one frame to the next.

    Returns:
        No frames for any word where all of them have no room in E.
    """
    wildcard = log_probs.shape[1]
    labels, owners = _labels(words, tokens, breaks, lost, wildcard)
    wider = np.concatenate([log_probs, np.full((len(log_probs), 1), WILDCARD_LOG_PROB, np.float32)], axis=1)
    path = align_path(wider, labels, blank=tokens.blank)
    if not len(path):
        return AlignedWords([None] * len(words), np.full(len(log_probs), np.nan, np.float32))
    characters: list[list[Frames]] = [[] for _ in words]
    for frames, owner in zip(label_frames(path, blank=tokens.blank), owners, strict=True):
        if owner != _NO_WORD:
            characters[owner].append(frames)
    path_log_probs = wider[np.arange(len(path)), path]
    path_log_probs[path == wildcard] = np.nan
    longest = round(MAX_GAP_IN_WORD_S / frame_s)
    opening = {number for number in range(len(words)) if number in breaks or number - 1 in lost or not number}
    frames_of = [
        _together(spans, longest, take_later=number in opening) for number, spans in enumerate(characters)
    ]
    return AlignedWords(frames_of, path_log_probs)


def _labels(
    words: Sequence[TranscriptWord],
    tokens: CtcTokens,
    breaks: Set[int],
    lost: Set[int],
    wildcard: int,
) -> tuple[list[int], list[int]]:
    """The labels (U,), and the word that each belongs to; wildcards stand at both ends and at every break."""
    unowned = (wildcard, _NO_WORD)
    plan = [unowned]
    after_break = True
    for number, word in enumerate(words):
        after_break = after_break or number in breaks or number in lost
        if number in lost:
            continue
        mine = tokens.encode(word.spoken) if word.spoken else [wildcard]
        if after_break and mine == [wildcard] and plan[-1] == unowned:
            plan.pop()
        elif after_break and wildcard not in (plan[-1][0], mine[0]):
            plan.append(unowned)
        elif not after_break and tokens.separator is not None:
            plan.append((tokens.separator, _NO_WORD))
        plan += [(label, number) for label in mine]
        after_break = False
    if plan[-1][0] != wildcard:
        plan.append(unowned)
    return [label for label, _ in plan], [owner for _, owner in plan]


def _together(characters: Sequence[Frames], longest_gap: int, *, take_later: bool) -> Frames | None:
    """The frames of the most characters with no long gap between them.

    Of equal groups the later where a word opens speech (its first letter is the stray one), else the earlier.
    """
    if not characters:
        return None
    cuts = [
        number
        for number, (one, other) in enumerate(pairwise(characters), 1)
        if other[0] - one[1] > longest_gap
    ]
    groups = [characters[start:end] for start, end in pairwise([0, *cuts, len(characters)])]
    group = max(reversed(groups) if take_later else groups, key=len)
    return group[0][0], group[-1][1]
