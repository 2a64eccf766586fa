"""What is wrong with a manifest: every problem of every row at once, each with a code.

Looks at rows, audio and text; changes nothing. Which characters a model can write, and how many tokens a text
takes, are asked of the caller, so that no tokenizer is loaded here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr.audio.files import audio_duration_s
from asr.data.manifest import MalformedRow, ParsedRow, Utterance, audio_sha256, load_samples, parse_rows
from asr.errors import AudioError
from asr.units import WHISPER_WINDOW_S

MAX_TOKENS = 448  # Whisper's decoder length
DURATION_TOLERANCE_S = 0.1
DURATION_TOLERANCE_SHARE = 0.02
MAX_CLIPPED_SHARE = 0.001
MIN_RMS_DBFS = -60.0
_FULL_SCALE = 0.9995

CODES = (
    "malformed-row",
    "empty-manifest",
    "missing-audio",
    "unreadable-audio",
    "wrong-duration",
    "bad-offset",
    "long-audio",
    "clipped",
    "silent",
    "no-reference",
    "empty-text",
    "long-text",
    "unwritable-characters",
    "duplicate-id",
    "duplicate-audio",
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with one row.

    Attributes:
        row: line of the manifest, from 1; 0 where the manifest as a whole is meant.
        id: the utterance's id, or "" for a row that could not be parsed.
        code: one of ``CODES``.
        message: the value, the limit and the remedy.
    """

    row: int
    id: str
    code: str
    message: str


def validate_manifest(
    path: Path,
    *,
    tokenizer_check: Callable[[str], str | None] | None = None,
    token_count: Callable[[str], int] | None = None,
    max_tokens: int = MAX_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> list[Problem]:
    """Check every row of a manifest.

    Args:
        path: the manifest.
        tokenizer_check: for a text, the characters that the model cannot write, or None if it can write all.
        token_count: how many tokens a text takes; without it the length of texts is not checked.
        max_tokens: limit for ``token_count``.
        progress: called after each row with the number of rows done.

    Returns:
        All problems in the order of rows; empty if there are none.

    Raises:
        ManifestError: the manifest itself cannot be opened.
    """
    validation = _Validation(tokenizer_check, token_count, max_tokens)
    problems: list[Problem] = []
    done = 0
    for done, row in enumerate(parse_rows(Path(path)), start=1):
        problems += validation.check(row)
        if progress is not None:
            progress(done)
    if not done:
        problems.append(Problem(row=0, id="", code="empty-manifest", message=f"{path} holds no utterances"))
    return problems


class _Validation:
    """The checks of one manifest, with what earlier rows have shown."""

    def __init__(
        self,
        tokenizer_check: Callable[[str], str | None] | None,
        token_count: Callable[[str], int] | None,
        max_tokens: int,
    ) -> None:
        self._tokenizer_check = tokenizer_check
        self._token_count = token_count
        self._max_tokens = max_tokens
        self._line_of_id: dict[str, int] = {}
        self._line_of_audio: dict[tuple[str, float, int | None], int] = {}
        self._sha256: dict[Path, str] = {}
        self._length_s: dict[Path, float] = {}

    def check(self, row: ParsedRow | MalformedRow) -> list[Problem]:
        if isinstance(row, MalformedRow):
            return [Problem(row=row.line, id="", code="malformed-row", message=row.message)]
        found = [*self._identity(row), *self._text(row.utterance), *self._audio(row)]
        return [Problem(row=row.line, id=row.utterance.id, code=code, message=text) for code, text in found]

    def _identity(self, row: ParsedRow) -> Iterator[tuple[str, str]]:
        first = self._line_of_id.setdefault(row.utterance.id, row.line)
        if first != row.line:
            yield (
                "duplicate-id",
                f"id {row.utterance.id!r} is also that of line {first}; give each row its own",
            )

    def _text(self, utterance: Utterance) -> Iterator[tuple[str, str]]:
        text = utterance.text
        if text is None:
            if utterance.terms is None:
                yield "no-reference", "neither text nor terms; add what was said, or leave the row out"
            return
        if not text.strip():
            yield "empty-text", "the text is empty; add what was said, or leave the row out"
            return
        if self._token_count is not None and (count := self._token_count(text)) > self._max_tokens:
            yield (
                "long-text",
                f"the text takes {count} tokens, the limit is {self._max_tokens}; split the utterance",
            )
        unwritable = self._tokenizer_check(text) if self._tokenizer_check is not None else None
        if unwritable:
            yield (
                "unwritable-characters",
                f"the model cannot write {unwritable!r}; spell it in other characters",
            )

    def _audio(self, row: ParsedRow) -> Iterator[tuple[str, str]]:
        utterance = row.utterance
        if not utterance.audio_path.is_file():
            yield "missing-audio", f"{utterance.audio_path}: no such file; correct audio_filepath"
            return
        try:
            length_s = self._recording_length_s(utterance.audio_path)
            yield from self._span(row, length_s)
            yield from self._same_audio(row)
            if utterance.offset_s < length_s:
                yield from _signal(load_samples(_clamped(utterance, length_s)))
        except AudioError as error:
            yield "unreadable-audio", str(error)

    def _recording_length_s(self, path: Path) -> float:
        if path not in self._length_s:
            self._length_s[path] = audio_duration_s(path)
        return self._length_s[path]

    def _span(self, row: ParsedRow, length_s: float) -> Iterator[tuple[str, str]]:
        offset_s, declared_s = row.utterance.offset_s, row.utterance.duration_s
        if offset_s >= length_s:
            yield "bad-offset", f"the offset of {offset_s:g} s is outside the recording's {length_s:.3f} s"
            return
        real_s = length_s - offset_s
        excess_s = (declared_s or real_s) - real_s
        tolerance_s = max(DURATION_TOLERANCE_S, DURATION_TOLERANCE_SHARE * real_s)
        if excess_s > tolerance_s or (not row.has_offset and -excess_s > tolerance_s):
            yield "wrong-duration", f"the row declares {declared_s:g} s, the audio has {real_s:.3f} s"
        spoken_s = min(declared_s or real_s, real_s)
        if spoken_s > WHISPER_WINDOW_S:
            yield (
                "long-audio",
                f"{spoken_s:.1f} s are over the limit of {WHISPER_WINDOW_S} s; segment the recording",
            )

    def _same_audio(self, row: ParsedRow) -> Iterator[tuple[str, str]]:
        path = row.utterance.audio_path
        if path not in self._sha256:
            self._sha256[path] = audio_sha256(path)
        key = (self._sha256[path], row.utterance.offset_s, row.utterance.channel)
        first = self._line_of_audio.setdefault(key, row.line)
        if first != row.line:
            yield "duplicate-audio", f"the same audio as line {first}; keep one of them"


def _clamped(utterance: Utterance, length_s: float) -> Utterance:
    """The utterance with a span that the recording has, so that a wrong duration is reported once."""
    real_s = length_s - utterance.offset_s
    return replace(utterance, duration_s=min(utterance.duration_s or real_s, real_s))


def _signal(samples: NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    clipped = float(np.mean(np.abs(samples) >= _FULL_SCALE))
    if clipped > MAX_CLIPPED_SHARE:
        limit = f"the limit is {MAX_CLIPPED_SHARE:.1%}; record softer"
        yield "clipped", f"{clipped:.2%} of the samples are at full scale, {limit}"
    rms_dbfs = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))), 1e-9))
    if rms_dbfs < MIN_RMS_DBFS:
        yield (
            "silent",
            f"the level of {rms_dbfs:.0f} dBFS is below {MIN_RMS_DBFS:.0f} dBFS; is this the right channel?",
        )
