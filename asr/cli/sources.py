"""What ``lexitune transcribe`` is given, one source at a time: recordings, their channels, rows of a manifest.

A source that cannot be read says so when it is read, so that the others are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.errors import AudioError, InputError, ManifestError

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to transcribe.

    Attributes:
        id: names it in the output.
        audio_filepath: the path as it will be reported.
        read: its samples (T,) at 16 kHz; raises AudioError.
    """

    id: str
    audio_filepath: str
    read: Callable[[], Samples]


def file_sources(files: Sequence[Path], *, split_channels: bool) -> list[Source]:
    """A source for each recording, or for each channel of each.

    Raises:
        InputError: two have the same id.
    """
    from asr.audio.files import read_audio

    if split_channels:
        sources = [source for path in files for source in _channel_sources(path)]
    else:
        sources = [Source(path.stem, str(path), partial(read_audio, path)) for path in files]
    return _with_own_ids(sources)


def manifest_sources(manifest: Path) -> list[Source]:
    """A source for each row; no audio is looked at yet.

    Raises:
        ManifestError: the manifest cannot be read, holds no row, or one is malformed.
        InputError: two have the same id.
    """
    return _with_own_ids(list(_row_sources(manifest)))


def _row_sources(manifest: Path) -> Iterator[Source]:
    from asr.data.manifest import MalformedRow, Utterance, load_samples, measured, parse_rows

    def read(utterance: Utterance) -> Samples:
        return load_samples(measured(utterance))

    row = None
    for row in parse_rows(manifest):
        if isinstance(row, MalformedRow):
            raise ManifestError(row.message)
        utterance = row.utterance
        yield Source(utterance.id, str(utterance.audio_path), partial(read, utterance))
    if row is None:
        raise ManifestError(f"{manifest} holds no utterances; a manifest has one JSON object a line")


def _channel_sources(path: Path) -> list[Source]:
    from asr.audio.files import count_channels, read_channels

    def read(channel: int) -> Samples:
        return np.ascontiguousarray(read_channels(path)[:, channel])

    def fail(error: AudioError) -> Samples:
        raise error

    try:
        num_channels = count_channels(path)
    except AudioError as error:
        return [Source(path.stem, str(path), partial(fail, error))]
    return [
        Source(f"{path.stem}#{channel}", str(path), partial(read, channel)) for channel in range(num_channels)
    ]


def _with_own_ids(sources: list[Source]) -> list[Source]:
    seen: set[str] = set()
    for source in sources:
        if source.id in seen:
            raise InputError(f"{source.id!r} names two recordings; give them in a manifest with an id each")
        seen.add(source.id)
    return sources
