"""Jobs and uploads between plain values and protobuf on the client's side; a part of ``asr.client.wire``, which see."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asr.client.job_values import (
    Adaptation,
    AdaptationCheck,
    AdaptationJob,
    AdaptationOutcome,
    AdaptationPoint,
    AdaptationStage,
    BatchJob,
    BatchResult,
    FileOnServer,
    JobFault,
    ManifestOnServer,
    RecordingOnServer,
    UploadedFile,
)
from asr.client.wire import seconds_of
from asr.client.wire_phrases import phrase_reports, vocabulary_message
from asr.data.manifest import MalformedRow, parse_rows
from asr.errors import ManifestError
from asr.jobs import FILES, MANIFESTS, JobState
from asr.results import Segment, Transcript, Word
from asr.streaming.messages import Vocabulary
from asr.v1 import adaptation_pb2, batch_pb2, jobs_pb2, models_pb2, uploads_pb2

CHUNK_BYTES = 256 << 10
MAX_MESSAGE_BYTES = (
    64 << 20
)  # gRPC's own limit is 4 MiB, and the transcript of one long recording may be larger
CHANNEL_OPTIONS = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),)
_STATES = {
    jobs_pb2.JOB_STATE_QUEUED: JobState.QUEUED,
    jobs_pb2.JOB_STATE_RUNNING: JobState.RUNNING,
    jobs_pb2.JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    jobs_pb2.JOB_STATE_PARTIAL: JobState.PARTIAL,
    jobs_pb2.JOB_STATE_FAILED: JobState.FAILED,
    jobs_pb2.JOB_STATE_CANCELLED: JobState.CANCELLED,
}

Content = Path | bytes


def upload_spec(content: Content, name: str) -> uploads_pb2.UploadSpec:
    """What is to be sent; called as it is said, or as the file is.

    Raises:
        OSError: the file cannot be read.
    """
    name = name or (content.name if isinstance(content, Path) else "upload")
    with _opened(content) as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return uploads_pb2.UploadSpec(name=name, size_bytes=stream.seek(0, os.SEEK_END), sha256=sha256)


def upload_requests(
    content: Content, spec: uploads_pb2.UploadSpec
) -> Iterator[uploads_pb2.UploadFileRequest]:
    """The messages of an upload; can be made again and again."""
    yield uploads_pb2.UploadFileRequest(spec=spec)
    with _opened(content) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield uploads_pb2.UploadFileRequest(content=chunk)


def manifest_audio(manifest: Path) -> dict[str, Path]:
    """The recordings that a manifest's rows name, by those names.

    Raises:
        ManifestError: it cannot be read, or a row is malformed.
    """
    folder = manifest.resolve().parent
    audio: dict[str, Path] = {}
    for row in parse_rows(manifest):
        if isinstance(row, MalformedRow):
            raise ManifestError(row.message)
        path = row.utterance.audio_path
        audio[Path(os.path.relpath(path, folder)).as_posix()] = path
    return audio


def batch_request(
    recordings: Sequence[RecordingOnServer | FileOnServer],
    *,
    model: str,
    language: str,
    separate_channels: bool,
    vocabulary: Vocabulary | None,
    request_id: str,
) -> batch_pb2.CreateBatchJobRequest:
    """Asks for a batch job; a request_id is made up where none is given."""
    named = [one if isinstance(one, RecordingOnServer) else RecordingOnServer(file=one) for one in recordings]
    return batch_pb2.CreateBatchJobRequest(
        request_id=request_id or uuid.uuid4().hex,
        model=model,
        recordings=[batch_pb2.BatchRecording(id=one.id, file=_input(one.file)) for one in named],
        language_code=language,
        separate_channels=separate_channels,
        vocabulary=vocabulary_message(vocabulary) if vocabulary is not None else None,
    )


def adaptation_request(asked: Adaptation, request_id: str) -> adaptation_pb2.CreateAdaptationJobRequest:
    """Asks for an adaptation job; a request_id is made up where none is given."""
    files: dict[str, Any] = {
        name: _input(file) for name in FILES if (file := getattr(asked, name)) is not None
    }
    files |= {
        name: _manifest(manifest) for name in MANIFESTS if (manifest := getattr(asked, name)) is not None
    }
    return adaptation_pb2.CreateAdaptationJobRequest(
        request_id=request_id or uuid.uuid4().hex,
        base_model=asked.base,
        name=asked.name,
        alias=asked.alias,
        method=asked.method,
        config_toml=asked.config_toml,
        **files,
    )


def uploaded_file(message: uploads_pb2.Upload) -> UploadedFile:
    """A file that is kept."""
    return UploadedFile(
        id=message.id,
        name=message.name,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        created_at=message.create_time.ToDatetime(UTC),
    )


def created_batch_job(response: batch_pb2.CreateBatchJobResponse) -> BatchJob:
    """A batch job, with what became of its phrases."""
    return replace(batch_job(response.job), phrases=phrase_reports(response.phrases))


def batch_job(message: batch_pb2.BatchJob) -> BatchJob:
    """A batch job."""
    return BatchJob(
        id=message.id,
        request_id=message.request_id,
        state=_state(message.state),
        model=message.model,
        num_recordings=message.num_recordings,
        num_succeeded=message.num_succeeded,
        num_failed=message.num_failed,
        audio_s=seconds_of(message.audio_duration),
        **_common(message),
    )


def batch_result(message: batch_pb2.BatchResult) -> BatchResult:
    """What came of a recording."""
    if message.WhichOneof("outcome") == "error":
        return BatchResult(
            recording_id=message.recording_id, index=message.index, fault=_fault(message.error)
        )
    segments = message.transcript.segments
    num_channels = 1 + max((one.channel for one in segments), default=0)
    duration_s = seconds_of(message.transcript.duration)
    channels = tuple(
        Transcript(
            segments=tuple(_segment(one) for one in segments if one.channel == channel), duration_s=duration_s
        )
        for channel in range(num_channels)
    )
    return BatchResult(recording_id=message.recording_id, index=message.index, channels=channels)


def adaptation_job(message: adaptation_pb2.AdaptationJob) -> AdaptationJob:
    """An adaptation job."""
    stage = message.stage
    return AdaptationJob(
        id=message.id,
        request_id=message.request_id,
        state=_state(message.state),
        base=message.base_model,
        name=message.name,
        stage=AdaptationStage(name=stage.name, done=stage.done, total=stage.total, note=stage.note)
        if message.HasField("stage")
        else None,
        points=tuple(AdaptationPoint(step=one.step, values=dict(one.values)) for one in message.points),
        notes=tuple(message.notes),
        outcome=_outcome(message.outcome) if message.HasField("outcome") else None,
        **_common(message),
    )


def _outcome(message: adaptation_pb2.AdaptationOutcome) -> AdaptationOutcome:
    return AdaptationOutcome(
        reference=message.reference,
        gate_passed=message.gate_verdict == models_pb2.GATE_VERDICT_PASSED,
        gate_reason=message.gate_reason,
        checks=tuple(
            AdaptationCheck(name=one.name, passed=one.passed, detail=one.detail) for one in message.checks
        ),
        promoted_alias=message.promoted_alias,
        metrics=dict(message.metrics),
    )


def _common(message: Any) -> dict[str, Any]:
    """When a job was created, begun and over, when it will go, and why it failed."""

    def moment(name: str) -> datetime | None:
        return getattr(message, name).ToDatetime(UTC) if message.HasField(name) else None

    return {
        "created_at": moment("create_time"),
        "started_at": moment("start_time"),
        "ended_at": moment("end_time"),
        "expires_at": moment("expire_time"),
        "fault": _fault(message.error) if message.HasField("error") else None,
    }


def _segment(message: batch_pb2.TranscriptSegment) -> Segment:
    words = tuple(
        Word(
            text=one.text, start_s=seconds_of(one.start), end_s=seconds_of(one.end), confidence=one.confidence
        )
        for one in message.words
    )
    return Segment(
        text=message.text,
        start_s=seconds_of(message.start),
        end_s=seconds_of(message.end),
        words=words,
        confidence=message.confidence,
    )


def _input(file: FileOnServer) -> uploads_pb2.InputFile:
    if file.upload_id:
        return uploads_pb2.InputFile(upload_id=file.upload_id)
    return uploads_pb2.InputFile(root_file=uploads_pb2.RootFile(root=file.root, path=file.path))


def _manifest(manifest: ManifestOnServer) -> adaptation_pb2.ManifestInput:
    return adaptation_pb2.ManifestInput(file=_input(manifest.file), audio_upload_ids=manifest.audio)


def _state(state: jobs_pb2.JobState) -> JobState:
    """A state of a newer server is one that is not over, as far as this client can know."""
    return _STATES.get(state, JobState.RUNNING)


def _fault(message: jobs_pb2.JobError) -> JobFault:
    return JobFault(reason=message.reason, message=message.message)


def _opened(content: Content) -> Any:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
