"""Manifests: JSON Lines of utterances under NeMo's names, read strictly and written atomically.

One line is one utterance: ``audio_filepath`` (relative to the manifest), ``duration`` (s), ``text``, and
optionally ``id``, ``offset`` (s), ``speaker``, ``session``, ``channel``, ``language``, ``terms``. Judging the
content of the rows is ``asr.data.validate``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.atomic import write_bytes_atomically
from asr.audio.files import audio_duration_s, read_audio, read_channels
from asr.errors import AudioError, ManifestError

_KNOWN_KEYS = (
    "audio_filepath",
    "duration",
    "text",
    "id",
    "offset",
    "speaker",
    "session",
    "channel",
    "language",
    "terms",
)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A unit of speech with its reference: one row of a manifest.

    Attributes:
        id: names the utterance in every report; by default the audio file's stem, with ``@offset`` and
            ``#channel`` where the row has them.
        audio_path: absolute.
        duration_s: length of the span, in seconds.
        text: what was said, or None where only terms are known.
        offset_s: where the span begins in the recording.
        speaker: who speaks; groups a split and a bootstrap.
        session: when and where; groups likewise.
        channel: of a recording with several, counted from 0; None averages them.
        language: code such as "en".
        terms: domain terms that were said, or None where nobody noted them.
        extra: other keys of the row, kept as they are.
    """

    id: str
    audio_path: Path
    duration_s: float
    text: str | None = None
    offset_s: float = 0.0
    speaker: str | None = None
    session: str | None = None
    channel: int | None = None
    language: str | None = None
    terms: tuple[str, ...] | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class ParsedRow:
    """One line of a manifest as it stands, before its audio is looked at.

    Attributes:
        line: its number in the file, from 1.
        utterance: with ``duration_s`` 0.0 if the row declares none.
        has_offset: the row declares an offset, so it is a span of a longer recording.
    """

    line: int
    utterance: Utterance
    has_offset: bool


def read_manifest(path: Path) -> list[Utterance]:
    """Read a manifest; durations that rows do not declare are measured.

    Raises:
        ManifestError: the file is missing or holds no row, or a row is malformed; names path and line.
        AudioError: a row without duration has no readable audio.
    """
    utterances = []
    for row in parse_rows(Path(path)):
        if isinstance(row, MalformedRow):
            raise ManifestError(row.message)
        utterances.append(measured(row.utterance))
    if not utterances:
        raise ManifestError(f"{path} holds no utterances; a manifest has one JSON object a line")
    return utterances


@dataclass(frozen=True, kw_only=True)
class MalformedRow:
    """A line that is no row: where it stands, and why, in words that name path and line."""

    line: int
    message: str


def parse_rows(path: Path) -> Iterator[ParsedRow | MalformedRow]:
    """Parse line after line; malformed ones are values, so that a caller can report all of them.

    Raises:
        ManifestError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise ManifestError(f"{path}: the manifest cannot be read: {error.strerror}") from error
    folder = path.resolve().parent
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _parse_row(line, number, folder)
        except ManifestError as error:
            yield MalformedRow(line=number, message=f"{path}:{number}: {error}")


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest whose audio paths are relative to it; it appears whole or not at all."""
    path = Path(path)
    folder = path.resolve().parent
    rows = (json.dumps(_row(utterance, folder), ensure_ascii=False) for utterance in utterances)
    write_bytes_atomically(path, "".join(f"{row}\n" for row in rows).encode())


def manifest_sha256(utterances: Sequence[Utterance]) -> str:
    """Hex sha256 over the rows in their order and the bytes of their audio; where the files lie does not
    count.

    Raises:
        AudioError: a file is missing.
    """
    digests: dict[Path, str] = {}
    content = hashlib.sha256()
    for utterance in utterances:
        audio = utterance.audio_path
        if audio not in digests:
            digests[audio] = audio_sha256(audio)
        row = _row(utterance, audio.parent) | {"audio_filepath": digests[audio]}
        content.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return content.hexdigest()


