"""PCM payloads to float32 samples and back: linear16, mu-law, A-law, float32.

G.711 by 256-entry tables (ITU-T Rec. G.711). Little endian throughout. Not for container files:
``asr.audio.files``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from asr.errors import AudioError

_FULL_SCALE: Final = 32768.0
_MAX_FLOAT = 16.0  # floats beyond this were integers that somebody forgot to scale


class Encoding(enum.StrEnum):
    """How a raw payload writes one sample."""

    LINEAR16 = "linear16"
    MULAW = "mulaw"
    ALAW = "alaw"
    FLOAT32 = "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class PcmFormat:
    """What raw samples are: their encoding, rate, and number of channels interleaved."""

    encoding: Encoding
    sample_rate_hz: int
    channel_count: int


_BYTES_PER_SAMPLE = {Encoding.LINEAR16: 2, Encoding.MULAW: 1, Encoding.ALAW: 1, Encoding.FLOAT32: 4}


def _mulaw_levels() -> NDArray[np.float32]:
    """(256,) the 14-bit mu-law levels, scaled to 16 bit, by code; G.711 table 2."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude) / _FULL_SCALE, dtype=np.float32)


def _alaw_levels() -> NDArray[np.float32]:
    """(256,) the 13-bit A-law levels, scaled to 16 bit, by code; G.711 table 1."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude) / _FULL_SCALE, dtype=np.float32)


_LEVELS = {Encoding.MULAW: _mulaw_levels(), Encoding.ALAW: _alaw_levels()}


def bytes_per_sample(encoding: Encoding) -> int:
    """Bytes of one sample of one channel."""
    return _BYTES_PER_SAMPLE[encoding]


def decode_pcm(payload: bytes, encoding: Encoding, *, num_channels: int = 1) -> NDArray[np.float32]:
    """Decode a payload of whole samples.

    Args:
        payload: little-endian samples, channels interleaved.
        encoding: how each sample is written.
        num_channels: C.

    Returns:
        (T,) for one channel, else (T, C); float32 in [-1, 1] (float32 payloads are clipped to it).

    Raises:
        AudioError: the payload ends inside a sample, or holds floats that are not audio.
    """
    frame_bytes = bytes_per_sample(encoding) * num_channels
    if len(payload) % frame_bytes:
        raise AudioError(
            f"{len(payload)} bytes of {encoding} audio with {num_channels} channel(s) end inside a sample: "
            f"the length must be a multiple of {frame_bytes}; check the encoding and the number of channels"
        )
    samples = _decode_whole(payload, encoding)
    return samples if num_channels == 1 else samples.reshape(-1, num_channels)


def _decode_whole(payload: bytes, encoding: Encoding) -> NDArray[np.float32]:
    if encoding is Encoding.LINEAR16:
        return np.frombuffer(payload, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)
    if encoding is Encoding.FLOAT32:
        return _checked_floats(np.frombuffer(payload, dtype="<f4"))
    return _LEVELS[encoding][np.frombuffer(payload, dtype=np.uint8)]


def _checked_floats(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = float(np.max(np.abs(samples), initial=0.0))  # NaN propagates
    if not peak <= _MAX_FLOAT:
        raise AudioError(
            f"float32 audio holds a sample of {peak:g}; samples lie in [-1, 1]: scale integers by 1/32768 or "
            "send them as linear16"
        )
    return np.asarray(np.clip(samples, -1.0, 1.0), np.float32)


def encode_pcm(samples: NDArray[np.float32], encoding: Encoding) -> bytes:
    """Encode (T,) or interleave and encode (T, C); values outside [-1, 1] are clipped.

    G.711 codes are the nearest level; decoding and encoding again gives the same levels.
    """
    flat = np.clip(samples, -1.0, 1.0).astype(np.float32).reshape(-1)
    if encoding is Encoding.FLOAT32:
        return flat.astype("<f4").tobytes()
    if encoding is Encoding.LINEAR16:
        return to_int16(flat).astype("<i2").tobytes()
    levels = _LEVELS[encoding]
    order = np.argsort(levels, kind="stable")
    ordered = levels[order]
    midpoints = (ordered[:-1] + ordered[1:]) / 2
    return order[np.searchsorted(midpoints, flat)].astype(np.uint8).tobytes()


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round [-1, 1] to int16, clipping; the exact inverse of dividing int16 by 32768."""
    scaled = np.rint(np.asarray(samples, dtype=np.float32) * np.float32(_FULL_SCALE))
    return np.asarray(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1), np.int16)


class PcmDecoder:
    """Decodes a stream of payloads whose borders may fall inside a sample.

    Law: any chunking of the bytes gives the same samples as ``decode_pcm`` of all of them.
    """

    def __init__(self, encoding: Encoding, num_channels: int = 1) -> None:
        self._encoding = encoding
        self._num_channels = num_channels
        self._frame_bytes = bytes_per_sample(encoding) * num_channels
        self._rest = b""

    def push(self, payload: bytes) -> NDArray[np.float32]:
        """The samples that are now whole: (T,) for one channel, else (T, C); T may be 0."""
        payload = self._rest + payload
        whole = len(payload) - len(payload) % self._frame_bytes
        self._rest = payload[whole:]
        return decode_pcm(payload[:whole], self._encoding, num_channels=self._num_channels)

    def flush(self) -> None:
        """End the stream.

        Raises:
            AudioError: bytes of an unfinished sample are left.
        """
        if self._rest:
            left, self._rest = len(self._rest), b""
            raise AudioError(
                f"the audio ends inside a sample: {left} byte(s) of {self._frame_bytes} are left "
                f"({self._encoding}, {self._num_channels} channel(s)); check the encoding"
            )
