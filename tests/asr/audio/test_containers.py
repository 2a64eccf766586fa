"""Compressed audio decoded as it comes: the samples of a file, whatever the chunks; nothing else gets through."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.audio.containers import Container, decoded
from asr.audio.pcm import Encoding, PcmFormat
from asr.errors import AudioError

RATE_HZ = 16_000
TONES = (0.3 * np.sin(np.outer(np.arange(3 * RATE_HZ), [0.05, 0.11]))).astype(np.float32)
KINDS = {Container.FLAC: ("FLAC", "PCM_16"), Container.OGG_OPUS: ("OGG", "OPUS")}


def written(container: Container, samples: np.ndarray = TONES, rate_hz: int = RATE_HZ) -> bytes:
    buffer = io.BytesIO()
    kind, subtype = KINDS[container]
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def without_length(flac: bytes) -> bytes:
    """As a live encoder writes it, which cannot know its number of samples (RFC 9639, 8.2)."""
    head = bytearray(flac)
    head[21] &= 0xF0
    head[22:26] = bytes(4)
    return bytes(head)


def by_file(payload: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(payload), dtype="float32")[0]


def run(container: Container, chunks: list[bytes], max_s: float = 60.0) -> tuple[np.ndarray, PcmFormat]:
    feed, formats = iter(chunks), list[PcmFormat]()
    blocks = decoded(container, lambda: next(feed, b""), max_s=max_s, began=formats.append)
    samples = np.frombuffer(b"".join(blocks), "<f4")
    (found,) = formats
    return samples.reshape(-1, found.channel_count), found


def in_pieces(payload: bytes, sizes: list[int]) -> Iterator[bytes]:
    position = 0
    while position < len(payload):
        for size in sizes:
            if piece := payload[position : position + size]:
                yield piece
            position += size


@pytest.mark.parametrize("container", KINDS)
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=5))
def test_any_chunking_gives_the_samples_of_the_file(container: Container, sizes: list[int]) -> None:
    payload = written(container)
    samples, found = run(container, list(in_pieces(payload, sizes)))
    assert found == PcmFormat(encoding=Encoding.FLOAT32, sample_rate_hz=RATE_HZ, channel_count=2)
    assert np.array_equal(samples, by_file(payload))


@pytest.mark.parametrize("container", KINDS)
def test_a_header_split_at_every_byte(container: Container) -> None:
    payload = written(container, TONES[:4000, :1])
    expected = by_file(payload)
    for cut in range(1, min(len(payload), 300)):
        samples, _ = run(container, [payload[:cut], payload[cut:]])
        assert np.array_equal(samples[:, 0], expected), cut


def test_a_flac_of_unknown_length_is_decoded_to_its_end() -> None:
    payload = without_length(written(Container.FLAC))
    samples, _ = run(Container.FLAC, list(in_pieces(payload, [500])))
    assert np.array_equal(samples, by_file(written(Container.FLAC)))


@pytest.mark.parametrize("container", KINDS)
def test_of_a_stream_that_was_cut_there_is_what_came(container: Container) -> None:
    payload = written(container)
    samples, _ = run(container, [payload[: len(payload) // 2]])
    assert 0.3 * len(TONES) < len(samples) < 0.7 * len(TONES)
    assert np.array_equal(samples, by_file(payload)[: len(samples)])


@pytest.mark.parametrize("container", KINDS)
def test_samples_come_while_bytes_still_do(container: Container) -> None:
    payload = written(container, np.tile(TONES, (10, 1)))
    given_bytes = 0

    def more() -> bytes:
        nonlocal given_bytes
        piece = payload[given_bytes : given_bytes + 1000]
        given_bytes += len(piece)
        return piece

    blocks = decoded(container, more, max_s=60, began=lambda _found: None)
    next(blocks)
    assert given_bytes < len(payload) / 4


@pytest.mark.parametrize("container", KINDS)
def test_more_than_may_come_out_is_refused_while_it_does(container: Container) -> None:
    silence = written(container, np.zeros((60 * RATE_HZ, 1), np.float32))
    feed = iter([silence])
    blocks = decoded(container, lambda: next(feed, b""), max_s=10, began=lambda _found: None)
    num_samples = 0
    with pytest.raises(AudioError, match="more than 10 s"):
        for block in blocks:
            num_samples += len(block) // 4
    assert num_samples <= 10 * RATE_HZ


@pytest.mark.parametrize(
    ("container", "payload"),
    [
        (Container.FLAC, b""),
        (Container.FLAC, bytes(5000)),
        (Container.FLAC, written(Container.OGG_OPUS)),
        (Container.OGG_OPUS, written(Container.FLAC)),
        (Container.OGG_OPUS, written(Container.OGG_OPUS)[:60]),
        (Container.FLAC, b"RIFF\x24\0\0\0WAVEfmt " + bytes(4000)),
        (Container.FLAC, b"fLaC\x06\xff\xff\xff" + bytes(3 << 20)),  # a picture of 16 MB
    ],
    ids=["nothing", "zeros", "opus as flac", "flac as opus", "cut opus", "wav", "picture"],
)
def test_anything_else_is_one_clear_error(container: Container, payload: bytes) -> None:
    with pytest.raises(AudioError):
        run(container, list(in_pieces(payload, [700])))


@pytest.mark.parametrize("container", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_bytes_end_in_samples_or_an_error(container: Container, data: st.DataObject) -> None:
    payload = bytearray(written(container, TONES[:8000]))
    for _ in range(data.draw(st.integers(1, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        samples, _ = run(container, [bytes(payload)], max_s=5)
    except AudioError:
        return
    assert len(samples) <= 5 * 48_000
