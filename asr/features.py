"""Whisper's log-mel spectrogram, in NumPy, so that serving does not need torch.

T samples, F feature frames, M mel bins. Equal to transformers' WhisperFeatureExtractor to float32 rounding (tested).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from asr.units import HOP_SAMPLES, SAMPLE_RATE_HZ, WHISPER_WINDOW_FRAMES, WINDOW_SAMPLES

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # log10 units below the loudest bin that are kept


@cache
def mel_filters(num_mel_bins: int) -> NDArray[np.float32]:
    """Slaney-scaled triangular filters (M, WINDOW_SAMPLES // 2 + 1) up to 8 kHz, as openai/whisper ships them."""
    from librosa.filters import mel

    filters = mel(sr=SAMPLE_RATE_HZ, n_fft=WINDOW_SAMPLES, n_mels=num_mel_bins)
    return np.ascontiguousarray(filters, dtype=np.float32)


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


def log_mel(
    samples: NDArray[np.float32], *, num_mel_bins: int = 80, num_frames: int = WHISPER_WINDOW_FRAMES
) -> NDArray[np.float32]:
    """Samples (T,) to log-mel (M, F) with F = ``num_frames``, cut or padded with silence.

    Source: openai/whisper ``audio.py``: power spectrum, log10, clamped to 8 below the maximum, (x + 4) / 4.
    Only frames that see sound are computed; those behind are the floor, exactly as if silence had been transformed.
    """
    half = WINDOW_SAMPLES // 2
    window = num_frames * HOP_SAMPLES
    samples = samples[:window]
    voiced = min(num_frames, (len(samples) + half) // HOP_SAMPLES + 1)
    computed = min(window, (voiced + 2) * HOP_SAMPLES)  # past the last voiced frame's right edge
    samples = np.pad(samples, (0, max(0, computed - len(samples))))
    padded = np.pad(samples, half, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][:voiced]
    power = np.abs(np.fft.rfft(frames * _hann(), axis=-1)) ** 2
    mel = mel_filters(num_mel_bins) @ power.T.astype(np.float32)
    log_spec = np.full((num_mel_bins, num_frames), np.log10(LOG_FLOOR), dtype=np.float32)
    log_spec[:, : mel.shape[1]] = np.log10(np.maximum(mel, LOG_FLOOR))
    log_spec = np.maximum(log_spec, log_spec.max() - DYNAMIC_RANGE)
    normalised: NDArray[np.float32] = (log_spec + 4.0) / 4.0
    return normalised
