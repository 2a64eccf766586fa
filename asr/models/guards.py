"""Guards against hallucination: what is silence, and what is a decoding loop; thresholds of openai/whisper."""

from __future__ import annotations

import zlib

MAX_COMPRESSION_RATIO = 2.4  # text that repeats itself beyond this is a decoding loop
NO_SPEECH_PROB, NO_SPEECH_LOG_PROB = 0.6, -1.0  # both passed: the segment is silence
SURELY_NO_SPEECH_PROB = 0.9  # passed, however sure of its words the decoder is (docs/experiments.md)


def is_silence(no_speech_prob: float, score: float) -> bool:
    """Whether nobody speaks, by the model's own probability of that and its mean log probability, natural log."""
    is_unsure = no_speech_prob > NO_SPEECH_PROB and score < NO_SPEECH_LOG_PROB
    return is_unsure or no_speech_prob > SURELY_NO_SPEECH_PROB


def is_loop(text: str) -> bool:
    """Whether text repeats itself so much that a decoding loop made it."""
    payload = text.encode()
    return bool(payload) and len(payload) / len(zlib.compress(payload)) > MAX_COMPRESSION_RATIO
