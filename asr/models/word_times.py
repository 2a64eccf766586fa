"""Word times of a Whisper's text from where its tokens begin. U tokens.

Where tokens begin is found by the engines, each from its own cross attention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asr.results import Word
from asr.units import ENCODER_FRAME_S


def token_starts(alignment: Sequence[tuple[int, int]], num_tokens: int) -> list[float]:
    """The time (s) at which each token's alignment begins, and last the end of the final token."""
    starts = [math.inf] * (num_tokens + 1)
    last_frame = 0
    for token, frame in alignment:
        if token <= num_tokens:
            starts[token] = min(starts[token], frame * ENCODER_FRAME_S)
        last_frame = max(last_frame, frame)
    if math.isinf(starts[num_tokens]):
        starts[num_tokens] = (last_frame + 1) * ENCODER_FRAME_S
    for token in range(num_tokens - 1, -1, -1):
        starts[token] = min(starts[token], starts[token + 1])
    return starts


def timed_words(
    words: Sequence[tuple[str, int]], starts: Sequence[float], probs: Sequence[float], duration_s: float
) -> tuple[Word, ...]:
    """Words with times within the segment and, as confidence, the geometric mean of their tokens' probabilities."""
    timed = []
    position = 0
    for text, num_tokens in words:
        token_probs = np.asarray(probs[position : position + num_tokens])
        confidence = float(np.exp(np.log(np.maximum(token_probs, 1e-10)).mean())) if len(token_probs) else 0.0
        start_s = min(starts[position], duration_s)
        end_s = min(max(starts[position + num_tokens], start_s), duration_s)
        timed.append(Word(text=text, start_s=round(start_s, 3), end_s=round(end_s, 3), confidence=confidence))
        position += num_tokens
    return tuple(timed)
