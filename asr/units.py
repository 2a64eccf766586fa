"""The constants of the signal path, written as derivations.

Seconds are float, samples and frames are int. Everything behind ``asr.audio`` is mono float32 at
``SAMPLE_RATE_HZ`` in [-1, 1]; nothing here converts.
"""

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = SAMPLE_RATE_HZ // 100  # 10 ms
WINDOW_SAMPLES = SAMPLE_RATE_HZ // 40  # 25 ms
WHISPER_WINDOW_S = 30
WHISPER_WINDOW_SAMPLES = WHISPER_WINDOW_S * SAMPLE_RATE_HZ
WHISPER_WINDOW_FRAMES = WHISPER_WINDOW_SAMPLES // HOP_SAMPLES  # 3000
ENCODER_FRAME_S = 2 * HOP_SAMPLES / SAMPLE_RATE_HZ  # 20 ms: the encoder halves the frame rate
MAX_UTTERANCE_S = 28.0  # a Whisper window less room for the padding around a segment


def to_samples(seconds: float) -> int:
    """Seconds to the nearest sample at ``SAMPLE_RATE_HZ``."""
    return round(seconds * SAMPLE_RATE_HZ)


def to_seconds(num_samples: int) -> float:
    """Samples at ``SAMPLE_RATE_HZ`` to seconds."""
    return num_samples / SAMPLE_RATE_HZ
