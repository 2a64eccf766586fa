"""What ``lexitune stream`` sends: a telephone file as it is, level for level; others as linear16 at their rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.files import read_native
from asr.audio.pcm import Encoding, decode_pcm, encode_pcm
from asr.cli.stream import Source, file_source, paced
from asr.streaming.messages import StreamConfig

TONE = (0.5 * np.sin(np.arange(8000) / 10)).astype(np.float32)


def _sent(source: Source) -> tuple[Encoding, int, bytes]:
    return source.encoding, source.sample_rate_hz, b"".join(source.chunks)


@pytest.mark.parametrize("name", ["call.ulaw", "call.wav"])
def test_a_mulaw_recording_is_sent_level_for_level(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(tmp_path / "call.wav", TONE, 8000, subtype="ULAW")
    (tmp_path / "call.ulaw").write_bytes(encode_pcm(TONE, Encoding.MULAW))
    encoding, rate_hz, payload = _sent(file_source(path, 20, None, None))
    assert (encoding, rate_hz) == (Encoding.MULAW, 8000)
    # Not byte for byte: mu-law has two codes for zero.
    assert np.array_equal(decode_pcm(payload, Encoding.MULAW), read_native(path).samples)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
def test_others_are_sent_as_linear16_at_their_own_rate(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, rate_hz, subtype="PCM_16")
    expected = encode_pcm(TONE, Encoding.LINEAR16)
    encoding, sent_rate_hz, payload = _sent(file_source(path, 7, None, None))
    assert (encoding, sent_rate_hz, len(payload)) == (Encoding.LINEAR16, rate_hz, len(expected))


def test_a_rate_beyond_the_servers_is_brought_within(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 96_000, subtype="PCM_16")
    assert file_source(path, 20, None, None).sample_rate_hz == 48_000


def test_an_encoding_and_a_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, TONE, 16_000, subtype="PCM_16")
    source = file_source(path, 20, Encoding.MULAW, 8000)
    chunks = list(source.chunks)
    assert (source.encoding, source.sample_rate_hz) == (Encoding.MULAW, 8000)
    assert {len(chunk) for chunk in chunks} == {160}
    assert sum(map(len, chunks)) == TONE.size // 2


def test_pacing_sends_the_same_and_no_faster_than_it_was_spoken(tmp_path: Path) -> None:
    import time

    path = tmp_path / "a.wav"
    soundfile.write(path, TONE[:800], 8000, subtype="PCM_16")
    config = StreamConfig(sample_rate_hz=8000)
    started = time.monotonic()
    chunks = list(paced(file_source(path, 20, None, None), config))
    assert time.monotonic() - started >= 0.1
    assert chunks == list(file_source(path, 20, None, None).chunks)
