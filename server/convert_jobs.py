"""Jobs and uploads as they are on the wire, to plain values and back. A part of ``server.convert``, which see."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from asr.biasing.phrases import PhraseReport
from asr.errors import OptionError, ProtocolError
from asr.streaming.messages import Limits, Vocabulary
from asr.text.languages import AUTO
from asr.v1 import adaptation_pb2, batch_pb2, jobs_pb2, models_pb2, uploads_pb2
from server import convert_phrases
from server.jobs.inputs import ManifestSource, Source
from server.jobs.options import DAY_S, JobsOptions
from server.jobs.records import Document, Failure, Job, PartResult, Upload
from server.jobs.states import JobState

MAX_PAGE = 1000
MAX_RESULTS_BYTES = 2 << 20  # of a page: clients take 4 MiB
MAX_REQUEST_ID = 128
MAX_RECORDING_ID = 255
MAX_LANGUAGE = 40
_STATES = {
    JobState.QUEUED: jobs_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: jobs_pb2.JOB_STATE_SUCCEEDED,
    JobState.PARTIAL: jobs_pb2.JOB_STATE_PARTIAL,
    JobState.FAILED: jobs_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}
_MANIFESTS = ("train", "dev", "test", "general")
_FILES = ("text", "terms", "templates")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRequest:
    """What a batch job is asked to do; ``recordings`` by their ids, in their order."""

    request_id: str
    payload_sha256: str
    model: str
    language: str
    separate_channels: bool
    vocabulary: Vocabulary
    recordings: dict[str, Source]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationRequest:
    """What an adaptation job is asked to do."""

    request_id: str
    payload_sha256: str
    base: str
    name: str
    alias: str
    method: str
    config_toml: str
    files: dict[str, Source]
    manifests: dict[str, ManifestSource]


class _Paged(Protocol):
    page_size: int
    page_token: str


def payload_sha256(request: Message) -> str:
    """Of all that was asked for, to know a repetition by."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def batch_request(
    request: batch_pb2.CreateBatchJobRequest, limits: Limits, options: JobsOptions
) -> BatchRequest:
    """A batch job, checked as far as it says all itself.

    Raises:
        OptionError: a field is not allowed; ``field`` is its path.
    """
    number = len(request.recordings)
    if not 1 <= number <= options.max_recordings:
        raise OptionError(
            f"{number} recordings; give 1 to {options.max_recordings}: more go into several jobs",
            field="recordings",
        )
    if len(request.language_code) > MAX_LANGUAGE:
        raise OptionError(
            "language_code is no code; give one such as en or de-CH, or none", field="language_code"
        )
    recordings: dict[str, Source] = {}
    for index, one in enumerate(request.recordings):
        path = f"recordings[{index}]"
        name = one.id or str(index)
        if len(name) > MAX_RECORDING_ID or "\0" in name or name in recordings:
            problem = "is given twice" if name in recordings else "is not allowed"
            raise OptionError(
                f"the id {name[:80]!r} {problem}; give up to {MAX_RECORDING_ID} characters, each id once",
                field=f"{path}.id",
            )
        recordings[name] = source(one.file, f"{path}.file")
    return BatchRequest(
        request_id=_request_id(request.request_id),
        payload_sha256=payload_sha256(request),
        model=request.model,
        language=request.language_code or AUTO,
        separate_channels=request.separate_channels,
        vocabulary=convert_phrases.vocabulary(request.vocabulary, limits, "vocabulary"),
        recordings=recordings,
    )


def adaptation_request(request: adaptation_pb2.CreateAdaptationJobRequest) -> AdaptationRequest:
    """An adaptation job, checked as far as it says all itself.

    Raises:
        OptionError: a field is not allowed; ``field`` is its path.
    """
    manifests: dict[str, ManifestSource] = {}
    for name in _MANIFESTS:
        if request.HasField(name):
            message = getattr(request, name)
            file = source(message.file, f"{name}.file")
            manifests[name] = ManifestSource(file=file, audio=dict(message.audio_upload_ids))
    return AdaptationRequest(
        request_id=_request_id(request.request_id),
        payload_sha256=payload_sha256(request),
        base=request.base_model,
        name=request.name,
        alias=request.alias,
        method=request.method or "auto",
        config_toml=request.config_toml,
        files={name: source(getattr(request, name), name) for name in _FILES if request.HasField(name)},
        manifests=manifests,
    )


