"""A WAVE file streamed from its first byte, cut anywhere, is its format and its audio; raw audio stays itself."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.pcm import Encoding, PcmFormat
from asr.audio.wav_stream import MAX_HEADER_BYTES, WavStream
from asr.errors import AudioError

SAMPLES = np.linspace(-0.5, 0.5, 200, dtype=np.float32).reshape(-1, 2)
SUBTYPES = {
    "PCM_16": Encoding.LINEAR16, "FLOAT": Encoding.FLOAT32, "ULAW": Encoding.MULAW, "ALAW": Encoding.ALAW
}  # fmt: skip


def _wav(subtype: str, kind: str = "WAV") -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, SAMPLES, 8000, format=kind, subtype=subtype)
    return sink.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)


def _riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


FORMAT = _chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))


def _pushed(*pieces: bytes) -> tuple[WavStream, bytes]:
    stream = WavStream()
    audio = b"".join(stream.push(piece) for piece in pieces)
    return stream, audio + stream.flush()


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_header_is_read_wherever_it_is_cut(subtype: str, kind: str) -> None:
    file = _wav(subtype, kind)
    expected = soundfile.read(io.BytesIO(file), dtype="float32")[0]
    for cut in range(len(file)):
        stream, audio = _pushed(file[:cut], file[cut:])
        assert stream.format == PcmFormat(encoding=SUBTYPES[subtype], sample_rate_hz=8000, channel_count=2)
        assert len(audio) == expected.size * {"PCM_16": 2, "FLOAT": 4, "ULAW": 1, "ALAW": 1}[subtype]


def test_byte_by_byte_is_the_same() -> None:
    file = _wav("PCM_16")
    stream, audio = _pushed(*(file[index : index + 1] for index in range(len(file))))
    assert (stream.format, audio) == (_pushed(file)[0].format, _pushed(file)[1])
    np.testing.assert_allclose(np.frombuffer(audio, "<i2") / 32768, SAMPLES.reshape(-1), atol=1e-4)


OTHER_HEADERS = (b"RF64", b"RIFX", b"BW64")


@pytest.mark.parametrize("name", OTHER_HEADERS)
def test_a_header_of_another_kind_is_not_taken_for_samples(name: bytes) -> None:
    with pytest.raises(AudioError, match="is not served"):
        _pushed(name[:2], name[2:] + bytes(200))


@given(st.lists(st.binary(max_size=9), max_size=8))
def test_audio_without_a_header_stays_as_it_is(pieces: list[bytes]) -> None:
    payload = b"".join(pieces)
    if payload[:4] in (b"RIFF", *OTHER_HEADERS):
        return
    stream, audio = _pushed(*pieces)
    assert (stream.format, audio) == (None, payload)


def test_chunks_around_the_audio_are_not_audio() -> None:
    file = _riff(_chunk(b"LIST", b"odd"), FORMAT, _chunk(b"data", b"abcd"), _chunk(b"id3 ", b"trailing"))
    assert _pushed(file)[1] == b"abcd"


@pytest.mark.parametrize("behind", [b"\x01\x02\x03\x04more", bytes(320), _riff(FORMAT)])
def test_audio_behind_the_named_end_is_an_error_and_not_lost(behind: bytes) -> None:
    file = _riff(FORMAT, _chunk(b"data", b"abcd"))
    for cut in range(0, len(behind), 3):
        with pytest.raises(AudioError, match="goes on behind the end"):
            _pushed(file, behind[:cut], behind[cut:])


def test_a_long_header_of_small_chunks_is_read_once() -> None:
    """Byte by byte; reading it again for each byte would be a hundred million steps."""
    file = _riff(*[_chunk(b"JUNK", b"")] * 5000, FORMAT, _chunk(b"data", b"abcd"))
    stream = WavStream()
    audio = b"".join(stream.push(file[index : index + 1]) for index in range(len(file)))
    assert (stream.format is not None, audio) == (True, b"abcd")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_length_that_was_never_written_is_no_limit(size: int) -> None:
    file = _riff(FORMAT) + struct.pack("<4sI", b"data", size) + b"abcdef"
    assert _pushed(file)[1] == b"abcdef"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"RIFF\0\0\0\0AVI ", "not WAVE"),
        (_riff(_chunk(b"data", b"ab")), "no format in front of its data"),
        (_riff(_chunk(b"fmt ", b"short")), "has 5 bytes"),
        (_riff(_chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 0, 0, 24))), "format 1 with 24 bits"),
        (_riff(_chunk(b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16))), "0 channels at 8000 Hz"),
        (_riff(struct.pack("<4sI", b"LIST", MAX_HEADER_BYTES)), "without its b'LIST' chunk"),
        (_riff(FORMAT)[:20], "ends inside its RIFF header, after 20 bytes"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_used_is_one_clear_error(file: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        _pushed(file)
