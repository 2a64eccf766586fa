"""What ``lexitune transcribe`` is given, one source at a time: recordings, their channels, rows of a manifest.

A source is plain data that any process can read; one that cannot be read says so then, so that the others are done.
Which recordings a folder, a pattern or a URL stands for is found by ``asr.cli.places``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.cli.places import Found, is_url, place_of
from asr.errors import AudioError, InputError, ManifestError, OptionError

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One thing to transcribe.

    Attributes:
        id: names it in the output.
        audio_filepath: the path as it will be reported, or a URL.
        offset_s: where it begins in the recording.
        duration_s: how long it is; None for all that follows.
        channel: the only one that is heard; None averages them.
        legs: names of the channels, to hear each by itself and merge them; empty for one stream.
        output_name: its file in a folder of outputs, without suffix; "" makes it of the id.
        num_bytes: of the recording where a listing told it.
    """

    id: str
    audio_filepath: str
    offset_s: float = 0.0
    duration_s: float | None = None
    channel: int | None = None
    legs: tuple[str, ...] = ()
    output_name: str = ""
    num_bytes: int | None = None

    @property
    def file_name(self) -> str:
        """Its file in a folder of outputs, without suffix."""
        return self.output_name or self.id.replace("/", "_")

    def size(self) -> int:
        """Bytes of the recording, as far as they are known without opening it; else 0."""
        if self.num_bytes is not None or is_url(self.audio_filepath):
            return self.num_bytes or 0
        try:
            return Path(self.audio_filepath).stat().st_size
        except OSError:
            return 0

    def read(self) -> Samples:
        """Samples (T,) at 16 kHz, or (T, C) for a source with C legs.

        Raises:
            AudioError: the recording cannot be read, or lacks the span, the channel or a leg.
        """
        place = place_of(self.audio_filepath)
        if not self.legs and self.channel is None:
            return place.read_audio(self.offset_s, self.duration_s)
        channels = place.read_channels(self.offset_s, self.duration_s)
        num_channels = channels.shape[1]
        if self.legs:
            if num_channels != len(self.legs):
                raise AudioError(
                    f"{place} has {num_channels} channel(s); --legs names {len(self.legs)}: {', '.join(self.legs)}; "
                    "name each channel, or leave --legs out to mix them"
                )
            return channels
        if self.channel is not None and self.channel >= num_channels:
            raise AudioError(
                f"{place} has {num_channels} channel(s); {self.id} asks for channel {self.channel}, counted from 0"
            )
        return np.ascontiguousarray(channels[:, self.channel])

    def digest(self) -> str:
        """Identifies what is heard: the recording's bytes by their hash, and the span and channels of them.

        Raises:
            AudioError: the recording cannot be read.
        """
        span = f"@{self.offset_s:g}+{'' if self.duration_s is None else f'{self.duration_s:g}'}"
        heard = "+".join(self.legs) if self.legs else "" if self.channel is None else f"{self.channel}"
        return (
            place_of(self.audio_filepath).digest()
            + (span if span != "@0+" else "")
            + f"#{heard}" * bool(heard)
        )


def file_sources(
    arguments: Sequence[str | Path], *, split_channels: bool = False, legs: tuple[str, ...] = ()
) -> list[Source]:
    """A source for each recording that the arguments name or match, or for each channel of each.

    Raises:
        InputError: two have the same id, or a folder or pattern matches none.
    """
    found = [one for argument in arguments for one in place_of(argument).expand()]
    unique = list({(one.id, one.path): one for one in found}.values())
    if split_channels and not legs:
        return _with_own_ids([source for one in unique for source in _channel_sources(one)])
    return _with_own_ids([_source_of(one, legs=legs) for one in unique])


def manifest_sources(manifest: Path, *, legs: tuple[str, ...] = ()) -> list[Source]:
    """A source for each row; no audio is looked at yet.

    Raises:
        ManifestError: the manifest cannot be read, holds no row, or one is malformed.
        InputError: two have the same id.
        OptionError: ``legs`` are wanted of a row that names one channel.
    """
    return _with_own_ids(list(_row_sources(manifest, legs)))


def _row_sources(manifest: Path, legs: tuple[str, ...]) -> Iterator[Source]:
    from asr.data.manifest import MalformedRow, parse_rows

    row = None
    for row in parse_rows(manifest):
        if isinstance(row, MalformedRow):
            raise ManifestError(row.message)
        utterance = row.utterance
        if legs and utterance.channel is not None:
            raise OptionError(
                f"--legs merges all channels, but row {utterance.id!r} names channel {utterance.channel}; "
                "leave one of them out",
                field="legs",
            )
        yield Source(
            id=utterance.id,
            audio_filepath=str(utterance.audio_path),
            offset_s=utterance.offset_s,
            duration_s=utterance.duration_s or None,
            channel=utterance.channel,
            legs=legs,
        )
    if row is None:
        raise ManifestError(f"{manifest} holds no utterances; a manifest has one JSON object a line")


def _source_of(found: Found, *, legs: tuple[str, ...] = (), channel: int | None = None) -> Source:
    suffix = "" if channel is None else f"#{channel}"
    return Source(
        id=found.id + suffix,
        audio_filepath=found.path,
        channel=channel,
        legs=legs,
        output_name=found.id + suffix,
        num_bytes=found.num_bytes,
    )


def _channel_sources(found: Found) -> list[Source]:
    from asr.audio.files import count_channels

    if is_url(found.path):
        raise OptionError(
            f"--channels split opens each recording beforehand, which {found.path} is too far away for; "
            "name the channels by --legs",
            field="channels",
        )
    try:
        num_channels = count_channels(Path(found.path))
    except AudioError:
        return [_source_of(found)]  # fails again when it is read, beside those that do not
    return [_source_of(found, channel=channel) for channel in range(num_channels)]


def _with_own_ids(sources: list[Source]) -> list[Source]:
    seen: dict[str, Source] = {}
    for source in sources:
        if (other := seen.setdefault(source.id, source)) is not source:
            raise InputError(
                f"{source.id!r} names two recordings, {other.audio_filepath} and {source.audio_filepath}; give the "
                "folder above them, or a manifest with an id each"
            )
    return sources