def audio_sha256(path: Path) -> str:
    """Hex sha256 of an audio file's bytes.

    Raises:
        AudioError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror}") from error


def load_samples(utterance: Utterance) -> NDArray[np.float32]:
    """The utterance's own span and channel, (T,) at 16 kHz.

    Raises:
        AudioError: the file cannot be read, or lacks the span or channel.
    """
    path, start_s, length_s = utterance.audio_path, utterance.offset_s, utterance.duration_s
    if utterance.channel is None:
        return read_audio(path, offset_s=start_s, duration_s=length_s)
    channels = read_channels(path, offset_s=start_s, duration_s=length_s)
    if utterance.channel >= channels.shape[1]:
        raise AudioError(
            f"{path} has {channels.shape[1]} channel(s); row {utterance.id} asks for channel "
            f"{utterance.channel}, counted from 0"
        )
    return np.ascontiguousarray(channels[:, utterance.channel])


def measured(utterance: Utterance) -> Utterance:
    """The utterance with a duration: its own, or else what its recording holds behind the offset.

    Raises:
        AudioError: the recording cannot be read, or ends before the offset.
    """
    if utterance.duration_s:
        return utterance
    length_s = audio_duration_s(utterance.audio_path)
    if utterance.offset_s >= length_s:
        raise AudioError(
            f"{utterance.audio_path}: an offset of {utterance.offset_s:g} s is outside the recording's "
            f"{length_s:.3f} s"
        )
    return replace(utterance, duration_s=length_s - utterance.offset_s)


def _row(utterance: Utterance, folder: Path) -> dict[str, object]:
    row: dict[str, object] = {
        "audio_filepath": Path(os.path.relpath(utterance.audio_path, folder)).as_posix(),
        "id": utterance.id,
        "duration": utterance.duration_s,
        "text": utterance.text,
        "offset": utterance.offset_s or None,
        "speaker": utterance.speaker,
        "session": utterance.session,
        "channel": utterance.channel,
        "language": utterance.language,
        "terms": None if utterance.terms is None else list(utterance.terms),
    }
    return {key: value for key, value in row.items() if value is not None} | dict(utterance.extra)


def _parse_row(line: bytes, number: int, folder: Path) -> ParsedRow:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ManifestError(f"not one JSON object: {error}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"a row is a JSON object, not {type(row).__name__}")
    _check_encodable(row)
    audio = _string(row, "audio_filepath")
    if not audio:
        raise ManifestError("audio_filepath is missing; it names the audio file, relative to the manifest")
    utterance = Utterance(
        id="",
        audio_path=Path(os.path.normpath(folder / audio)),
        duration_s=_seconds(row, "duration", above_zero=True),
        text=_string(row, "text"),
        offset_s=_seconds(row, "offset", above_zero=False),
        speaker=_name(row, "speaker"),
        session=_name(row, "session"),
        channel=_channel(row),
        language=_string(row, "language"),
        terms=_terms(row),
        extra={key: value for key, value in row.items() if key not in _KNOWN_KEYS},
    )
    has_offset = row.get("offset") is not None
    utterance = replace(utterance, id=_name(row, "id") or _default_id(utterance, has_offset))
    return ParsedRow(line=number, utterance=utterance, has_offset=has_offset)


def _check_encodable(row: Mapping[str, object]) -> None:
    """JSON's escapes can write strings that are no text: half of a surrogate pair."""
    for key, value in row.items():
        try:
            json.dumps([key, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            found = ascii(error.object[error.start : error.end])
            raise ManifestError(
                f"{key!a} holds {found}, half of a surrogate pair, which UTF-8 cannot write; write the "
                "character itself"
            ) from error


def _default_id(utterance: Utterance, has_offset: bool) -> str:
    offset = f"@{utterance.offset_s:.3f}".rstrip("0").rstrip(".") if has_offset else ""
    channel = "" if utterance.channel is None else f"#{utterance.channel}"
    return utterance.audio_path.stem + offset + channel


def _string(row: Mapping[str, object], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ManifestError(f"{key} is {value!r}; it must be a string")
    return value


def _name(row: Mapping[str, object], key: str) -> str | None:
    """A string, or an integer as many data sets write speakers."""
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _string(row, key)


def _seconds(row: Mapping[str, object], key: str, *, above_zero: bool) -> float:
    value = row.get(key)
    if value is None:
        return 0.0
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and (number > 0 if above_zero else number >= 0)):
        raise ManifestError(
            f"{key} is {value!r}; it must be seconds, {'above' if above_zero else 'at least'} 0"
        )
    return number


def _channel(row: Mapping[str, object]) -> int | None:
    value = row.get("channel")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ManifestError(f"channel is {value!r}; it must be an integer counted from 0")
    return value


def _terms(row: Mapping[str, object]) -> tuple[str, ...] | None:
    value = row.get("terms")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(term, str) and term.strip() for term in value):
        raise ManifestError(f"terms is {value!r}; it must be a list of strings")
    return tuple(value)
