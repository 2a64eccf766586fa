"""Does a WAV file hold the audio that its header promises? libsndfile accepts cut files without a word.

Walks the chunks of RIFF, RIFX and RF64 (Microsoft RIFF 1991; EBU Tech 3306). Not a decoder.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

# Writers to a pipe cannot know the length: ffmpeg leaves 0xFFFFFFFF, others 0, sox about 0x7FFFFFFF.
_LEAST_PLACEHOLDER = 0x7FFF_0000
_UNKNOWN = b"\xff" * 4
_BYTE_ORDERS = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}


@dataclass(frozen=True, kw_only=True)
class WavLength:
    """What a WAV header says about its audio, against the file.

    Attributes:
        missing_bytes: promised by the header and not in the file; 0 for a whole file or another format.
        zero_at: position of a data length of 0 that stands for "unknown" with audio after it, else None.
    """

    missing_bytes: int = 0
    zero_at: int | None = None


def wav_length(stream: BinaryIO) -> WavLength:
    """Compare header and file; the stream's position is left at 0."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    header = stream.read(12)
    order = _BYTE_ORDERS.get(header[:4]) if header[8:] == b"WAVE" else None
    if order is None:
        stream.seek(0)
        return WavLength()
    length = _from_chunks(stream, order, (size, 8 + struct.unpack(order + "I", header[4:8])[0]))
    stream.seek(0)
    return length


def with_unknown_length(stream: BinaryIO, zero_at: int) -> io.BytesIO:
    """A copy in memory whose zero length says "unknown" in the way that libsndfile understands."""
    payload = bytearray(stream.read())
    payload[4:8] = payload[zero_at : zero_at + 4] = _UNKNOWN
    return io.BytesIO(payload)


def _from_chunks(stream: BinaryIO, order: str, sizes: tuple[int, int]) -> WavLength:
    """Walk to the data chunk; sizes are the file's and the one that its RIFF header claims."""
    size, claimed_size = sizes
    long_data_size: int | None = None
    while len(header := stream.read(8)) == 8:
        name, length = header[:4], struct.unpack(order + "I", header[4:])[0]
        start = stream.tell()
        if name == b"data":
            if length == 0 and start < size and claimed_size <= start:
                return WavLength(zero_at=start - 4)
            if length == 0xFFFF_FFFF and long_data_size is not None:
                length = long_data_size
            elif length >= _LEAST_PLACEHOLDER:
                return WavLength()
            return WavLength(missing_bytes=max(0, start + length - size))
        if name == b"ds64":
            long_data_size = struct.unpack(order + "Q", stream.read(16)[8:].ljust(8, b"\0"))[0]
        stream.seek(start + length + length % 2)
    return WavLength()