def source(message: uploads_pb2.InputFile, path: str) -> Source:
    """Where a file is.

    Raises:
        OptionError: it says not.
    """
    match message.WhichOneof("source"):
        case "upload_id":
            return Source(upload_id=message.upload_id or "-")  # an empty one names none, as any other does
        case "root_file":
            return Source(root=message.root_file.root, path=message.root_file.path)
        case _:
            raise OptionError("no file is named; give upload_id or root_file", field=path)


def upload_spec(request: uploads_pb2.UploadFileRequest) -> uploads_pb2.UploadSpec:
    """What is to be sent.

    Raises:
        ProtocolError: the first message is another.
    """
    if request.WhichOneof("part") != "spec":
        raise ProtocolError("the first message of an upload is its spec; send that first", field="spec")
    return request.spec


def upload_content(request: uploads_pb2.UploadFileRequest, max_bytes: int) -> bytes:
    """The next bytes.

    Raises:
        ProtocolError: it holds none.
        OptionError: too many.
    """
    if request.WhichOneof("part") != "content":
        raise ProtocolError("only the first message of an upload has a spec; send content", field="content")
    if len(request.content) > max_bytes:
        raise OptionError(
            f"a message of {len(request.content)} bytes; at most {max_bytes} are allowed: send more, smaller ones",
            field="content",
        )
    return request.content


def page_of(request: _Paged) -> tuple[int, Any]:
    """How many a list shall have, and where it begins: what :func:`page_token` was made of, None at the start.

    Raises:
        OptionError: the token is none of ours.
    """
    size = request.page_size if 0 < request.page_size <= MAX_PAGE else MAX_PAGE
    if not request.page_token:
        return size, None
    try:
        return size, json.loads(base64.urlsafe_b64decode(request.page_token))
    except ValueError as error:
        raise OptionError(
            "page_token is none; give next_page_token of the page before, or nothing", field="page_token"
        ) from error


def newest_first(request: _Paged) -> tuple[int, tuple[float, str] | None]:
    """As :func:`page_of`, for lists that end with an instant and an id."""
    size, last = page_of(request)
    if last is None:
        return size, None
    match last:
        case [float() | int() as created_at, str() as name]:
            return size, (float(created_at), name)
    raise OptionError(
        "page_token is of another list; give next_page_token of the page before", field="page_token"
    )


def behind_index(request: _Paged) -> tuple[int, int]:
    """As :func:`page_of`, for results: the index behind which the page begins, -1 at the start."""
    size, last = page_of(request)
    if last is not None and not isinstance(last, int):
        raise OptionError(
            "page_token is of another list; give next_page_token of the page before", field="page_token"
        )
    return size, -1 if last is None else last


def page_token(last: Any) -> str:
    """What names the place behind the last of a page."""
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def next_token(page: Sequence[Job | Upload], size: int) -> str:
    """For the page behind; "" where this one is not full."""
    return page_token([page[-1].created_at, page[-1].id]) if len(page) == size else ""


def upload_message(upload: Upload) -> uploads_pb2.Upload:
    """A file that is kept."""
    return uploads_pb2.Upload(
        id=upload.id,
        name=upload.name,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        create_time=_timestamp(upload.created_at),
    )


def batch_job_message(job: Job, options: JobsOptions) -> batch_pb2.BatchJob:
    """A batch job."""
    return batch_pb2.BatchJob(
        id=job.id,
        request_id=job.request_id,
        state=_STATES[job.state],
        model=job.spec["model"],
        num_recordings=job.counts.total,
        num_succeeded=job.counts.succeeded,
        num_failed=job.counts.failed,
        audio_duration=_duration(job.audio_s),
        **_instants(job, options),
    )


def create_batch_response(
    job: Job, reports: Iterable[PhraseReport], options: JobsOptions
) -> batch_pb2.CreateBatchJobResponse:
    """The job that is kept now."""
    return batch_pb2.CreateBatchJobResponse(
        job=batch_job_message(job, options), phrases=convert_phrases.report_messages(reports)
    )


