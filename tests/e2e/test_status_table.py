"""Every row of the table of statuses on the wire: code, reason, the field to blame, and when to come back.

``test_bad_input.py`` has more of what is invalid; a bug of ours, which no client can cause, is in
``tests/server/test_status_boundary.py``.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from asr.client import LagPolicy, StreamConfig
from asr.client.wire import config_request
from asr.registry import Registry
from asr.v1 import (
    batch_pb2,
    batch_pb2_grpc,
    corrections_pb2,
    corrections_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    speech_pb2,
    speech_pb2_grpc,
    uploads_pb2,
    uploads_pb2_grpc,
)
from server.app import Application
from server.config import ServerConfig
from server.jobs.options import JobsOptions
from server.limits import Limits
from training.import_command import copy_version
from training.publish import Run, publish

Requests = Iterator[speech_pb2.StreamingRecognizeRequest]
Metadata = tuple[tuple[str, str], ...]
CODE = grpc.StatusCode
LIMITS = Limits(max_streams=1, first_message_s=0.3, idle_s=1.0, max_stream_s=2.5, max_queued_s=2.0)
SECOND = bytes(32_000)  # of silence


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, of which clients know the addresses, and its tokens if it asks for them."""

    address: str
    admin_address: str
    wait_for: Callable[[Callable[[], bool]], None]
    num_active: Callable[[], int]
    drain: Callable[[], None]
    tokens: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One situation and its status; ``field`` of BadRequest, ``retries`` for RetryInfo."""

    cause: Callable[[Server], None]
    code: grpc.StatusCode
    reason: str
    field: str = ""
    retries: bool = False


def audio(payload: bytes) -> speech_pb2.StreamingRecognizeRequest:
    return speech_pb2.StreamingRecognizeRequest(audio=payload)


def configured(**changes: Any) -> speech_pb2.StreamingRecognizeRequest:
    return config_request(StreamConfig(**changes))


def without_rate() -> speech_pb2.StreamingRecognizeRequest:
    request = configured()
    request.config.audio.sample_rate_hz = 0
    return request


def with_channels(number: int) -> speech_pb2.StreamingRecognizeRequest:
    request = configured()
    request.config.audio.channel_count = number
    return request


def streaming(address: str, requests: Requests, metadata: Metadata = ()) -> None:
    """Stream to the end; what it says is for who needs more than the status."""
    with grpc.insecure_channel(address) as channel:
        list(speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(requests, metadata=metadata))


def sends(*requests: speech_pb2.StreamingRecognizeRequest) -> Callable[[Server], None]:
    """A stream of these messages and no more."""
    return lambda server: streaming(server.address, iter(requests))


def says(*requests: speech_pb2.StreamingRecognizeRequest, every_s: float) -> Callable[[Server], None]:
    """A stream of these messages, and of the last again and again until the server has ended it; nothing if 0."""

    def cause(server: Server) -> None:
        over = threading.Event()

        def endless() -> Requests:
            yield from requests
            while not over.wait(every_s or 30):
                yield requests[-1]

        with grpc.insecure_channel(server.address) as channel:
            call = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(endless())
            call.add_done_callback(lambda _: over.set())
            list(call)

    return cause


@contextmanager
def held(server: Server, token: str = "") -> Iterator[grpc.Channel]:
    """A block in which a stream of another client is open."""
    over = threading.Event()

    def silent() -> Requests:
        yield configured()
        over.wait(30)

    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(server.address) as channel:
        call = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(silent(), metadata=metadata)
        assert next(call).HasField("ready")
        try:
            yield channel
        finally:
            call.cancel()
            over.set()


def while_another_streams(server: Server) -> None:
    with held(server):
        streaming(server.address, iter([configured()]))


def unloads_what_is_in_use(server: Server) -> None:
    with held(server), grpc.insecure_channel(server.admin_address) as channel:
        models_pb2_grpc.ModelsStub(channel).UnloadModel(models_pb2.UnloadModelRequest(model="tiny.en"))


def loads_what_is_broken(server: Server) -> None:
    with grpc.insecure_channel(server.admin_address) as channel:
        models_pb2_grpc.ModelsStub(channel).LoadModel(models_pb2.LoadModelRequest(model="broken@1"))


def once_it_drains(server: Server) -> None:
    over, draining = threading.Event(), threading.Thread(target=server.drain)

    def requests() -> Requests:
        yield configured()
        draining.start()
        over.wait(30)

    with grpc.insecure_channel(server.address) as channel:
        call = speech_pb2_grpc.SpeechStub(channel).StreamingRecognize(requests())
        call.add_done_callback(lambda _: over.set())
        try:
            list(call)
        finally:
            draining.join()


def as_tenant(name: str, model: str = "tiny.en") -> Callable[[Server], None]:
    def cause(server: Server) -> None:
        token = server.tokens.get(name, name)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        streaming(server.address, iter([configured(model=model)]), metadata)

    return cause


def while_its_tenant_streams(server: Server) -> None:
    with held(server, server.tokens["clinic"]):
        as_tenant("clinic")(server)


def row(
    cause: Callable[[Server], None],
    code: grpc.StatusCode,
    reason: str,
    field: str = "",
    *,
    retries: bool = False,
) -> Row:
    return Row(cause=cause, code=code, reason=reason, field=field, retries=retries)


def sends_file(
    *contents: bytes, size_bytes: int, waits: bool = False, tenant: str = ""
) -> Callable[[Server], None]:
    """An upload of these bytes, said to be so many; ``waits`` sends them and then nothing more."""

    def cause(server: Server) -> None:
        over = threading.Event()

        def requests() -> Iterator[uploads_pb2.UploadFileRequest]:
            spec = uploads_pb2.UploadSpec(name="a.wav", size_bytes=size_bytes)
            yield uploads_pb2.UploadFileRequest(spec=spec)
            yield from (uploads_pb2.UploadFileRequest(content=one) for one in contents)
            if waits:
                over.wait(30)

        with grpc.insecure_channel(server.address) as channel:
            stub = uploads_pb2_grpc.UploadsStub(channel)
            call = stub.UploadFile.future(requests(), metadata=bearer(server, tenant))
            call.add_done_callback(lambda _: over.set())
            call.result()

    return cause


def bearer(server: Server, tenant: str) -> Metadata:
    return (("authorization", f"Bearer {server.tokens[tenant]}"),) if tenant else ()


def sends_a_file_for_ever(server: Server) -> None:
    over = threading.Event()

    def requests() -> Iterator[uploads_pb2.UploadFileRequest]:
        yield uploads_pb2.UploadFileRequest(spec=uploads_pb2.UploadSpec(name="a.wav", size_bytes=1 << 20))
        while not over.wait(0.1):  # a slow line
            yield uploads_pb2.UploadFileRequest(content=b"1")

    with grpc.insecure_channel(server.address) as channel:
        call = uploads_pb2_grpc.UploadsStub(channel).UploadFile.future(requests())
        call.add_done_callback(lambda _: over.set())
        call.result()


def sends_file_while_another_is_sent(server: Server, tenant: str = "") -> None:
    begun, over = threading.Event(), threading.Event()

    def requests() -> Iterator[uploads_pb2.UploadFileRequest]:
        yield uploads_pb2.UploadFileRequest(spec=uploads_pb2.UploadSpec(name="a.wav", size_bytes=1))
        begun.set()
        over.wait(30)

    with grpc.insecure_channel(server.address) as channel:
        stub = uploads_pb2_grpc.UploadsStub(channel)
        call = stub.UploadFile.future(requests(), metadata=bearer(server, tenant))
        try:
            while True:  # until the first has its place
                assert begun.wait(10)
                sends_file(b"1", size_bytes=1, tenant=tenant)(server)
        finally:
            call.cancel()
            over.set()


def has_done(*names: str, upload_id: str = "") -> Callable[[Server], None]:
    """Batch jobs of these request_ids, one after the other, of a file under a root or an upload."""

    def cause(server: Server) -> None:
        file = uploads_pb2.InputFile(root_file=uploads_pb2.RootFile(root="here", path="call.wav"))
        if upload_id:
            file = uploads_pb2.InputFile(upload_id=upload_id)
        with grpc.insecure_channel(server.address) as channel:
            for number, name in enumerate(names):
                recording = batch_pb2.BatchRecording(id=str(number), file=file)
                asked = batch_pb2.CreateBatchJobRequest(request_id=name, recordings=[recording])
                batch_pb2_grpc.BatchStub(channel).CreateBatchJob(asked)

    return cause


def looks_for_a_job(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        batch_pb2_grpc.BatchStub(channel).GetBatchJob(batch_pb2.GetBatchJobRequest(id="none"))


def hears_what_is_not_there(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        request = corrections_pb2.GetCandidateAudioRequest(id="f" * 32)
        list(corrections_pb2_grpc.CorrectionsStub(channel).GetCandidateAudio(request))


def corrects(text: str) -> Callable[[Server], None]:
    """A correction of a candidate that is not there."""

    def cause(server: Server) -> None:
        with grpc.insecure_channel(server.address) as channel:
            request = corrections_pb2.CorrectCandidateRequest(id="f" * 32, text=text)
            corrections_pb2_grpc.CorrectionsStub(channel).CorrectCandidate(request)

    return cause


def deletes_no_candidate(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        request = corrections_pb2.DeleteCandidatesRequest()
        corrections_pb2_grpc.CorrectionsStub(channel).DeleteCandidates(request)


def deletes_what_a_job_needs(server: Server) -> None:
    requests = [
        uploads_pb2.UploadFileRequest(spec=uploads_pb2.UploadSpec(name="a.wav", size_bytes=1)),
        uploads_pb2.UploadFileRequest(content=b"1"),
    ]
    with grpc.insecure_channel(server.address) as channel:
        uploads = uploads_pb2_grpc.UploadsStub(channel)
        upload_id = uploads.UploadFile(iter(requests)).upload.id
        has_done("needs it", upload_id=upload_id)(server)
        uploads.DeleteUpload(uploads_pb2.DeleteUploadRequest(id=upload_id))


INVALID, ABORTED, EXHAUSTED = CODE.INVALID_ARGUMENT, CODE.ABORTED, CODE.RESOURCE_EXHAUSTED
FLOOD = says(configured(lag_policy=LagPolicy.SHED), audio(SECOND * 20), every_s=0.01)
OPEN = {
    "config missing": row(sends(audio(SECOND)), INVALID, "INVALID_INPUT", "config"),
    "config late": row(says(every_s=0), INVALID, "INVALID_INPUT", "config"),
    "config second": row(sends(configured(), configured()), INVALID, "INVALID_INPUT", "config"),
    "odd byte count": row(sends(configured(), audio(b"123")), INVALID, "INVALID_AUDIO", "audio"),
    "rate missing": row(sends(without_rate()), INVALID, "INVALID_INPUT", "config.audio.sample_rate_hz"),
    "limit exceeded": row(sends(configured(), audio(bytes(2 << 20))), INVALID, "INVALID_INPUT", "audio"),
    "wrong channel count": row(
        sends(with_channels(9)), INVALID, "INVALID_INPUT", "config.audio.channel_count"
    ),
    "unknown model": row(sends(configured(model="tiny.eng")), CODE.NOT_FOUND, "NOT_FOUND"),
    "unknown version": row(sends(configured(model="broken@9")), CODE.NOT_FOUND, "NOT_FOUND"),
    "language lacking": row(
        sends(configured(language="de")), INVALID, "INVALID_INPUT", "config.language_code"
    ),
    "model failed to load": row(
        sends(configured(model="broken@1")), CODE.FAILED_PRECONDITION, "MODEL_FAILED"
    ),
    "model failed to load ahead": row(loads_what_is_broken, CODE.FAILED_PRECONDITION, "MODEL_FAILED"),
    "unload while in use": row(unloads_what_is_in_use, CODE.FAILED_PRECONDITION, "MODEL_IN_USE"),
    "slots": row(while_another_streams, EXHAUSTED, "STREAM_SLOTS", retries=True),
    "shed for lag": row(FLOOD, EXHAUSTED, "LAG", retries=True),
    "idle": row(says(configured(), every_s=0), ABORTED, "IDLE"),
    "max duration": row(says(configured(), audio(bytes(3200)), every_s=0.1), ABORTED, "MAX_DURATION"),
    "upload too long": row(sends_file(b"12", size_bytes=1), INVALID, "INVALID_INPUT"),
    "upload too short": row(sends_file(b"1", size_bytes=2), INVALID, "INVALID_INPUT"),
    "upload idle": row(sends_file(b"1", size_bytes=2, waits=True), ABORTED, "IDLE"),
    "upload too slow": row(sends_a_file_for_ever, ABORTED, "MAX_DURATION"),
    "upload too large": row(
        sends_file(size_bytes=(1 << 20) + 1), INVALID, "INVALID_INPUT", "spec.size_bytes"
    ),
    "too many uploads": row(sends_file_while_another_is_sent, EXHAUSTED, "UPLOADS", retries=True),
    "unknown job": row(looks_for_a_job, CODE.NOT_FOUND, "JOB_NOT_FOUND"),
    "unknown upload": row(has_done("x", upload_id="none"), CODE.NOT_FOUND, "UPLOAD_NOT_FOUND"),
    "unknown candidate": row(hears_what_is_not_there, CODE.NOT_FOUND, "CANDIDATE_NOT_FOUND"),
    "too long a correction": row(corrects("x" * 4001), INVALID, "INVALID_INPUT", "text"),
    "nothing to delete": row(deletes_no_candidate, INVALID, "INVALID_INPUT", "ids"),
    "another job of one request": row(has_done("one", "one"), CODE.ALREADY_EXISTS, "ALREADY_EXISTS"),
    "delete while in use": row(deletes_what_a_job_needs, CODE.FAILED_PRECONDITION, "UPLOAD_IN_USE"),
    "too many jobs": row(has_done("two", "three"), EXHAUSTED, "TENANT_QUOTA", retries=True),
    "draining": row(
        once_it_drains, CODE.UNAVAILABLE, "DRAINING", retries=True
    ),  # the last: it ends the server
}
TENANTED = {
    "no key": row(as_tenant(""), CODE.UNAUTHENTICATED, "TOKEN_MISSING"),
    "bad key": row(as_tenant("lexi_bad"), CODE.UNAUTHENTICATED, "TOKEN_UNKNOWN"),
    "expired key": row(as_tenant("expired"), CODE.UNAUTHENTICATED, "TOKEN_EXPIRED"),
    "another tenant's model": row(as_tenant("shop"), CODE.PERMISSION_DENIED, "NOT_PERMITTED"),
    "tenant's uploads": row(
        lambda server: sends_file_while_another_is_sent(server, "clinic"),
        EXHAUSTED,
        "TENANT_QUOTA",
        retries=True,
    ),
    "tenant quota": row(while_its_tenant_streams, EXHAUSTED, "TENANT_QUOTA", retries=True),
}


@pytest.fixture(scope="module")
def broken_version(
    small_whisper: Path, lexitune_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A registered version whose weights were changed after they were published."""
    registry, others = Registry.open(), set(lexitune_home.rglob("*.safetensors"))
    folder = copy_version(small_whisper, tmp_path_factory.mktemp("broken") / "1")
    card = {"name": "broken", "base": "bundled:tiny.en", "gate": {"passed": True}}
    assert publish(registry, "broken", folder, card, Run(name="test")) == "1"
    weights = set(lexitune_home.rglob("*.safetensors")) - others
    assert weights
    for path in weights:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"\0\1")


