"""Batch jobs on a real server with a real worker: sent, watched, read, cancelled, deleted, each tenant's its own."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.audio.files import write_audio
from asr.client import (
    AsyncJobsClient,
    BatchJob,
    Credentials,
    FileOnServer,
    JobsClient,
    JobState,
    Phrase,
    RecordingOnServer,
    Vocabulary,
)
from asr.errors import (
    AlreadyExistsError,
    JobNotFoundError,
    LimitError,
    NotPermittedError,
    OptionError,
    UploadInUseError,
    UploadNotFoundError,
)
from asr.models.base import Samples
from asr.recognizer import Recognizer
from server.config import ServerConfig
from server.jobs.installation import Installation
from server.jobs.options import JobsOptions
from server.worker_command import Kind, make_worker

JOBS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
TENANTS = {
    "clinic": 'models = ["*"]\nroots = ["calls"]\n[tenants.clinic.quotas]\nmax_jobs = 2\nmax_stored_mb = 1',
    "shop": 'models = ["orders"]\n',
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, spoken: dict[str, Samples]) -> Path:
    """A folder that the operator allows, with a way out of it."""
    folder = tmp_path_factory.mktemp("calls")
    for index, samples in enumerate(spoken.values()):
        write_audio(folder / f"{index}.wav", samples)
    outside = tmp_path_factory.mktemp("outside")
    write_audio(outside / "secret.wav", next(iter(spoken.values())))
    (folder / "link.wav").symlink_to(outside / "secret.wav")
    (folder / "folder").symlink_to(outside)
    return folder


@pytest.fixture(scope="module")
def config(
    tmp_path_factory: pytest.TempPathFactory, tenants_writer: Any, calls: Path
) -> tuple[ServerConfig, dict[str, str]]:
    folder = tmp_path_factory.mktemp("jobs")
    tokens = tenants_writer(folder / "tenants.toml", TENANTS)
    jobs = JobsOptions(
        database=f"sqlite:///{folder / 'jobs.db'}",
        folder=str(folder / "files"),
        roots={"calls": str(calls)},
        max_file_mb=2,
        max_recordings=5,
        lease_s=2,
    )
    tenants = str(folder / "tenants.toml")
    return ServerConfig(address="127.0.0.1:0", decode_workers=1, tenants=tenants, jobs=jobs), tokens


@pytest.fixture(scope="module")
def tenants(
    running_server: Any, config: tuple[ServerConfig, dict[str, str]]
) -> Iterator[Callable[[str], JobsClient]]:
    """A server; its client of a tenant."""
    with running_server(config[0]) as server:
        yield lambda tenant: JobsClient(server.address, Credentials(token=config[1][tenant]), patience_s=0)


@pytest.fixture
def clinic(tenants: Callable[[str], JobsClient]) -> Iterator[JobsClient]:
    """Without jobs and files, before and after."""
    with tenants("clinic") as client:
        yield client
        for job in client.batch_jobs():
            client.delete_batch_job(job.id)
        for upload in client.uploads():
            client.delete_upload(upload.id)


@pytest.fixture
def shop(tenants: Callable[[str], JobsClient]) -> Iterator[JobsClient]:
    with tenants("shop") as client:
        yield client


@pytest.fixture(scope="module")
def worker(config: tuple[ServerConfig, dict[str, str]]) -> Iterator[None]:
    """A worker, as ``lexitune worker`` makes it."""
    installation = Installation.open(config[0].jobs)
    made = make_worker(
        replace(config[0], jobs=replace(config[0].jobs, worker_threads=2)), installation, Kind.BATCH
    )
    made.start()
    yield
    made.stop(10)
    installation.database.close()


def _call(name: str) -> FileOnServer:
    return FileOnServer(root="calls", path=name)


def _wav(samples: Samples, folder: Path, name: str = "call.wav") -> Path:
    write_audio(folder / name, samples)
    return folder / name


def _ended(client: JobsClient, job: BatchJob) -> BatchJob:
    return list(client.watch_batch_job(job.id))[-1]


def test_recordings_come_back_as_the_command_transcribes_them(
    clinic: JobsClient, worker: None, spoken: dict[str, Samples], tmp_path: Path
) -> None:
    first, second, *_ = spoken.values()
    broken = clinic.upload(b"no audio, not by far", name="broken.wav")
    files = [clinic.upload(_wav(first, tmp_path)), broken]
    job = clinic.create_batch_job(
        [RecordingOnServer(file=FileOnServer(upload_id=one.id), id=one.name) for one in files]
        + [RecordingOnServer(file=_call("1.wav"), id="under a root")],
        model="tiny.en",
    )
    assert (job.state, job.num_recordings, job.model) == (JobState.QUEUED, 3, "bundled:tiny.en")
    seen = list(clinic.watch_batch_job(job.id))
    over = seen[-1]
    assert [one.state for one in seen[1:-1]] == [JobState.RUNNING] * (len(seen) - 2)
    assert (over.state, over.num_succeeded, over.num_failed) == (JobState.PARTIAL, 2, 1)
    assert over.ended_at is not None and over.expires_at is not None and over.fault is None
    call, bad, root = clinic.batch_results(job.id)
    recognizer = Recognizer.load("bundled:tiny.en")
    for result, samples in ((call, first), (root, second)):
        expected = recognizer.transcribe(samples)
        assert [one.text for one in result.channels] == [expected.text] and expected.text
        assert [word.text for word in result.channels[0].words] == [word.text for word in expected.words]
        assert result.channels[0].words[0].start_s == pytest.approx(expected.words[0].start_s)
    assert over.audio_s == pytest.approx((len(first) + len(second)) / 16_000, abs=0.01)
    assert bad.fault is not None and bad.fault.reason == "INVALID_AUDIO" and bad.recording_id == "broken.wav"
    assert "/" not in bad.fault.message  # a path on the server


def test_phrases_and_legs_are_heard_in_jobs_too(
    clinic: JobsClient, worker: None, drug_audio: dict[str, Samples], tmp_path: Path
) -> None:
    import soundfile

    mono = drug_audio["apixaban"]
    legs = np.stack([np.zeros_like(mono), mono], axis=1)
    soundfile.write(tmp_path / "call.wav", legs, 16_000)
    upload = clinic.upload(tmp_path / "call.wav")
    job = clinic.create_batch_job(
        [FileOnServer(upload_id=upload.id)],
        separate_channels=True,
        vocabulary=Vocabulary(phrases=(Phrase(text="apixaban"),)),
    )
    assert _ended(clinic, job).state is JobState.SUCCEEDED
    (result,) = clinic.batch_results(job.id)
    assert [("apixaban" in one.text) for one in result.channels] == [False, True]
    assert result.channels[0].text == ""


def test_a_request_that_is_sent_again_is_the_same_job(clinic: JobsClient) -> None:
    name = uuid.uuid4().hex
    first = clinic.create_batch_job([_call("0.wav")], request_id=name)
    assert clinic.create_batch_job([_call("0.wav")], request_id=name).id == first.id
    with pytest.raises(AlreadyExistsError, match="asked for otherwise"):
        clinic.create_batch_job([_call("1.wav")], request_id=name)


def test_a_request_is_the_same_job_when_its_recordings_are_gone(
    clinic: JobsClient, calls: Path, spoken: dict[str, Samples], tmp_path: Path
) -> None:
    name = uuid.uuid4().hex
    write_audio(calls / "for a while.wav", next(iter(spoken.values())))
    upload = clinic.upload(_wav(next(iter(spoken.values())), tmp_path))
    files = [FileOnServer(upload_id=upload.id), _call("for a while.wav")]
    first = clinic.create_batch_job(files, request_id=name)
    clinic.cancel_batch_job(first.id)
    clinic.delete_upload(upload.id)
    (calls / "for a while.wav").unlink()
    assert clinic.create_batch_job(files, request_id=name).id == first.id
    with pytest.raises(AlreadyExistsError, match="asked for otherwise"):
        clinic.create_batch_job(files[1:], request_id=name)


def test_what_is_asked_wrongly_keeps_nothing(clinic: JobsClient) -> None:
    wrong: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
        "recordings": (lambda: clinic.create_batch_job([]), OptionError),
        "at most|1 to 5": (lambda: clinic.create_batch_job([_call("0.wav")] * 6), OptionError),
        "each id once": (
            lambda: clinic.create_batch_job([RecordingOnServer(file=_call("0.wav"), id="1")] * 2),
            OptionError,
        ),
        "request_id": (lambda: clinic.create_batch_job([_call("0.wav")], request_id="x" * 129), OptionError),
        "no upload": (
            lambda: clinic.create_batch_job([FileOnServer(upload_id="f" * 32)]),
            UploadNotFoundError,
        ),
    }
    for message, (ask, kind) in wrong.items():
        with pytest.raises(kind, match=message):
            ask()
    assert list(clinic.batch_jobs()) == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../outside/secret.wav",
        "link.wav",
        "folder/secret.wav",
        "none.wav",
        ".",
        "a\0b",
        "folder",
    ],
)
def test_no_path_leads_out_of_a_root_or_tells_of_what_is_there(clinic: JobsClient, path: str) -> None:
    with pytest.raises(OptionError, match=r"not allowed|no file .* is under this root, or it leads outside"):
        clinic.create_batch_job([_call(path)])


def test_roots_and_models_are_those_of_the_tenant(clinic: JobsClient, shop: JobsClient) -> None:
    for root in ("calls", "none"):  # there or not: the answer is the same
        with pytest.raises(NotPermittedError, match=f"the root '{root}'.* not among this tenant's"):
            shop.create_batch_job([FileOnServer(root=root, path="0.wav")])
    with pytest.raises(NotPermittedError, match="not among this tenant's"):
        shop.create_batch_job([FileOnServer(upload_id="x")], model="tiny.en")
    with pytest.raises(NotPermittedError, match="publishes"):
        from asr.client import Adaptation

        shop.create_adaptation_job(Adaptation(name="orders"))


def test_another_tenants_jobs_and_files_are_none(clinic: JobsClient, shop: JobsClient) -> None:
    upload = clinic.upload(b"bytes", name="a.wav")
    job = clinic.create_batch_job([FileOnServer(upload_id=upload.id)])
    for ask in (
        shop.batch_job,
        shop.cancel_batch_job,
        shop.delete_batch_job,
        lambda one: list(shop.watch_batch_job(one)),
        lambda one: list(shop.batch_results(one)),
        shop.adaptation_job,
    ):
        with pytest.raises(JobNotFoundError):
            ask(job.id)
    with pytest.raises(UploadNotFoundError):
        shop.delete_upload(upload.id)
    assert list(shop.batch_jobs()) == [] and list(shop.uploads()) == []
    assert clinic.batch_job(job.id).state is not JobState.CANCELLED


def test_quotas_are_the_tenants(clinic: JobsClient) -> None:
    for _ in range(2):
        clinic.create_batch_job([_call("0.wav")])
    with pytest.raises(
        LimitError, match="2 jobs of this tenant are not over, and 2 are the limit"
    ) as refused:
        clinic.create_batch_job([_call("0.wav")])
    assert refused.value.reason == "TENANT_QUOTA"
    clinic.upload(bytes(1 << 19), name="half.wav")
    with pytest.raises(LimitError, match="over the tenant's 1048576") as refused:
        clinic.upload(bytes((1 << 19) + 1), name="more.wav")
    assert refused.value.reason == "TENANT_QUOTA"
    with pytest.raises(OptionError, match="are the limit"):
        clinic.upload(bytes((2 << 20) + 1), name="large.wav")
    assert [one.name for one in clinic.uploads()] == ["half.wav"]


def test_a_cancelled_job_is_over_and_a_deleted_one_leaves_nothing(
    clinic: JobsClient, config: tuple[ServerConfig, dict[str, str]]
) -> None:
    uploads = [clinic.upload(b"bytes", name=f"{index}.wav") for index in range(3)]
    job = clinic.create_batch_job([FileOnServer(upload_id=one.id) for one in uploads])
    with pytest.raises(UploadInUseError, match=f"job {job.id} is not over"):
        clinic.delete_upload(uploads[0].id)
    cancelled = clinic.cancel_batch_job(job.id)
    assert cancelled.state is JobState.CANCELLED
    assert clinic.cancel_batch_job(job.id) == cancelled
    assert list(clinic.watch_batch_job(job.id)) == [cancelled]
    folder = Path(config[0].jobs.folder) / "uploads"
    kept = len(list(folder.iterdir()))
    clinic.delete_batch_job(job.id)
    assert list(clinic.uploads()) == []
    assert len(list(folder.iterdir())) == kept - 3
    with pytest.raises(JobNotFoundError):
        clinic.batch_job(job.id)


@pytest.mark.parametrize("block", [0, 1], ids=["blocking", "asyncio"])
def test_the_examples_of_the_documentation(
    clinic: JobsClient,
    worker: None,
    config: tuple[ServerConfig, dict[str, str]],
    calls: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    (tmp_path / "calls").symlink_to(calls)
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", JOBS_PAGE.read_text(), re.DOTALL)[block]
    credentials = Credentials(token=config[1]["clinic"])
    code = code.replace('"localhost:50051"', "ADDRESS, CREDENTIALS").replace(
        'glob("*.wav")', 'glob("[0-2].wav")'
    )
    printed: list[tuple[Any, ...]] = []
    names = {"ADDRESS": clinic.address, "CREDENTIALS": credentials, "print": lambda *one: printed.append(one)}
    exec(compile(code, str(JOBS_PAGE), "exec"), names)
    assert any(JobState.SUCCEEDED in one for one in printed)
    assert "aspirin" in str(printed[-1]) or "aspirin" in str(printed[-3])


async def test_the_async_client_is_the_same(
    worker: None,
    running_server: Any,
    config: tuple[ServerConfig, dict[str, str]],
    tenants: Callable[[str], JobsClient],
    clinic: JobsClient,
    spoken: dict[str, Samples],
    tmp_path: Path,
) -> None:
    credentials = Credentials(token=config[1]["clinic"])
    async with AsyncJobsClient(clinic.address, credentials, patience_s=0) as client:
        upload = await client.upload(_wav(next(iter(spoken.values())), tmp_path))
        assert [one.id async for one in client.uploads()] == [upload.id]
        job = await client.create_batch_job([FileOnServer(upload_id=upload.id), _call("0.wav")])
        seen = [one async for one in client.watch_batch_job(job.id)]
        assert seen[-1].state is JobState.SUCCEEDED
        results = [one async for one in client.batch_results(job.id)]
        assert [one.recording_id for one in results] == ["0", "1"]
        assert results[0].text == results[1].text != ""
        assert [one.id async for one in client.batch_jobs()] == [job.id]
        assert await client.batch_job(job.id) == await client.cancel_batch_job(job.id) == seen[-1]
        await client.delete_batch_job(job.id)
        with pytest.raises(UploadNotFoundError):
            await client.delete_upload(upload.id)
        with pytest.raises(JobNotFoundError):
            await client.adaptation_job(job.id)
