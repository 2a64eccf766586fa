"""Answers about jobs and uploads, from plain values to messages. A part of ``server.convert``, which see."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from asr.biasing.phrases import PhraseReport
from asr.v1 import adaptation_pb2, batch_pb2, jobs_pb2, models_pb2, uploads_pb2
from server import convert_phrases
from server.convert import duration_message
from server.jobs.options import DAY_S, JobsOptions
from server.jobs.records import Document, Failure, Job, PartResult, ResultsPage, Upload
from server.jobs.states import JobState

MAX_RESULTS_BYTES = 2 << 20  # of a page: clients take 4 MiB
_STATES = {
    JobState.QUEUED: jobs_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: jobs_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: jobs_pb2.JOB_STATE_SUCCEEDED,
    JobState.PARTIAL: jobs_pb2.JOB_STATE_PARTIAL,
    JobState.FAILED: jobs_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: jobs_pb2.JOB_STATE_CANCELLED,
}


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
        create_time=timestamp_message(upload.created_at),
    )


def upload_response(upload: Upload) -> uploads_pb2.UploadFileResponse:
    """The file is kept."""
    return uploads_pb2.UploadFileResponse(upload=upload_message(upload))


def uploads_response(page: Sequence[Upload], size: int) -> uploads_pb2.ListUploadsResponse:
    """A page of files."""
    return uploads_pb2.ListUploadsResponse(
        uploads=map(upload_message, page), next_page_token=next_token(page, size)
    )


def delete_upload_response() -> uploads_pb2.DeleteUploadResponse:
    """The file is deleted."""
    return uploads_pb2.DeleteUploadResponse()


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
        audio_duration=duration_message(job.audio_s),
        **_instants(job, options),
    )


def create_batch_response(
    job: Job, reports: Iterable[PhraseReport], options: JobsOptions
) -> batch_pb2.CreateBatchJobResponse:
    """The job that is kept now."""
    return batch_pb2.CreateBatchJobResponse(
        job=batch_job_message(job, options), phrases=convert_phrases.report_messages(reports)
    )


def get_batch_response(job: Job, options: JobsOptions) -> batch_pb2.GetBatchJobResponse:
    """One job."""
    return batch_pb2.GetBatchJobResponse(job=batch_job_message(job, options))


def list_batch_response(
    page: Sequence[Job], size: int, options: JobsOptions
) -> batch_pb2.ListBatchJobsResponse:
    """A page of jobs."""
    jobs = [batch_job_message(job, options) for job in page]
    return batch_pb2.ListBatchJobsResponse(jobs=jobs, next_page_token=next_token(page, size))


def cancel_batch_response(job: Job, options: JobsOptions) -> batch_pb2.CancelBatchJobResponse:
    """The job is over."""
    return batch_pb2.CancelBatchJobResponse(job=batch_job_message(job, options))


def delete_batch_response() -> batch_pb2.DeleteBatchJobResponse:
    """Nothing is left of the job."""
    return batch_pb2.DeleteBatchJobResponse()


def watch_batch_response(job: Job, options: JobsOptions) -> batch_pb2.WatchBatchJobResponse:
    """The job as it is now."""
    return batch_pb2.WatchBatchJobResponse(job=batch_job_message(job, options))


def results_response(page: ResultsPage) -> batch_pb2.ListBatchResultsResponse:
    """A page of results, cut where it would be too large for a client."""
    response = batch_pb2.ListBatchResultsResponse()
    num_bytes = 0
    for result in page.results:
        message = _result(result)
        num_bytes += message.ByteSize()
        if response.results and num_bytes > MAX_RESULTS_BYTES:
            break
        response.results.append(message)
    if page.results and not (page.is_last and len(response.results) == len(page.results)):
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


def create_adaptation_response(
    job: Job, outcome: Document | None, options: JobsOptions
) -> adaptation_pb2.CreateAdaptationJobResponse:
    """The job that is kept now."""
    return adaptation_pb2.CreateAdaptationJobResponse(job=adaptation_job_message(job, outcome, options))


def get_adaptation_response(
    job: Job, outcome: Document | None, options: JobsOptions
) -> adaptation_pb2.GetAdaptationJobResponse:
    """One job."""
    return adaptation_pb2.GetAdaptationJobResponse(job=adaptation_job_message(job, outcome, options))


def list_adaptation_response(
    page: Sequence[Job], outcomes: Mapping[str, Document], size: int, options: JobsOptions
) -> adaptation_pb2.ListAdaptationJobsResponse:
    """A page of jobs."""
    jobs = [adaptation_job_message(job, outcomes.get(job.id), options, whole=False) for job in page]
    return adaptation_pb2.ListAdaptationJobsResponse(jobs=jobs, next_page_token=next_token(page, size))


def cancel_adaptation_response(
    job: Job, outcome: Document | None, options: JobsOptions
) -> adaptation_pb2.CancelAdaptationJobResponse:
    """The job is over."""
    return adaptation_pb2.CancelAdaptationJobResponse(job=adaptation_job_message(job, outcome, options))


def delete_adaptation_response() -> adaptation_pb2.DeleteAdaptationJobResponse:
    """Nothing is left of the job but what it has published."""
    return adaptation_pb2.DeleteAdaptationJobResponse()


def watch_adaptation_response(
    job: Job, outcome: Document | None, options: JobsOptions
) -> adaptation_pb2.WatchAdaptationJobResponse:
    """The job as it is now."""
    return adaptation_pb2.WatchAdaptationJobResponse(job=adaptation_job_message(job, outcome, options))


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
        message.transcript.duration.CopyFrom(duration_message(result.document["duration_s"]))
        message.transcript.segments.extend(_segment(one) for one in result.document["segments"])
    return message


def _segment(segment: Document) -> batch_pb2.TranscriptSegment:
    words = [
        batch_pb2.TranscriptWord(
            text=text, start=duration_message(start_s), end=duration_message(end_s), confidence=confidence
        )
        for text, start_s, end_s, confidence in segment["words"]
    ]
    return batch_pb2.TranscriptSegment(
        text=segment["text"],
        start=duration_message(segment["start_s"]),
        end=duration_message(segment["end_s"]),
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
    found: dict[str, Any] = {
        name: timestamp_message(moment) for name, moment in times.items() if moment is not None
    }
    return found | ({"error": _error(job.failure)} if job.failure else {})


def timestamp_message(moment_s: float) -> Timestamp:
    """An instant, s since 1970, to the microsecond."""
    stamp = Timestamp()
    stamp.FromNanoseconds(round(moment_s * 1e6) * 1000)
    return stamp
