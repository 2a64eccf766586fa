"""PCM: known answers against libsndfile's G.711, round trips, any chunking of the bytes."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from asr.audio.pcm import Encoding, PcmDecoder, bytes_per_sample, decode_pcm, encode_pcm
from asr.errors import AudioError

G711 = [(Encoding.MULAW, "ULAW"), (Encoding.ALAW, "ALAW")]
ALL_CODES = bytes(range(256))


@pytest.mark.parametrize(("encoding", "subtype"), G711)
def test_every_g711_code_decodes_as_libsndfile_does(encoding: Encoding, subtype: str) -> None:
    expected, _ = soundfile.read(
        io.BytesIO(ALL_CODES), dtype="float32", format="RAW", subtype=subtype, samplerate=8000, channels=1
    )
    np.testing.assert_array_equal(decode_pcm(ALL_CODES, encoding), expected)


@pytest.mark.parametrize(("encoding", "subtype"), G711)
def test_g711_encoding_takes_the_nearest_level(encoding: Encoding, subtype: str) -> None:
    samples = np.linspace(-1, 1, 20_001, dtype=np.float32)
    levels = np.sort(decode_pcm(ALL_CODES, encoding))
    nearest = np.min(np.abs(levels[None, :] - samples[:, None]), axis=1)
    decoded = decode_pcm(encode_pcm(samples, encoding), encoding)
    np.testing.assert_allclose(np.abs(decoded - samples), nearest, atol=1e-7)


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
def test_g711_levels_survive_a_round_trip(encoding: Encoding) -> None:
    levels = decode_pcm(ALL_CODES, encoding)
    np.testing.assert_array_equal(decode_pcm(encode_pcm(levels, encoding), encoding), levels)


def test_every_int16_survives_a_round_trip() -> None:
    payload = np.arange(-32768, 32768, dtype="<i2").tobytes()
    assert encode_pcm(decode_pcm(payload, Encoding.LINEAR16), Encoding.LINEAR16) == payload


def test_channels_are_interleaved() -> None:
    payload = np.array([1, -1, 2, -2], dtype="<i2").tobytes()
    channels = decode_pcm(payload, Encoding.LINEAR16, num_channels=2)
    assert channels.shape == (2, 2)
    np.testing.assert_array_equal(channels[:, 0], -channels[:, 1])
    assert encode_pcm(channels, Encoding.LINEAR16) == payload


@given(
    payload=st.binary(max_size=64).map(lambda b: b[: len(b) // 4 * 4]),
    cuts=st.lists(st.integers(0, 64), max_size=6),
    encoding=st.sampled_from([Encoding.LINEAR16, Encoding.MULAW, Encoding.ALAW]),
    num_channels=st.sampled_from([1, 2]),
)
def test_any_chunking_decodes_alike(
    payload: bytes, cuts: list[int], encoding: Encoding, num_channels: int
) -> None:
    decoder = PcmDecoder(encoding, num_channels)
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
    parts = [decoder.push(payload[a:b]) for a, b in itertools.pairwise(edges)]
    decoder.flush()
    np.testing.assert_array_equal(
        np.concatenate(parts), decode_pcm(payload, encoding, num_channels=num_channels)
    )


def test_half_a_sample_at_the_end_is_an_error() -> None:
    decoder = PcmDecoder(Encoding.LINEAR16)
    assert decoder.push(b"\0\0\1").size == 1
    with pytest.raises(AudioError, match=r"1 byte\(s\) of 2"):
        decoder.flush()
    decoder.flush()
    with pytest.raises(AudioError, match="multiple of 2"):
        decode_pcm(b"\0\0\1", Encoding.LINEAR16)


@pytest.mark.parametrize("value", [np.nan, np.inf, 32767.0])
def test_floats_that_are_not_audio_are_refused(value: float) -> None:
    with pytest.raises(AudioError, match=r"\[-1, 1\]"):
        decode_pcm(np.array([0.0, value], "<f4").tobytes(), Encoding.FLOAT32)


def test_floats_are_clipped_and_otherwise_kept() -> None:
    payload = np.array([0.25, 1.5, -1.5], "<f4").tobytes()
    np.testing.assert_array_equal(decode_pcm(payload, Encoding.FLOAT32), np.array([0.25, 1, -1], np.float32))


def test_bytes_per_sample() -> None:
    assert [bytes_per_sample(encoding) for encoding in Encoding] == [2, 1, 1, 4]
