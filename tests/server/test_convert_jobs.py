"""Jobs at the door: any bytes are a request or an error that blames a field; pages begin where their tokens say."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.client import wire_jobs
from asr.errors import LexituneError, OptionError, ProtocolError
from asr.streaming.messages import Limits
from asr.v1 import adaptation_pb2, batch_pb2, uploads_pb2
from server import convert_job_answers, convert_jobs
from server.jobs.leases import MAX_RESULT_CHARS
from server.jobs.options import JobsOptions
from server.jobs.records import PartResult, ResultsPage
from server.jobs.rows import dumped

OPTIONS = JobsOptions(max_recordings=3)
FILE = uploads_pb2.InputFile(upload_id="one")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error_of_ours(payload: bytes) -> None:
    for kind, read in (
        (batch_pb2.CreateBatchJobRequest, lambda one: convert_jobs.batch_request(one, Limits(), OPTIONS)),
        (adaptation_pb2.CreateAdaptationJobRequest, convert_jobs.adaptation_request),
        (batch_pb2.ListBatchJobsRequest, convert_jobs.newest_first),
        (batch_pb2.ListBatchResultsRequest, convert_jobs.behind_index),
        (uploads_pb2.UploadFileRequest, convert_jobs.upload_spec),
        (uploads_pb2.UploadFileRequest, lambda one: convert_jobs.upload_content(one, 10)),
    ):
        try:
            message: Any = kind.FromString(payload)
        except DecodeError:
            continue
        try:
            read(message)
        except LexituneError as error:
            assert isinstance(error, OptionError | ProtocolError) and error.field


def batch(**changes: Any) -> batch_pb2.CreateBatchJobRequest:
    recordings = changes.pop("recordings", [batch_pb2.BatchRecording(file=FILE)])
    return batch_pb2.CreateBatchJobRequest(request_id="one", recordings=recordings, **changes)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (batch_pb2.CreateBatchJobRequest(recordings=[batch_pb2.BatchRecording(file=FILE)]), "request_id"),
        (batch(recordings=[]), "recordings"),
        (batch(recordings=[batch_pb2.BatchRecording(file=FILE)] * 4), "recordings"),
        (batch(recordings=[batch_pb2.BatchRecording()]), "recordings[0].file"),
        (batch(recordings=[batch_pb2.BatchRecording(id="a\0", file=FILE)]), "recordings[0].id"),
        (
            batch(recordings=[batch_pb2.BatchRecording(id=one, file=FILE) for one in ("1", "")]),
            "recordings[1].id",  # whose id is its number, which the first one has taken
        ),
        (batch(language_code="x" * 41), "language_code"),
    ],
)
def test_a_bad_field_is_blamed_by_its_path(request_: batch_pb2.CreateBatchJobRequest, field: str) -> None:
    with pytest.raises(OptionError) as blamed:
        convert_jobs.batch_request(request_, Limits(), OPTIONS)
    assert blamed.value.field == field


def test_a_repetition_is_known_by_all_that_was_asked_for() -> None:
    same = {convert_jobs.payload_sha256(batch(model="a")) for _ in range(3)}
    others = {convert_jobs.payload_sha256(batch(model=model, separate_channels=True)) for model in "ab"}
    assert len(same) == 1 and len(same | others) == 3


@given(st.floats(allow_nan=False, allow_infinity=False), st.text("0123456789abcdef", min_size=1, max_size=32))
def test_a_token_leads_back_to_where_it_was_made(created_at: float, name: str) -> None:
    token = convert_job_answers.page_token([created_at, name])
    asked = batch_pb2.ListBatchJobsRequest(page_size=7, page_token=token)
    assert convert_jobs.newest_first(asked) == (7, (created_at, name))
    with pytest.raises(OptionError):
        convert_jobs.behind_index(batch_pb2.ListBatchResultsRequest(page_token=token))


@pytest.mark.parametrize(
    "inner", ["", "{}", "[1, 2]", '[1e999, "a"]', '[1.5, "a\\u0000b"]', "-1", "1e3", "9" * 99, "["]
)
def test_a_token_that_is_none_of_ours_is_refused(inner: str) -> None:
    token = base64.urlsafe_b64encode(inner.encode()).decode() or "!"
    for read in (convert_jobs.newest_first, convert_jobs.behind_index):
        with pytest.raises(OptionError) as blamed:
            read(batch_pb2.ListBatchResultsRequest(page_token=token))
        assert blamed.value.field == "page_token"


def test_a_page_of_results_is_cut_where_a_client_could_not_take_it() -> None:
    segment = {
        "text": "x" * (1 << 20),
        "start_s": 0.0,
        "end_s": 1.0,
        "confidence": 1.0,
        "channel": 0,
        "words": [],
    }
    document = {"duration_s": 1.0, "segments": [segment]}
    results = tuple(PartResult(index=number, name=str(number), document=document) for number in range(5))
    page = convert_job_answers.results_response(ResultsPage(results=results, is_last=True))
    assert [one.index for one in page.results] == [0]
    asked = batch_pb2.ListBatchResultsRequest(page_token=page.next_page_token)
    assert convert_jobs.behind_index(asked) == (1000, 0)
    for is_last, token in ((True, ""), (False, convert_job_answers.page_token(4))):
        last = convert_job_answers.results_response(ResultsPage(results=results[4:], is_last=is_last))
        assert last.next_page_token == token


def test_the_clients_take_the_largest_result() -> None:
    words = [["word", 1000.12 + number, 1000.5 + number, 0.987654321] for number in range(20_000)]
    segment = {
        "text": "word " * 20_000,
        "start_s": 0.0,
        "end_s": 1.0,
        "confidence": 1.0,
        "channel": 0,
        "words": words,
    }
    document = {"duration_s": 1.0, "segments": [segment]}
    page = ResultsPage(results=(PartResult(index=0, name="0", document=document),), is_last=True)
    message_bytes = convert_job_answers.results_response(page).ByteSize()
    most = message_bytes / len(dumped(document)) * MAX_RESULT_CHARS
    assert most < dict(wire_jobs.CHANNEL_OPTIONS)["grpc.max_receive_message_length"]
