"""Adaptation by RPC: a manifest is sent, a worker trains, the version is promoted, an open server serves it.

Killed, a training is begun again; where a worker died behind the publication, nothing is published twice.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from asr.client import Adaptation, FileOnServer, JobsClient, JobState, SpeechClient, StreamConfig
from asr.data.manifest import Utterance, write_manifest
from asr.errors import ManifestError, ModelNotFoundError, OptionError
from asr.registry import Registry, read_card
from server.config import ServerConfig
from server.jobs.adaptation_work import AdaptationWork
from server.jobs.installation import Installation
from server.jobs.leases import Leases
from server.jobs.options import JobsOptions
from server.jobs.states import JobKind
from server.worker_command import Kind, make_worker

JOBS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
CONFIG = """\
[training]
epochs = 1
batch_size = 8
evaluations_per_epoch = 1
[split]
general_sentences = 4
dev_share = 0.3
[gate]
general_points = 10.0
"""  # whoever adapts a model of one domain wants nothing else of it; with the usual 0.3 its language model is taken out


@pytest.fixture(scope="module", autouse=True)
def lexitune_home(lexitune_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of this file's own: other files' models are none of its."""
    home = tmp_path_factory.mktemp("adaptation-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEXITUNE_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def config(small_ctc: Path, lexitune_home: Path) -> ServerConfig:
    jobs = JobsOptions(lease_s=5)
    return ServerConfig(address="127.0.0.1:0", decode_workers=1, models=(str(small_ctc),), jobs=jobs)


@pytest.fixture(scope="module")
def server(running_server: Any, config: ServerConfig) -> Iterator[Any]:
    with running_server(config) as running:
        yield running


@pytest.fixture
def client(server: Any) -> Iterator[JobsClient]:
    with JobsClient(server.address, patience_s=0) as connected:
        yield connected


@pytest.fixture
def manifest(domain_utterances: list[Utterance], tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    write_manifest(path, domain_utterances)
    return path


@pytest.fixture
def sentences(small_ctc: Path) -> bytes:
    return "\n".join((small_ctc / "heldout.txt").read_text().splitlines()[:44]).encode()


@pytest.fixture
def installation(config: ServerConfig) -> Iterator[Installation]:
    opened = Installation.open(config.jobs)
    yield opened
    opened.database.close()


def _trainings() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "training.job_program" in " ".join(one.cmdline())]


def _begun() -> list[psutil.Process]:
    """The training, once there is one."""
    end_s = time.monotonic() + 30
    while not (found := _trainings()):
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return found


def test_from_an_uploaded_manifest_to_a_promoted_version_that_an_open_server_serves(
    client: JobsClient,
    server: Any,
    config: ServerConfig,
    installation: Installation,
    manifest: Path,
    sentences: bytes,
    domain_speech: dict[str, Any],
    lexitune_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the example of the documentation."""
    (tmp_path / "sentences.txt").write_bytes(sentences)
    (tmp_path / "job.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", JOBS_PAGE.read_text(), re.DOTALL)[2]
    printed: list[tuple[Any, ...]] = []
    names = {"print": lambda *one: printed.append(one)}
    worker = make_worker(config, installation, Kind.ADAPTATION)
    worker.start()
    exec(compile(code.replace("localhost:50051", server.address), str(JOBS_PAGE), "exec"), names)
    worker.stop(10)
    (job,) = client.adaptation_jobs()
    over = client.adaptation_job(job.id)
    assert over.fault is None
    assert (over.state, over.started_at is not None) == (JobState.SUCCEEDED, True)
    assert {stage.name for _, stage, _ in printed[:-1] if stage} >= {"training"}
    assert printed[-1] == (over.outcome,)
    assert [point.step for point in over.points] == sorted({point.step for point in over.points})
    assert over.points[0].step == 0 and "dev_wer" in over.points[-1].values
    outcome = over.outcome
    assert outcome is not None and outcome.gate_passed, outcome
    assert (outcome.reference, outcome.promoted_alias) == ("models:/counter/1", "production")
    assert outcome.metrics["adapted.dev.wer"] < outcome.metrics["base.dev.wer"]
    assert {check.name for check in outcome.checks} >= {"domain", "general", "export"}
    assert [version.version for version in Registry.open().get_model("counter").versions] == ["1"]
    assert list((lexitune_home / "jobs" / "adaptations").iterdir()) == []
    card = read_card(Registry.open().resolve("models:/counter/1").path)
    assert (card["spec"]["text"], card["spec"]["train"]) == ("text", "train")
    for told in (json.dumps(card), *over.notes):
        assert str(lexitune_home) not in told
    with SpeechClient(server.address) as speech:
        recognition = speech.recognize(
            next(iter(domain_speech.values())), StreamConfig(model="counter@production")
        )
    assert (recognition.model.version, bool(recognition.text)) == ("1", True)
    _published_once(client, installation, job.id)


def _published_once(client: JobsClient, installation: Installation, job_id: str) -> None:
    """A worker that died between publication and commit: the next one finds the version, and trains nothing."""
    from server.jobs.worker import Held

    first = installation.store.get("", JobKind.ADAPTATION, job_id)
    leases = Leases(installation.database, lease_s=60, max_attempts=5)
    asked = replace(_as_new(first), request_id="again")
    again = installation.store.create(asked, max_open=9)
    lease = leases.claim([JobKind.ADAPTATION])
    assert lease is not None and lease.job_id == again.id
    work = AdaptationWork(installation.inputs, leases, installation.folder, installation.options)
    held = Held(lease=replace(lease, job_id=job_id), deadline_s=float("inf"))
    document, _ = work(held)
    assert (document["reference"], document["promoted_alias"]) == ("models:/counter/1", "production")
    assert [version.version for version in Registry.open().get_model("counter").versions] == ["1"]
    client.cancel_adaptation_job(again.id)


def _as_new(job: Any) -> Any:
    from server.jobs.records import NewJob, NewPart

    return NewJob(
        tenant=job.tenant,
        kind=job.kind,
        request_id=job.request_id,
        payload_sha256="0" * 64,
        spec=job.spec,
        parts=(NewPart(name="counter", document={}),),
    )


def test_a_training_that_is_killed_is_begun_again_and_one_that_is_cancelled_ends(
    client: JobsClient, config: ServerConfig, installation: Installation, sentences: bytes
) -> None:
    text = FileOnServer(upload_id=client.upload(sentences, name="text.txt").id)
    job = client.create_adaptation_job(
        Adaptation(name="never", base="small-ctc", text=text, config_toml=CONFIG)
    )
    worker = make_worker(
        replace(config, jobs=replace(config.jobs, lease_s=0.5)), installation, Kind.ADAPTATION
    )
    worker.start()
    states, killed = [], set[int]()
    for now in client.watch_adaptation_job(job.id):
        states.append(now.state)
        if now.state is JobState.RUNNING and not killed:
            (first,) = _begun()
            killed.add(first.pid)
            os.killpg(first.pid, signal.SIGKILL)
        elif now.stage and not now.state.is_over:
            (second,) = _trainings()
            assert second.pid not in killed
            assert client.cancel_adaptation_job(job.id).state is JobState.CANCELLED
    assert (len(killed), states[-1]) == (1, JobState.CANCELLED)
    worker.stop(10)
    assert _trainings() == []
    client.delete_adaptation_job(job.id)
    assert text.upload_id not in {one.id for one in client.uploads()}


def test_an_adaptation_that_is_deleted_while_it_runs_leaves_nothing(
    client: JobsClient,
    config: ServerConfig,
    installation: Installation,
    sentences: bytes,
    lexitune_home: Path,
) -> None:
    text = FileOnServer(upload_id=client.upload(sentences, name="text.txt").id)
    job = client.create_adaptation_job(
        Adaptation(name="never", base="small-ctc", text=text, config_toml=CONFIG)
    )
    worker = make_worker(
        replace(config, jobs=replace(config.jobs, lease_s=0.5)), installation, Kind.ADAPTATION
    )
    worker.start()
    folder = lexitune_home / "jobs" / "adaptations" / job.id
    next(one for one in client.watch_adaptation_job(job.id) if one.stage)
    assert folder.exists()
    client.delete_adaptation_job(job.id)
    worker.stop(10)
    assert _trainings() == [] and not folder.exists()


def test_a_training_that_takes_too_much_fails_and_says_so(
    client: JobsClient, config: ServerConfig, installation: Installation, sentences: bytes
) -> None:
    text = FileOnServer(upload_id=client.upload(sentences, name="text.txt").id)
    limits = {"MACHINE": {"max_training_memory_mb": 256}, "TIME_LIMIT": {"max_training_s": 1}}
    for reason, limit in limits.items():
        job = client.create_adaptation_job(Adaptation(name="never", base="small-ctc", text=text))
        jobs = replace(config.jobs, **limit)
        worker = make_worker(replace(config, jobs=jobs), installation, Kind.ADAPTATION)
        worker.start()
        over = list(client.watch_adaptation_job(job.id))[-1]
        worker.stop(10)
        assert over.state is JobState.FAILED and over.fault is not None
        assert over.fault.reason == reason, over.fault


def test_what_cannot_be_adapted_is_refused_at_once(
    client: JobsClient, manifest: Path, sentences: bytes
) -> None:
    text = FileOnServer(upload_id=client.upload(sentences, name="text.txt").id)
    sent = client.upload_manifest(manifest)
    missing = replace(sent, audio={})
    wrong: dict[str, tuple[Adaptation, type[Exception]]] = {
        "audio_upload_ids does not": (Adaptation(name="x", train=missing), OptionError),
        "unknown option training.epoch": (
            Adaptation(name="x", text=text, config_toml="[training]\nepoch = 1"),
            OptionError,
        ),
        "is not TOML": (Adaptation(name="x", text=text, config_toml="epochs"), OptionError),
        "not allowed": (Adaptation(name="a/b", text=text), OptionError),
        "method": (Adaptation(name="x", text=text, method="magic"), OptionError),
        "no model": (Adaptation(name="x", text=text, base="../etc"), ModelNotFoundError),
    }
    for message, (asked, kind) in wrong.items():
        with pytest.raises(kind, match=message):
            client.create_adaptation_job(asked)
    with pytest.raises(ManifestError):
        client.upload_manifest(manifest.parent / "none.jsonl")
    assert all(one.name != "x" for one in client.adaptation_jobs())
