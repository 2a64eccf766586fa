"""Audio files: round trips through each format, spans, channels, and one clear error for each bad file."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.files import (
    RawFormat,
    audio_duration_s,
    count_channels,
    read_audio,
    read_audio_bytes,
    read_bounded,
    read_channels,
    write_audio,
)
from asr.audio.pcm import Encoding, encode_pcm, to_int16
from asr.audio.resample import resample
from asr.errors import AudioError

RATE = 16_000


def _tone(seconds: float = 0.5, rate_hz: int = RATE, frequency_hz: float = 300.0) -> np.ndarray:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_formats_round_trip_16_bit_exactly(tmp_path: Path, suffix: str) -> None:
    samples = to_int16(_tone()).astype(np.float32) / 32768
    write_audio(tmp_path / f"a{suffix}", samples)
    np.testing.assert_array_equal(read_audio(tmp_path / f"a{suffix}"), samples)
    np.testing.assert_array_equal(
        read_audio_bytes((tmp_path / f"a{suffix}").read_bytes(), f"a{suffix}"), samples
    )


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_keep_tone_and_length(tmp_path: Path, suffix: str) -> None:
    path, samples = tmp_path / f"a{suffix}", _tone(2.0)
    write_audio(path, samples)
    got = read_audio(path)
    assert abs(got.size - samples.size) <= 2 * 1152
    assert audio_duration_s(path) == pytest.approx(got.size / RATE, abs=0.01)
    spectrum = np.abs(np.fft.rfft(got[:RATE]))
    assert np.argmax(spectrum) == 300


@pytest.mark.parametrize(("suffix", "encoding"), [(".ulaw", Encoding.MULAW), (".AL", Encoding.ALAW)])
def test_headerless_g711_is_8_khz_by_suffix(tmp_path: Path, suffix: str, encoding: Encoding) -> None:
    path, samples = tmp_path / f"a{suffix}", _tone(0.5, 8_000)
    path.write_bytes(encode_pcm(samples, encoding))
    assert audio_duration_s(path) == 0.5
    assert count_channels(path) == 1
    np.testing.assert_allclose(read_audio(path), resample(samples, 8_000), atol=0.02)
    raw = RawFormat(encoding=encoding, sample_rate_hz=RATE)
    assert read_audio(path, raw=raw).size == samples.size


def test_other_rates_and_channels(tmp_path: Path) -> None:
    left, right = _tone(0.5, 44_100), _tone(0.5, 44_100, 500.0)
    write_audio(tmp_path / "stereo.flac", np.stack([left, right], axis=1), 44_100)
    channels = read_channels(tmp_path / "stereo.flac")
    assert channels.shape == (RATE // 2, 2)
    assert count_channels(tmp_path / "stereo.flac") == 2
    np.testing.assert_allclose(read_audio(tmp_path / "stereo.flac"), channels.mean(axis=1), atol=1e-6)
    assert np.argmax(np.abs(np.fft.rfft(channels[:, 1]))) == 250  # 500 Hz of half a second


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_span_is_a_slice_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, _tone(2.0) * np.linspace(0, 1, 2 * RATE, dtype=np.float32))
    whole = read_audio(path)
    np.testing.assert_array_equal(
        read_audio(path, offset_s=0.5, duration_s=0.75), whole[RATE // 2 : RATE * 5 // 4]
    )
    np.testing.assert_array_equal(read_audio(path, offset_s=1.5, duration_s=0.55), whole[RATE * 3 // 2 :])


@pytest.mark.parametrize(
    ("offset_s", "duration_s", "message"),
    [(-0.1, None, "outside"), (1.0, None, "outside"), (0.0, 0.0, "not above 0"), (0.5, 0.7, "reach beyond")],
)
def test_spans_outside_the_recording(
    tmp_path: Path, offset_s: float, duration_s: float | None, message: str
) -> None:
    write_audio(tmp_path / "a.wav", _tone(1.0))
    with pytest.raises(AudioError, match=message):
        read_audio(tmp_path / "a.wav", offset_s=offset_s, duration_s=duration_s)


def _wav_bytes(*, data_size: int | None = None, keep: float = 1.0) -> bytes:
    data = to_int16(_tone()).tobytes()
    size = len(data) if data_size is None else data_size
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunks = head + b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", size)
    return (
        b"RIFF"
        + struct.pack("<I", 4 + len(chunks) + size & 0xFFFFFFFF)
        + b"WAVE"
        + chunks
        + data[: int(len(data) * keep)]
    )


def _truncated_flac() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-1, 1, RATE)
    soundfile.write(buffer, noise, RATE, format="FLAC")
    return buffer.getvalue()[:9_000]


BAD_FILES = {
    "cut.wav": (_wav_bytes(keep=0.5), "cut off"),
    "text.wav": (b"this is no audio, only a note\n" * 40, "not audio that can be read"),
    "empty.wav": (b"", r"empty \(0 bytes\)"),
    "header-only.wav": (_wav_bytes(keep=0.0, data_size=0), "no audio"),
    "cut.flac": (_truncated_flac(), "cut off|not audio"),
    "text.raw": (b"headerless", "not audio that can be read"),
    "sun.wav": (b".snd" + struct.pack(">IIIII", 24, 4, 3, 8000, 1) + b"\0\0\0\0", "AU/PCM_16"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_each_bad_file_is_one_error_that_names_it(tmp_path: Path, name: str) -> None:
    payload, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(payload)
    with pytest.raises(AudioError, match=message) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    with pytest.raises(AudioError, match=message):
        read_audio_bytes(payload, name)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, message in [(tmp_path / "none.wav", "no such file"), (tmp_path, "is a folder")]:
        for read in (read_audio, read_channels, audio_duration_s, count_channels):
            with pytest.raises(AudioError, match=message):
                read(path)


@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_is_whole(tmp_path: Path, data_size: int) -> None:
    path = tmp_path / "piped.wav"
    path.write_bytes(_wav_bytes(data_size=data_size))
    np.testing.assert_allclose(read_audio(path), _tone(), atol=1e-4)


def test_floats_beyond_full_scale_are_clipped_and_nan_refused(tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    soundfile.write(path, np.array([0.5, 1.5, -2.0], np.float32), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path), np.array([0.5, 1.0, -1.0], np.float32))
    soundfile.write(path, np.array([0.5, np.nan], np.float32), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        read_audio(path)


def test_a_rate_out_of_range_names_the_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 4_000)
    with pytest.raises(AudioError, match=r"slow\.wav.*4000 Hz"):
        read_audio(tmp_path / "slow.wav")


def test_writing_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.wav"
    write_audio(path, _tone(0.1))
    write_audio(path, _tone(0.2))
    with pytest.raises(AudioError, match="NaN"):
        write_audio(path, np.array([np.nan], np.float32))
    with pytest.raises(AudioError, match=r"use \.wav"):
        write_audio(tmp_path / "a.txt", _tone())
    with pytest.raises(AudioError, match="11025"):
        write_audio(tmp_path / "a.opus", _tone(), 11_025)
    assert audio_duration_s(path) == 0.2
    assert [entry.name for entry in tmp_path.rglob("*")] == ["deep", "a.wav"]
    assert path.stat().st_mode & 0o444


@pytest.mark.recordings
def test_real_recordings_are_read(recordings_dir: Path) -> None:
    paths = (
        sorted((recordings_dir / "barista").rglob("*.opus"))[:5] or sorted(recordings_dir.rglob("*.ogg"))[:5]
    )
    for path in paths:
        assert read_audio(path).size == pytest.approx(audio_duration_s(path) * RATE, abs=2)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_reading_in_blocks_is_reading_whole(tmp_path: Path, name: str, rate_hz: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (7 * rate_hz + 11, 2)).astype(np.float32)
    write_audio(tmp_path / name, noise, rate_hz)
    whole = read_audio(tmp_path / name)
    np.testing.assert_array_equal(read_bounded(tmp_path / name, max_s=8), whole)
    for channel, column in enumerate(read_channels(tmp_path / name).T):
        np.testing.assert_array_equal(read_bounded(tmp_path / name, max_s=8, channel=channel), column)
    with pytest.raises(AudioError, match=r"has 7 s, and 6 are the limit"):
        read_bounded(tmp_path / name, max_s=6)


def test_headerless_audio_in_blocks_is_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a.ulaw").write_bytes(bytes(range(256)) * 2000)
    whole = read_audio(tmp_path / "a.ulaw")
    np.testing.assert_array_equal(read_bounded(tmp_path / "a.ulaw", max_s=100), whole)


def test_a_small_file_takes_no_more_memory_than_its_result(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros((20 * 192_000, 8), np.int16), 192_000)
    assert path.stat().st_size < 1 << 17
    read_bounded(path, max_s=60)  # what is imported counts for nothing
    tracemalloc.start()
    samples = read_bounded(path, max_s=60)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(samples) == 20 * 16_000 and peak_bytes < 8 << 20
