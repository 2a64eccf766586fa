"""Utterances as data URIs: Ogg Opus, small enough for a page, and within a budget for the whole of it."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from asr.audio.pcm import to_int16
from asr.data.manifest import Utterance, load_samples
from asr.errors import AudioError
from asr.units import SAMPLE_RATE_HZ

PAGE_AUDIO_BYTES = 5_000_000  # of Opus on one page, 6.7 MB as base64: the page stays below 8 MB
MAX_UTTERANCE_S = 60.0  # a longer one is not embedded: a page is for listening to words, not to meetings
COMPRESSION = 0.9  # libsndfile's scale; 24 to 32 kbit/s for speech at 16 kHz


def encode_opus(samples: NDArray[np.float32]) -> bytes:
    """(T,) samples at 16 kHz as an Ogg Opus file."""
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", SAMPLE_RATE_HZ, 1, format="OGG", subtype="OPUS", compression_level=COMPRESSION
    ) as sound:
        sound.write(to_int16(samples))
    return buffer.getvalue()


class AudioBudget:
    """Hands out data URIs until its bytes are spent."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes

    def embed(self, utterance: Utterance) -> tuple[str, str]:
        """The utterance's data URI and "", or "" and why there is none."""
        if utterance.duration_s > MAX_UTTERANCE_S:
            return "", f"audio left out: {utterance.duration_s:.0f} s is over {MAX_UTTERANCE_S:.0f} s"
        try:
            encoded = encode_opus(load_samples(utterance))
        except AudioError as error:
            return "", f"audio left out: {error}"
        if len(encoded) > self._left:
            return "", "audio left out: the page's audio is full"
        self._left -= len(encoded)
        return f"data:audio/ogg;base64,{base64.b64encode(encoded).decode()}", ""
