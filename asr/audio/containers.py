"""Compressed audio as it arrives: a FLAC or Ogg Opus stream decoded by libsndfile while its bytes still come.

libsndfile wants a file: it asks for the length, reads an Ogg file's end before its beginning is decoded, and goes back.
The file here is a window over the bytes that came, which asks for more when they are used up. What a container may be is
an allow-list; decoded time is limited while it is decoded. Run it apart from the server: ``server.unpack_program``.
Sources: RFC 3533 (Ogg pages), RFC 7845 (Opus in Ogg), RFC 9639 (FLAC).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator
from typing import Any

from asr.audio.pcm import Encoding, PcmFormat
from asr.errors import AudioError

BLOCK_S = 0.02
MAX_OPENING_BYTES = 1 << 20  # of comments and pictures ahead of the audio
_KEPT_BYTES = 4 << 20  # behind the reading position: more than the longest FLAC frame
_FAR = 1 << 48  # the length that the file has until it ends
_WHOLE_READ_BYTES = 256  # a header is read whole; of audio, what there is


class Container(enum.StrEnum):
    """What holds the samples."""

    WAV = "wav"
    FLAC = "flac"
    OGG_OPUS = "ogg_opus"
    WAV_OR_RAW = "wav_or_raw"  # told apart by the first bytes


_FORMATS = {
    Container.FLAC: ("FLAC PCM_S8", "FLAC PCM_16", "FLAC PCM_24"),
    Container.OGG_OPUS: ("OGG OPUS",),
}


class _Window:
    """The bytes of a stream as a file that is read forwards, near misses backwards too.

    Args:
        more: gives the next bytes, blocking; empty at the end.
    """

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._kept, self._first = bytearray(), 0
        self._position = 0
        self._is_over = False
        self._end_page: bytes | None = None
        self.is_open = False

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, _FAR)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= _FAR // 2:
            return self._read_end(buffer)
        wanted = len(buffer)
        enough = wanted if wanted <= _WHOLE_READ_BYTES else 1
        while not self._is_over and self._first + len(self._kept) < self._position + enough:
            payload = self._more()
            self._is_over = not payload
            self._kept += payload
        start = self._position - self._first
        if start < 0:
            return 0  # too far back: the decoder loses its way and says so
        piece = self._kept[start : start + wanted]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        if self.is_open and start > 2 * _KEPT_BYTES:
            del self._kept[: start - _KEPT_BYTES]
            self._first += start - _KEPT_BYTES
        if not self.is_open and self._position > MAX_OPENING_BYTES:
            return 0
        return len(piece)

    def write(self, payload: bytes) -> int:
        raise OSError("not for writing")

    def _read_end(self, buffer: Any) -> int:
        """Once an empty last page that leaves the length open: the true one has not come yet."""
        if self._end_page is not None:
            return 0
        self._end_page = last_page(bytes(self._kept[14:18]))
        buffer[: len(self._end_page)] = self._end_page
        self._position += len(self._end_page)
        return len(self._end_page)


def last_page(serial: bytes) -> bytes:
    """An empty Ogg page that ends the logical stream ``serial`` at a position which no stream reaches (RFC 3533)."""
    head = b"OggS\0\4" + struct.pack("<q", 1 << 60) + serial + struct.pack("<I", 1 << 20)
    body = b"\1\0"
    checksum = 0
    for byte in head + bytes(4) + body:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return head + struct.pack("<I", checksum) + body


def decoded(
    container: Container, more: Callable[[], bytes], *, max_s: float, began: Callable[[PcmFormat], None]
) -> Iterator[bytes]:
    """The samples of a stream, little-endian float32 with channels interleaved, in blocks of about 20 ms.

    Args:
        container: FLAC or OGG_OPUS.
        more: gives the next bytes, blocking; empty at the end.
        max_s: of audio that may come out.
        began: is told the format before the first samples.

    Raises:
        AudioError: another format than ``container``, damaged, or longer than ``max_s``.
    """
    import soundfile

    class Forwards(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped
        """Never moved to where it is by reading already."""

        def seekable(self) -> bool:
            return False

    window = _Window(more)
    try:
        with Forwards(window) as sound:
            if f"{sound.format} {sound.subtype}" not in _FORMATS[container]:
                raise AudioError(
                    f"the audio is {sound.format} {sound.subtype}, not {container}; say what it is"
                )
            window.is_open = True
            rate_hz, channels = int(sound.samplerate), int(sound.channels)
            began(PcmFormat(encoding=Encoding.FLOAT32, sample_rate_hz=rate_hz, channel_count=channels))
            num_left, frame_bytes = int(max_s * rate_hz), 4 * channels
            block = bytearray(max(1, int(BLOCK_S * rate_hz)) * frame_bytes)
            while num_samples := sound.buffer_read_into(block, dtype="float32"):
                num_left -= num_samples
                if num_left < 0:
                    raise AudioError(
                        f"the {container} audio holds more than {max_s:g} s, the limit; send it in parts"
                    )
                yield bytes(block[: num_samples * frame_bytes])
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"the {container} audio cannot be decoded: {error.error_string} send it whole, from its first byte"
        ) from error
