"""How much of Whisper's window a segment is heard in.

A stock Whisper only works in a whole window of 30 s, most of it silence; one that was taught to hears a segment at its
own length, several times faster. A version's card names the contexts that it was proved on.
"""

from __future__ import annotations

import math

from asr.units import HOP_SAMPLES, SAMPLE_RATE_HZ, WHISPER_WINDOW_FRAMES, to_samples

TAUGHT_LANGUAGE = "en"  # own lengths are taught and proved in it alone: others are heard in whole windows
WHOLE = "30s"
OWN = "own"
MIN_PADDING_S = 0.2  # of silence behind a segment: teaching covers 0.1 to 1.5 s
STEP_S = 1  # own lengths are whole seconds, so that segments share contexts and can be decoded together


def own_frames(num_samples: int) -> int:
    """Feature frames of the own-length context of a segment: a little silence behind it, in whole seconds."""
    seconds = math.ceil((num_samples + to_samples(MIN_PADDING_S)) / SAMPLE_RATE_HZ / STEP_S) * STEP_S
    return min(WHISPER_WINDOW_FRAMES, seconds * SAMPLE_RATE_HZ // HOP_SAMPLES)


def is_taught(language: str | None) -> bool:
    """Whether own lengths may be used for a language; None where nobody named one."""
    return language in (None, TAUGHT_LANGUAGE)
