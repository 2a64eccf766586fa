"""A manifest of long recordings to a manifest of rows on the same audio, and a list of what could not be used.

A row of the input is a recording with its whole transcript: in ``text``, or in the UTF-8 file that ``text_filepath``
names, relative to the manifest. No audio is copied. Interrupted and run again, it goes on with the next recording.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from asr.atomic import write_bytes_atomically
from asr.audio.files import audio_duration_s
from asr.data.manifest import Utterance, audio_sha256, read_manifest, write_manifest
from asr.data.validate import DURATION_TOLERANCE_S, DURATION_TOLERANCE_SHARE
from asr.errors import AudioError, InputError, ManifestError, OptionError
from asr.models.ctc_torch import TorchCtc
from asr.text.normalize import basic
from asr.units import to_seconds
from training.alignment.emissions import count_chunks, recording_emissions
from training.alignment.segments import FrameTimes, Segment, cut_segments
from training.alignment.transcript import transcript_words
from training.alignment.units import align_transcript
from training.progress import Reporter, Stage

MANIFEST_NAME, REJECTED_NAME = "manifest.jsonl", "rejected.jsonl"
TEXT_FILE_KEY = "text_filepath"
_DONE_FOLDER = ".aligned"
_VERSION = (
    "1"  # of what is kept for a run that goes on: change it when the same input would be cut differently
)


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """How recordings are cut.

    Attributes:
        min_score: rows below it are rejected; see :func:`training.alignment.units.window_score`.
    """

    min_score: float = 0.2

    def __post_init__(self) -> None:
        """Check the score.

        Raises:
            OptionError: it is outside 0 to 1.
        """
        if not 0 <= self.min_score <= 1:
            raise OptionError(f"min_score is {self.min_score:g}; give 0 to 1", field="min_score")


@dataclass(frozen=True, kw_only=True)
class AlignedManifest:
    """What was written.

    Attributes:
        manifest: rows to train on.
        rejected: the others, each with ``reason``.
        rows: of the first.
        rejected_rows: of the second.
        unwritable: letters and digits that the model lacks, with the number of words that hold them.
    """

    manifest: Path
    rejected: Path
    rows: Sequence[Utterance] = field(repr=False)
    rejected_rows: Sequence[Utterance] = field(repr=False)
    unwritable: dict[str, int]


def align_manifest(
    recordings: Sequence[Utterance],
    out: Path,
    engine: TorchCtc,
    *,
    model_sha256: str,
    options: AlignOptions,
    reporter: Reporter,
) -> AlignedManifest:
    """Align every recording, cut it, and write ``manifest.jsonl`` and ``rejected.jsonl`` to ``out``.

    Args:
        recordings: of :func:`read_recordings`.
        out: made if absent.
        engine: of a language and of characters that fit the transcripts.
        model_sha256: of its weights; results of another model are not gone on with.
        options: how.
        reporter: where progress goes.

    Raises:
        AudioError: a recording cannot be read.
    """
    rows: list[Utterance] = []
    rejected: list[Utterance] = []
    unwritable: Counter[str] = Counter()
    num_chunks = sum(count_chunks(engine, recording) for recording in recordings)
    with reporter.stage("aligning", num_chunks) as stage:
        for recording in recordings:
            segments = _kept_or_new(recording, out / _DONE_FOLDER, engine, model_sha256, options, stage)
            for number, segment in enumerate(segments, 1):
                row = _row(recording, number, segment)
                (rejected if segment.reason else rows).append(row)
            words = transcript_words(recording.text or "", engine.tokens)
            unwritable.update(sign for word in words for sign in word.missing)
    write_manifest(out / REJECTED_NAME, rejected)
    write_manifest(out / MANIFEST_NAME, rows)
    return AlignedManifest(
        manifest=out / MANIFEST_NAME,
        rejected=out / REJECTED_NAME,
        rows=rows,
        rejected_rows=rejected,
        unwritable=dict(unwritable.most_common()),
    )


def read_recordings(manifest: Path) -> list[Utterance]:
    """The recordings of a manifest, each with its duration and its transcript in ``text``.

    Raises:
        ManifestError: a row without a transcript or with two, ids that occur twice, a duration that the audio lacks.
        AudioError: a recording that cannot be opened.
    """
    recordings = []
    seen: set[str] = set()
    for row in read_manifest(manifest):
        if row.id in seen:
            raise ManifestError(f"{manifest}: the id {row.id!r} occurs twice; give each recording its own")
        seen.add(row.id)
        text = _transcript(row, manifest)
        extra = {key: value for key, value in row.extra.items() if key != TEXT_FILE_KEY}
        recordings.append(replace(row, text=text, extra=extra, duration_s=_checked_duration_s(row)))
    return recordings


def _transcript(row: Utterance, manifest: Path) -> str:
    name = row.extra.get(TEXT_FILE_KEY)
    if (row.text is None) == (name is None):
        found = "neither text nor" if name is None else "both text and"
        raise ManifestError(
            f"{manifest}: {row.id!r} has {found} {TEXT_FILE_KEY}; give the whole transcript in one of them"
        )
    text = row.text
    if name is not None:
        if not isinstance(name, str):
            raise ManifestError(f"{manifest}: {TEXT_FILE_KEY} of {row.id!r} is {name!r}; it must be a string")
        path = manifest.resolve().parent / name
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path}, the transcript of {row.id!r}, cannot be read: {error}") from error
    if not text or not basic(text):
        raise ManifestError(f"{manifest}: the transcript of {row.id!r} is empty; leave the row out")
    return text


def _checked_duration_s(row: Utterance) -> float:
    real_s = audio_duration_s(row.audio_path) - row.offset_s
    if row.duration_s > real_s + max(DURATION_TOLERANCE_S, DURATION_TOLERANCE_SHARE * real_s):
        raise ManifestError(
            f"{row.id!r} declares {row.duration_s:g} s, {row.audio_path} has {real_s:.3f} s; correct duration or offset"
        )
    return min(row.duration_s, real_s)


def _kept_or_new(
    recording: Utterance,
    folder: Path,
    engine: TorchCtc,
    model_sha256: str,
    options: AlignOptions,
    stage: Stage,
) -> list[Segment]:
    """The segments of a recording, from an earlier run or aligned now and kept for the next."""
    span = (recording.text, recording.offset_s, recording.duration_s, recording.channel)
    identity = repr((_VERSION, audio_sha256(recording.audio_path), span, model_sha256, options))
    path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"
    if path.is_file():
        for _ in range(count_chunks(engine, recording)):
            stage.advance(recording.id)
        return [Segment(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    segments = align_recording(recording, engine, options, stage)
    write_bytes_atomically(path, json.dumps([asdict(segment) for segment in segments]).encode())
    return segments


def align_recording(
    recording: Utterance, engine: TorchCtc, options: AlignOptions, stage: Stage
) -> list[Segment]:
    """The segments of one recording; a whole one that cannot be aligned is one segment with the reason.

    Raises:
        AudioError: it cannot be read.
    """
    words = transcript_words(recording.text or "", engine.tokens)
    frame_s = to_seconds(engine.stride_samples)
    try:
        log_probs = recording_emissions(engine, recording, lambda: stage.advance(recording.id))
        alignment = align_transcript(
            log_probs, words, engine.tokens, frame_s=frame_s, min_score=options.min_score
        )
    except AudioError:
        raise
    except InputError as error:  # a limit that this recording is over; the others may be under it
        whole = " ".join(word.text for word in words)
        return [Segment(start_s=0.0, end_s=recording.duration_s, text=whole, score=0.0, reason=str(error))]
    times = FrameTimes(first_s=engine.frame_time_s(0), step_s=frame_s, duration_s=recording.duration_s)
    return cut_segments(alignment, log_probs, engine.tokens, times, min_score=options.min_score)


def _row(recording: Utterance, number: int, segment: Segment) -> Utterance:
    start_s = round(recording.offset_s + segment.start_s, 3)
    extra: dict[str, object] = {**recording.extra, "score": round(segment.score, 3)}
    if not start_s:
        extra["offset"] = 0.0  # or the row would seem to be the whole recording
    if segment.unwritable_words:
        extra["unwritable_words"] = segment.unwritable_words
    if segment.reason:
        extra["reason"] = segment.reason
    return replace(
        recording,
        id=f"{recording.id}-{number:04d}",
        offset_s=start_s,
        duration_s=round(segment.end_s - segment.start_s, 3),
        text=segment.text,
        terms=None if recording.terms is None else _said(recording.terms, segment.text),
        extra=extra,
    )


def _said(terms: Iterable[str], text: str) -> tuple[str, ...]:
    """The terms that are in a row's text."""
    plain = f" {basic(text)} "
    return tuple(term for term in terms if f" {basic(term)} " in plain)
