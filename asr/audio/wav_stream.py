"""Bytes of a stream that may begin with a RIFF header: the header's format, and the audio behind it.

Clients stream a WAVE file from its first byte. Law: any chunking, inside the header too, gives the same. For files:
``asr.audio.files``. Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF), RFC 2361 (codecs).
"""

from __future__ import annotations

import struct

from asr.audio.pcm import Encoding, PcmFormat
from asr.errors import AudioError

MAX_HEADER_BYTES = 64 << 10
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ENCODINGS = {
    (_PCM, 16): Encoding.LINEAR16,
    (_FLOAT, 32): Encoding.FLOAT32,
    (_ALAW, 8): Encoding.ALAW,
    (_MULAW, 8): Encoding.MULAW,
}
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # of a data chunk whose writer could not go back


class WavStream:
    """Takes bytes, gives those that are audio.

    Attributes:
        is_decided: whether the bytes so far tell a header from raw audio, and the header is whole.
        format: of the header; None where there is none.
    """

    def __init__(self) -> None:
        self.is_decided = False
        self.format: PcmFormat | None = None
        self._head = bytearray()
        self._position = 12  # of the first chunk that was not read
        self._left: int | None = None
        self._pad = 0  # a chunk of odd length is followed by a zero
        self._behind = bytearray()

    def push(self, payload: bytes) -> bytes:
        """The audio that is known now; empty while the header is not whole.

        Raises:
            AudioError: a header that is damaged, too long, or of samples that are not served.
        """
        if self.is_decided:
            return self._audio(payload)
        self._head += payload
        start = self._data_start()
        if start is None:
            return b""
        self.is_decided = True
        audio = bytes(self._head[start:])
        self._head.clear()
        return self._audio(audio)

    def flush(self) -> bytes:
        """The bytes ended: what was held back, if it is raw audio after all.

        Raises:
            AudioError: they ended inside a header.
        """
        if self.is_decided or not self._head:
            return b""
        if len(self._head) >= 4:
            raise AudioError(
                f"the audio ends inside its RIFF header, after {len(self._head)} bytes; send all of it"
            )
        self.is_decided = True
        return bytes(self._head)

    def _audio(self, payload: bytes) -> bytes:
        """What of ``payload`` is in the data chunk: others may follow it, but no more audio."""
        if self._left is None:
            return payload
        payload, behind = payload[: self._left], payload[self._left :]
        self._left -= len(payload)
        if len(self._behind) < 5:
            self._behind += behind[:5]
            name = bytes(self._behind[self._pad : self._pad + 4])
            if len(name) == 4 and (name == b"RIFF" or not name.isascii() or not name.decode().isprintable()):
                raise AudioError(
                    "the audio goes on behind the end that its RIFF header names; send one header with the whole "
                    "length, or with 0 for a length that is not known"
                )
        return payload

    def _data_start(self) -> int | None:
        """Where audio begins; None if more is needed to know."""
        head = self._head
        if bytes(head[:4]) in (b"RF64", b"RIFX", b"BW64"):
            raise AudioError(
                f"a header of {bytes(head[:4])!r} is not served; send a RIFF WAVE file or raw audio"
            )
        if not any(name.startswith(head[:4]) for name in (b"RIFF", b"RF64", b"RIFX", b"BW64")):
            return 0
        if len(head) < 12:
            return None
        if head[8:12] != b"WAVE":
            raise AudioError(
                f"a RIFF header of {bytes(head[8:12])!r}, not WAVE; send a WAVE file or raw audio"
            )
        while len(head) >= (position := self._position) + 8:
            name, size = struct.unpack_from("<4sI", head, position)
            if name == b"data":
                if self.format is None:
                    raise AudioError(
                        "the RIFF header has no format in front of its data; write the file anew"
                    )
                self._left = None if size in _UNKNOWN_SIZES else size
                self._pad = size % 2
                return position + 8
            if position + 8 + size > MAX_HEADER_BYTES:
                raise AudioError(
                    f"a RIFF header of more than {MAX_HEADER_BYTES} bytes; send the file without its {name!r} chunk"
                )
            if len(head) < position + 8 + size:
                return None
            if name == b"fmt ":
                self.format = _format(bytes(head[position + 8 : position + 8 + size]))
            self._position += 8 + size + size % 2
        return None


def _format(chunk: bytes) -> PcmFormat:
    if len(chunk) < 16:
        raise AudioError(f"the RIFF header's format has {len(chunk)} bytes, at least 16 are needed")
    code, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if code == _EXTENSIBLE and len(chunk) >= 26:
        (code,) = struct.unpack_from("<H", chunk, 24)
    if (code, bits) not in _ENCODINGS:
        served = ", ".join(_ENCODINGS.values())
        raise AudioError(
            f"a RIFF header of format {code} with {bits} bits a sample is not served; convert it to one of {served}"
        )
    if not channels or not rate_hz:
        raise AudioError(f"a RIFF header of {channels} channels at {rate_hz} Hz; write the file anew")
    return PcmFormat(encoding=_ENCODINGS[code, bits], sample_rate_hz=rate_hz, channel_count=channels)