def _server(running: Any, tokens: dict[str, str]) -> Server:
    return Server(
        address=running.address,
        admin_address=running.application.admin_address,
        wait_for=running.wait_for,
        num_active=lambda: running.application.num_active,
        drain=lambda: running.run(running.application.drain()),
        tokens=tokens,
    )


@pytest.fixture(scope="module")
def open_server(
    running_server: Any, broken_version: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "call.wav").write_bytes(b"no audio, which nobody looks at")
    jobs = JobsOptions(
        database=f"sqlite:///{folder / 'jobs.db'}",
        folder=str(folder / "files"),
        roots={"here": str(folder)},
        max_file_mb=1,
        max_uploads=1,
        max_upload_s=2,
        max_open_jobs=2,
    )
    config = ServerConfig(
        address="127.0.0.1:0",
        admin_address="127.0.0.1:0",
        decode_workers=1,
        limits=LIMITS,
        drain_grace_s=0.2,
        jobs=jobs,
    )
    with running_server(config) as running:
        yield _server(running, {})


@pytest.fixture(scope="module")
def tenanted_server(
    running_server: Any, tenants_writer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    quotas = 'models = ["tiny.en"]\n[tenants.clinic.quotas]\nmax_streams = 1'
    tokens = tenants_writer(path, {"clinic": quotas, "shop": 'models = ["orders"]'})
    jobs = JobsOptions(
        database=f"sqlite:///{path.parent / 'jobs.db'}", folder=str(path.parent), max_tenant_uploads=1
    )
    config = ServerConfig(address="127.0.0.1:0", decode_workers=1, tenants=str(path), jobs=jobs)
    with running_server(config) as running:
        yield _server(running, tokens)


def check(row: Row, error: grpc.RpcError) -> None:
    """The whole status is the row's."""
    call: Any = error
    assert call.code() is row.code, call.details()
    assert len(call.details()) > 20
    info, blamed = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    unpacked = [
        next(kind for kind in (info, blamed, retry) if detail.Unpack(kind))
        for detail in rpc_status.from_call(call).details
    ]
    assert (info.reason, info.domain) == (row.reason, "lexitune")
    assert [violation.field for violation in blamed.field_violations] == ([row.field] if row.field else [])
    assert (retry in unpacked and retry.retry_delay.ToMilliseconds() > 0) == row.retries


@pytest.mark.parametrize("name", OPEN)
def test_each_situation_has_its_status(open_server: Server, name: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        OPEN[name].cause(open_server)
    check(OPEN[name], caught.value)
    open_server.wait_for(lambda: open_server.num_active() == 0)


@pytest.mark.parametrize("name", TENANTED)
def test_each_situation_of_tenants_has_its_status(tenanted_server: Server, name: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        TENANTED[name].cause(tenanted_server)
    check(TENANTED[name], caught.value)
    tenanted_server.wait_for(lambda: tenanted_server.num_active() == 0)


async def test_a_server_that_loads_its_models_is_unavailable_for_now() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    application = Application(ServerConfig(address=address, decode_workers=1))
    starting = asyncio.create_task(application.start())
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = speech_pb2_grpc.SpeechStub(channel)
            request = speech_pb2.RecognizeRequest(config=configured().config)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Recognize(request, wait_for_ready=True, timeout=30)
            await starting
            assert not (await stub.Recognize(request)).results
    finally:
        await application.stop()
    check(row(lambda _: None, CODE.UNAVAILABLE, "LOADING", retries=True), caught.value)
