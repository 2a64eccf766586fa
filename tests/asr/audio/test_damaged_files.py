"""Damaged audio of every format: samples or one AudioError, never another exception."""

from __future__ import annotations

import functools
import io

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asr.audio.files import read_audio_bytes
from asr.errors import AudioError

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "rf64": ("RF64", "PCM_24"),
    "float": ("WAVEX", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@functools.cache
def _whole(name: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    soundfile.write(buffer, noise, 16_000, format=FORMATS[name][0], subtype=FORMATS[name][1])
    return buffer.getvalue()


def _read(payload: bytes, name: str) -> None:
    try:
        samples = read_audio_bytes(payload, name)
    except AudioError as error:
        assert name in str(error)
    else:
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert np.max(np.abs(samples), initial=0.0) <= 1.0


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_of_every_format_are_read(name: str) -> None:
    assert read_audio_bytes(_whole(name), name).size == pytest.approx(8_000, abs=2_400)


@example(name="mp3", keep=1.0, flips=[(0.109375, 1)])  # a header that promises 9,663,684,416 samples
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(list(FORMATS)),
    keep=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
)
def test_cut_and_altered_files(name: str, keep: float, flips: list[tuple[float, int]]) -> None:
    payload = bytearray(_whole(name)[: max(1, round(keep * len(_whole(name))))])
    for place, value in flips:
        payload[int(place * min(len(payload), 200))] = value  # headers break most
    _read(bytes(payload), name)


@settings(max_examples=100, deadline=None)
@given(
    payload=st.binary(min_size=1, max_size=400),
    head=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3"]),
)
def test_any_bytes(payload: bytes, head: bytes) -> None:
    _read(head + payload, "bytes")


@pytest.mark.parametrize("name", ["wav", "rf64", "float", "flac"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_cut_lossless_files_are_detected(name: str, keep: float) -> None:
    with pytest.raises(AudioError, match=r"cut off|not audio"):
        read_audio_bytes(_whole(name)[: round(keep * len(_whole(name)))], name)
