"""Audio files in and out: wav, flac, ogg (vorbis, opus), mp3 by libsndfile, and headerless mu-law and A-law.

Whatever the file holds comes back as 16 kHz float32. Every bad file is one ``AudioError`` that names it. What
a container may be is an allow-list: libsndfile opens many more formats than were ever tried here.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from asr.atomic import write_bytes_atomically
from asr.audio.pcm import Encoding, bytes_per_sample, decode_pcm, to_int16
from asr.audio.resample import StreamResampler, resample
from asr.audio.riff import wav_length, with_unknown_length
from asr.errors import AudioError, OptionError
from asr.units import SAMPLE_RATE_HZ

_CONTAINERS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3"})
_OGG_CODECS = frozenset({"VORBIS", "OPUS"})
_READABLE = "wav, flac, ogg (vorbis, opus), mp3, .ulaw and .alaw"
_BLOCK_SAMPLES = 1 << 18  # of all channels: 1 MiB of float32
_END_TOLERANCE_S = 0.1  # a declared duration may be rounded


@dataclass(frozen=True, kw_only=True)
class RawFormat:
    """What a file without a header holds."""

    encoding: Encoding
    sample_rate_hz: int = 8_000
    num_channels: int = 1


_RAW_SUFFIXES = {
    ".ulaw": RawFormat(encoding=Encoding.MULAW),
    ".mulaw": RawFormat(encoding=Encoding.MULAW),
    ".ul": RawFormat(encoding=Encoding.MULAW),
    ".alaw": RawFormat(encoding=Encoding.ALAW),
    ".al": RawFormat(encoding=Encoding.ALAW),
}
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", *_RAW_SUFFIXES})  # in a folder
_SUBTYPE_ENCODINGS = {"ULAW": Encoding.MULAW, "ALAW": Encoding.ALAW}
_WRITABLE = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


def read_audio(
    path: Path, *, offset_s: float = 0.0, duration_s: float | None = None, raw: RawFormat | None = None
) -> NDArray[np.float32]:
    """Read a recording as 16 kHz mono samples (T,); channels are averaged.

    Args:
        path: the file; the suffixes .ulaw, .mulaw, .ul, .alaw and .al mean headerless 8 kHz G.711.
        offset_s: where to begin.
        duration_s: how much to read; by default up to the end.
        raw: what a file without a header holds.

    Raises:
        AudioError: the file is missing, a folder, empty, cut off, not audio, or lacks the span that was asked
            for.
    """
    channels, rate_hz = _read_path(Path(path), offset_s, duration_s, raw)
    return _at_16_khz(channels.mean(axis=1, dtype=np.float32), rate_hz, str(path))


def read_channels(
    path: Path, *, offset_s: float = 0.0, duration_s: float | None = None, raw: RawFormat | None = None
) -> NDArray[np.float32]:
    """Read a recording as (T, C) at 16 kHz; arguments and errors as for ``read_audio``."""
    channels, rate_hz = _read_path(Path(path), offset_s, duration_s, raw)
    return np.stack([_at_16_khz(column, rate_hz, str(path)) for column in channels.T], axis=1)


def read_bounded(path: Path, *, max_s: float, channel: int | None = None) -> NDArray[np.float32]:
    """Read a recording as 16 kHz mono samples (T,), block by block.

    Law: bit for bit what ``read_audio`` gives, or the column of ``read_channels``; but it takes the memory of the result
    and of one block, whatever rate and however many channels a small file says it has.

    Args:
        path: the file.
        max_s: the longest recording that is read.
        channel: which one, from 0; None averages all.

    Raises:
        AudioError: it is longer than ``max_s``; else as for ``read_audio``.
    """
    path = Path(path)
    name = str(path)
    with _opened(path) as stream, contextlib.ExitStack() as stack:
        if (raw := _RAW_SUFFIXES.get(path.suffix.lower())) is not None:
            rate_hz, num_frames = raw.sample_rate_hz, path.stat().st_size // bytes_per_sample(raw.encoding)
            blocks = _raw_blocks(stream, raw)
        else:
            sound = stack.enter_context(_container(stream, name))
            rate_hz, num_frames = int(sound.samplerate), int(sound.frames)
            blocks = _blocks(sound, name, int(sound.frames))
        if num_frames > max_s * rate_hz:
            raise AudioError(f"{name} has {num_frames / rate_hz:.0f} s, and {max_s:g} are the limit; cut it")
        try:
            resampler = StreamResampler(rate_hz)
        except OptionError as error:
            raise AudioError(f"{name}: {error}") from error
        samples = np.empty(num_frames * SAMPLE_RATE_HZ // rate_hz + SAMPLE_RATE_HZ, np.float32)
        length = 0
        for block in _followed_by_none(blocks):
            if block is None:
                ready = resampler.flush()
            else:
                mono = block.mean(axis=1, dtype=np.float32) if channel is None else block[:, channel]
                ready = resampler.push(np.ascontiguousarray(mono))
            np.clip(ready, -1.0, 1.0, out=samples[length : length + len(ready)])
            length += len(ready)
        return samples[:length]


@dataclass(frozen=True, kw_only=True)
class NativeAudio:
    """A recording at its own rate: (T,) samples, channels averaged, and how the file writes them."""

    samples: NDArray[np.float32]
    sample_rate_hz: int
    encoding: Encoding


def read_native(path: Path, raw: RawFormat | None = None) -> NativeAudio:
    """Read a recording without resampling it; ``encoding`` is linear16 for whatever has no telephone's.

    Raises:
        AudioError: as for ``read_audio``.
    """
    raw = raw or _RAW_SUFFIXES.get(path.suffix.lower())
    channels, rate_hz = _read_path(path, 0.0, None, raw)
    if raw is not None:
        encoding = raw.encoding
    else:
        with _opened(path) as stream, _container(stream, str(path)) as sound:
            encoding = _SUBTYPE_ENCODINGS.get(sound.subtype, Encoding.LINEAR16)
    samples = channels.mean(axis=1, dtype=np.float32)
    return NativeAudio(samples=samples, sample_rate_hz=rate_hz, encoding=encoding)


def read_audio_bytes(
    payload: bytes, name: str, *, offset_s: float = 0.0, duration_s: float | None = None
) -> NDArray[np.float32]:
    """Read a file that is in memory as 16 kHz mono samples (T,).

    Args:
        payload: the whole file.
        name: what errors call it; a suffix such as .ulaw counts as in ``read_audio``.
        offset_s: where to begin.
        duration_s: how much to read; by default up to the end.

    Raises:
        AudioError: as for ``read_audio``.
    """
    channels, rate_hz = _read_payload(payload, name, offset_s, duration_s)
    return _at_16_khz(channels.mean(axis=1, dtype=np.float32), rate_hz, name)


def read_channels_bytes(
    payload: bytes, name: str, *, offset_s: float = 0.0, duration_s: float | None = None
) -> NDArray[np.float32]:
    """Read a file that is in memory as (T, C) at 16 kHz; arguments and errors as for ``read_audio_bytes``."""
    channels, rate_hz = _read_payload(payload, name, offset_s, duration_s)
    return np.stack([_at_16_khz(column, rate_hz, name) for column in channels.T], axis=1)


def audio_duration_s(path: Path) -> float:
    """Length of a recording in seconds, from its header where it has one.

    Raises:
        AudioError: as for ``read_audio``.
    """
    path = Path(path)
    with _opened(path) as stream:
        raw = _RAW_SUFFIXES.get(path.suffix.lower())
        if raw is not None:
            return path.stat().st_size / (
                bytes_per_sample(raw.encoding) * raw.num_channels * raw.sample_rate_hz
            )
        with _container(stream, str(path)) as sound:
            return float(sound.frames / sound.samplerate)


def count_channels(path: Path) -> int:
    """How many channels a recording has; headerless G.711 has one.

    Raises:
        AudioError: as for ``read_audio``.
    """
    path = Path(path)
    with _opened(path) as stream:
        if (raw := _RAW_SUFFIXES.get(path.suffix.lower())) is not None:
            return raw.num_channels
        with _container(stream, str(path)) as sound:
            return int(sound.channels)


def write_audio(path: Path, samples: NDArray[np.float32], sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write (T,) or (T, C) samples; the suffix chooses wav, flac (both 16 bit), ogg, opus or mp3.

    The file appears whole or not at all. Values outside [-1, 1] are clipped.

    Raises:
        AudioError: an unknown suffix, samples that are not finite, or a rate that the codec does not take.
    """
    import soundfile

    path = Path(path)
    if path.suffix.lower() not in _WRITABLE:
        raise AudioError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'!r}; use {', '.join(_WRITABLE)}"
        )
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: the samples to write hold NaN or infinity")
    container, codec = _WRITABLE[path.suffix.lower()]
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, to_int16(samples), sample_rate_hz, format=container, subtype=codec)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise AudioError(f"{path}: {codec} at {sample_rate_hz} Hz cannot be written: {error}") from error
    write_bytes_atomically(path, buffer.getvalue())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, once it is known to be one and to hold something."""
    try:
        stream = path.open("rb", buffering=0)  # libsndfile goes on from the descriptor's own position
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path} is a folder; name an audio file") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}") from error
    with stream:
        if not path.stat().st_size:
            raise AudioError(f"{path} is empty (0 bytes)")
        yield cast(BinaryIO, stream)


@contextlib.contextmanager
def _container(stream: BinaryIO, name: str) -> Iterator[Any]:
    """An open ``soundfile.SoundFile`` of an allowed format."""
    import soundfile

    length = wav_length(stream)
    if length.missing_bytes:
        raise AudioError(
            f"{name} is cut off: its header promises {length.missing_bytes} bytes of audio more than the "
            "file holds; copy or export it again"
        )
    if length.zero_at is not None:
        stream = with_unknown_length(stream, length.zero_at)
    # By descriptor where there is one: soundfile would otherwise take a name such as x.raw for a format.
    source = stream if isinstance(stream, io.BytesIO) else stream.fileno()
    try:
        with soundfile.SoundFile(source, closefd=False) as sound:
            _check_format(sound, name)
            yield sound
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{name} is not audio that can be read ({error.error_string}); use {_READABLE}"
        ) from error


def _check_format(sound: Any, name: str) -> None:
    if sound.format not in _CONTAINERS or (sound.format == "OGG" and sound.subtype not in _OGG_CODECS):
        raise AudioError(
            f"{name} holds {sound.format}/{sound.subtype}, which is not supported; use {_READABLE}"
        )
    if not sound.frames:
        raise AudioError(f"{name} holds no audio (a header with 0 samples)")


def _read_path(
    path: Path, offset_s: float, duration_s: float | None, raw: RawFormat | None
) -> tuple[NDArray[np.float32], int]:
    with _opened(path) as stream:
        return _read_stream(
            stream, str(path), (offset_s, duration_s), raw or _RAW_SUFFIXES.get(path.suffix.lower())
        )


def _read_payload(
    payload: bytes, name: str, offset_s: float, duration_s: float | None
) -> tuple[NDArray[np.float32], int]:
    if not payload:
        raise AudioError(f"{name} is empty (0 bytes)")
    raw = _RAW_SUFFIXES.get(Path(name).suffix.lower())
    return _read_stream(io.BytesIO(payload), name, (offset_s, duration_s), raw)


def _read_stream(
    stream: BinaryIO, name: str, span_s: tuple[float, float | None], raw: RawFormat | None
) -> tuple[NDArray[np.float32], int]:
    """The span as (T, C) at the source rate, and that rate."""
    if raw is not None:
        payload = stream.read()
        try:
            samples = decode_pcm(payload, raw.encoding, num_channels=raw.num_channels)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from error
        channels = samples.reshape(-1, raw.num_channels)
        start, stop = _frames_of(span_s, len(channels), raw.sample_rate_hz, name)
        return channels[start:stop], raw.sample_rate_hz
    with _container(stream, name) as sound:
        start, stop = _frames_of(span_s, sound.frames, sound.samplerate, name)
        if start:
            sound.seek(start)
        none = np.zeros((0, sound.channels), np.float32)
        return np.concatenate([none, *_blocks(sound, name, stop - start)]), int(sound.samplerate)


def _blocks(sound: Any, name: str, num_frames: int) -> Iterator[NDArray[np.float32]]:
    """The next samples (T, C) of a container at its rate, a block at a time: a damaged header may promise any number."""
    num_read = 0
    while num_read < num_frames:
        wanted = min(max(1, _BLOCK_SAMPLES // int(sound.channels)), num_frames - num_read)
        block = sound.read(wanted, dtype="float32", always_2d=True)
        num_read += len(block)
        # an MP3 header only estimates its length
        if len(block) < wanted and (sound.format != "MP3" or not num_read):
            raise _cut_off(name, num_read, num_frames)
        _check_finite(block, name)
        yield np.clip(block, -1.0, 1.0)
        if len(block) < wanted:
            return


def _raw_blocks(stream: BinaryIO, raw: RawFormat) -> Iterator[NDArray[np.float32]]:
    """The same of a file without a header, one channel of bytes."""
    while payload := stream.read(_BLOCK_SAMPLES):
        yield decode_pcm(payload, raw.encoding).reshape(-1, 1)


def _followed_by_none(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32] | None]:
    yield from blocks
    yield None


def _check_finite(channels: NDArray[np.float32], name: str) -> None:
    if not np.isfinite(channels).all():
        raise AudioError(f"{name} holds samples that are not numbers (NaN or infinity); export it again")


def _cut_off(name: str, num_read: int, num_frames: int) -> AudioError:
    return AudioError(f"{name} is cut off: {num_read} of {num_frames} samples could be read; copy it again")


def _frames_of(
    span_s: tuple[float, float | None], num_frames: int, rate_hz: int, name: str
) -> tuple[int, int]:
    """The span as [start, stop) in frames of the file."""
    offset_s, duration_s = span_s
    length_s = num_frames / rate_hz
    if not (math.isfinite(offset_s) and 0 <= offset_s < length_s):
        raise AudioError(f"{name}: an offset of {offset_s:g} s is outside the recording's {length_s:.3f} s")
    if duration_s is None:
        return round(offset_s * rate_hz), num_frames
    if not duration_s > 0:
        raise AudioError(f"{name}: a duration of {duration_s:g} s is not above 0")
    if offset_s + duration_s > length_s + max(_END_TOLERANCE_S, 0.02 * duration_s):
        raise AudioError(
            f"{name}: {duration_s:g} s from {offset_s:g} s reach beyond the recording's {length_s:.3f} s; "
            "correct the offset or duration"
        )
    start = round(offset_s * rate_hz)
    return start, min(num_frames, start + max(1, round(duration_s * rate_hz)))


def _at_16_khz(samples: NDArray[np.float32], rate_hz: int, name: str) -> NDArray[np.float32]:
    try:
        return np.clip(resample(samples, rate_hz), -1.0, 1.0)
    except OptionError as error:
        raise AudioError(f"{name}: {error}") from error