def results_response(results: Sequence[PartResult], size: int) -> batch_pb2.ListBatchResultsResponse:
    """A page of results, cut where it would be too large for a client."""
    response = batch_pb2.ListBatchResultsResponse()
    num_bytes = 0
    for result in results:
        message = _result(result)
        num_bytes += message.ByteSize()
        if response.results and num_bytes > MAX_RESULTS_BYTES:
            break
        response.results.append(message)
    if len(response.results) < len(results) or len(results) == size:
        response.next_page_token = page_token(response.results[-1].index)
    return response


def adaptation_job_message(
    job: Job, outcome: Document | None, options: JobsOptions, *, whole: bool = True
) -> adaptation_pb2.AdaptationJob:
    """An adaptation job; ``whole`` with points and notes."""
    progress = job.progress
    message = adaptation_pb2.AdaptationJob(
        id=job.id,
        request_id=job.request_id,
        state=_STATES[job.state],
        base_model=job.spec["base"],
        name=job.spec["name"],
        notes=progress.get("notes", ()) if whole else (),
        **_instants(job, options),
    )
    if stage := progress.get("stage"):
        message.stage.name, message.stage.done = stage["stage"], stage["done"]
        message.stage.total, message.stage.note = stage["total"], stage["note"]
    for point in progress.get("points", ()) if whole else ():
        message.points.append(adaptation_pb2.AdaptationPoint(step=point["step"], values=point["values"]))
    if outcome is not None:
        message.outcome.CopyFrom(_outcome(outcome))
    return message


def _outcome(outcome: Document) -> adaptation_pb2.AdaptationOutcome:
    passed = models_pb2.GATE_VERDICT_PASSED if outcome["gate_passed"] else models_pb2.GATE_VERDICT_REFUSED
    return adaptation_pb2.AdaptationOutcome(
        reference=outcome["reference"],
        gate_verdict=passed,
        gate_reason=outcome["gate_reason"],
        checks=[adaptation_pb2.AdaptationCheck(**check) for check in outcome["checks"]],
        promoted_alias=outcome["promoted_alias"],
        metrics=outcome["metrics"],
    )


def _result(result: PartResult) -> batch_pb2.BatchResult:
    message = batch_pb2.BatchResult(recording_id=result.name, index=result.index)
    if result.failure is not None:
        message.error.CopyFrom(_error(result.failure))
    if result.document is not None:
        message.transcript.duration.CopyFrom(_duration(result.document["duration_s"]))
        message.transcript.segments.extend(_segment(one) for one in result.document["segments"])
    return message


def _segment(segment: Document) -> batch_pb2.TranscriptSegment:
    words = [
        batch_pb2.TranscriptWord(
            text=text, start=_duration(start_s), end=_duration(end_s), confidence=confidence
        )
        for text, start_s, end_s, confidence in segment["words"]
    ]
    return batch_pb2.TranscriptSegment(
        text=segment["text"],
        start=_duration(segment["start_s"]),
        end=_duration(segment["end_s"]),
        words=words,
        confidence=segment["confidence"],
        channel=segment["channel"],
    )


def _error(failure: Failure) -> jobs_pb2.JobError:
    return jobs_pb2.JobError(reason=failure.reason, message=failure.message)


def _instants(job: Job, options: JobsOptions) -> dict[str, Any]:
    """When it was created, begun and over, when it will go, and why it failed; unset what is not so."""
    expires = None if job.ended_at is None else job.ended_at + options.result_days * DAY_S
    times = {
        "create_time": job.created_at,
        "start_time": job.started_at,
        "end_time": job.ended_at,
        "expire_time": expires,
    }
    found: dict[str, Any] = {name: _timestamp(moment) for name, moment in times.items() if moment is not None}
    return found | ({"error": _error(job.failure)} if job.failure else {})


def _request_id(request_id: str) -> str:
    if not 1 <= len(request_id) <= MAX_REQUEST_ID or "\0" in request_id:
        raise OptionError(
            f"request_id has {len(request_id)} characters; make one up of 1 to {MAX_REQUEST_ID}, such as a UUID, and "
            "send it again with the same request",
            field="request_id",
        )
    return request_id


def _timestamp(moment_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(moment_s * 1e6) * 1000)
    return stamp


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
