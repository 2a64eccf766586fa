"""What a tenant that consents says is kept, corrected, exported and deleted on a real server; of others nothing is."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from asr.audio.files import read_audio_bytes, write_audio
from asr.audio.pcm import Encoding, encode_pcm
from asr.cli.review import Speaker
from asr.client import (
    AsyncCorrectionsClient,
    Candidate,
    CandidateState,
    CorrectionsClient,
    Credentials,
    Ready,
    SpeechClient,
    StreamConfig,
)
from asr.data.manifest import load_samples, read_manifest
from asr.errors import CandidateNotFoundError, OptionError
from asr.models.base import Samples
from asr.riva.v1 import riva_pb2
from asr.v1 import corrections_pb2, corrections_pb2_grpc
from server.candidates.options import CandidatesOptions
from server.candidates.records import NewCandidate
from server.cli import app
from server.config import ServerConfig
from server.jobs.options import JobsOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "corrections.md"
CONSENTS = 'models = ["*"]\nkeep_candidates = true'


class Served:
    """A server with three tenants, of which one does not consent, and where it keeps what it keeps."""

    def __init__(self, running: Any, tokens: dict[str, str], folder: Path) -> None:
        self.running, self.folder = running, folder
        self._tokens = tokens

    def credentials(self, tenant: str) -> Credentials:
        return Credentials(token=self._tokens[tenant])

    def corrections(self, tenant: str = "clinic") -> CorrectionsClient:
        return CorrectionsClient(self.running.address, self.credentials(tenant), patience_s=0)

    def speech(self, tenant: str = "clinic") -> SpeechClient:
        return SpeechClient(self.running.address, self.credentials(tenant))

    def num_kept(self) -> int:
        text = generate_latest(self.running.application.registry).decode()
        (number,) = re.findall(r'lexitune_candidates_total\{outcome="kept"\} (\d+)', text)
        return int(number)

    def wait_for_kept(self, before: int, more: int) -> None:
        self.running.wait_for(lambda: self.num_kept() == before + more)


@pytest.fixture(scope="module")
def served(
    running_server: Any, tenants_writer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("corrections")
    tenants = {"clinic": CONSENTS, "bank": CONSENTS, "shop": 'models = ["*"]'}
    tokens = tenants_writer(folder / "tenants.toml", tenants)
    config = ServerConfig(
        address="127.0.0.1:0",
        decode_workers=1,
        tenants=str(folder / "tenants.toml"),
        jobs=JobsOptions(database=f"sqlite:///{folder / 'jobs.db'}", folder=str(folder / "files")),
        candidates=CandidatesOptions(below_confidence=1.0),  # every final
    )
    with running_server(config) as running:
        yield Served(running, tokens, folder)


@pytest.fixture
def candidates(served: Served, spoken: dict[str, Samples]) -> Iterator[list[Candidate]]:
    """Three candidates of one session, as a stream's finals become some; all deleted at the end."""
    store = served.running.application.installation.get().candidates
    for confidence, (text, samples) in zip((0.3, 0.1, 0.2), spoken.items(), strict=True):
        new = NewCandidate(
            tenant="clinic",
            session="one call",
            model="models:/orders/3",
            text=text,
            confidence=confidence,
            duration_s=len(samples) / 16_000,
        )
        store.keep(new, samples)
    with served.corrections() as corrections:
        yield list(corrections.candidates())
        corrections.delete_all()


def test_unsure_finals_are_kept_with_their_audio_as_they_were_heard(
    served: Served, spoken: dict[str, Samples]
) -> None:
    before = served.num_kept()
    first, second, third = spoken.values()
    pause = np.zeros(24_000, np.float32)
    with served.speech() as speech, served.corrections() as corrections, served.speech("shop") as other:
        updates = list(speech.stream([first, pause, second, pause], StreamConfig(language="en")))
        assert isinstance(updates[0].event, Ready) and updates[0].event.keeps_candidates
        assert speech.recognize(third).keeps_candidates
        served.wait_for_kept(before, 3)
        kept = list(corrections.candidates())
        assert [one.confidence for one in kept] == sorted(one.confidence for one in kept)
        assert {one.model for one in kept} == {"bundled:tiny.en"}
        assert {one.state for one in kept} == {CandidateState.WAITING}
        by_word = {one.text.split()[0]: one for one in kept}
        assert by_word.keys() == {text.split()[0] for text in spoken}
        streamed, also, recognized = (by_word[text.split()[0]] for text in spoken)
        assert streamed.session == also.session != recognized.session
        assert (streamed.language, recognized.language) == ("en", "")
        for one in kept:
            heard = read_audio_bytes(corrections.audio(one.id), "a.flac")
            assert len(heard) / 16_000 == pytest.approx(one.duration_s, abs=0.001)
            assert other.recognize(heard).text == one.text
        corrections.delete_all()


def test_a_tenant_that_does_not_consent_leaves_nothing(served: Served, spoken: dict[str, Samples]) -> None:
    before = served.num_kept()
    with served.speech("shop") as speech, served.corrections("shop") as corrections:
        samples = next(iter(spoken.values()))
        done = speech.recognize(samples)
        (ready, *_rest) = speech.stream([samples])
        assert done.text and not done.keeps_candidates
        assert isinstance(ready.event, Ready) and not ready.event.keeps_candidates
        assert list(corrections.candidates()) == []
    assert served.num_kept() == before


@pytest.mark.parametrize(("tenant", "number"), [("clinic", 1), ("shop", 0)])
def test_calls_by_rivas_protocol_are_kept_alike_and_told_of_it(
    served: Served, spoken: dict[str, Samples], tenant: str, number: int
) -> None:
    before = served.num_kept()
    config = riva_pb2.RecognitionConfig(encoding=riva_pb2.AUDIO_ENCODING_LINEAR_PCM, sample_rate_hertz=16_000)
    audio = encode_pcm(next(iter(spoken.values())), Encoding.LINEAR16)
    request = riva_pb2.RecognizeRequest(config=config, audio=audio)
    with grpc.insecure_channel(served.running.address) as channel:
        method = channel.unary_unary(
            "/nvidia.riva.asr.RivaSpeechRecognition/Recognize",
            riva_pb2.RecognizeRequest.SerializeToString,
            riva_pb2.RecognizeResponse.FromString,
        )
        answer, call = method.with_call(request, metadata=served.credentials(tenant).metadata)
    assert answer.results
    assert ("lexitune-keeps-candidates", "true") in call.trailing_metadata() or not number
    assert "lexitune-keeps-candidates" not in dict(call.trailing_metadata()) or number
    served.wait_for_kept(before, number)
    with served.corrections(tenant) as corrections:
        assert corrections.delete_all() == number


def test_corrections_are_kept_and_each_tenants_own(served: Served, candidates: list[Candidate]) -> None:
    lowest, middle, highest = candidates
    with served.corrections() as corrections, served.corrections("bank") as bank:
        corrected = corrections.correct(lowest.id, "  what was\n said ", reviewer="ann")
        assert (corrected.state, corrected.correction) == (CandidateState.CORRECTED, "what was said")
        assert corrected.reviewer == "ann" and corrected.reviewed_at is not None
        assert corrections.correct(middle.id, "").correction == ""
        assert corrections.reject(highest.id).correction is None
        assert list(corrections.candidates(CandidateState.WAITING)) == []
        assert [one.id for one in corrections.candidates(CandidateState.CORRECTED)] == [lowest.id, middle.id]
        assert [one.id for one in corrections.candidates(CandidateState.REJECTED)] == [highest.id]
        assert list(bank.candidates()) == []
        for ask in (bank.audio, bank.reject, lambda one: bank.correct(one, "x")):
            with pytest.raises(CandidateNotFoundError):
                ask(lowest.id)
        assert bank.delete([lowest.id]) == bank.delete_all() == 0
        with pytest.raises(OptionError, match="4001 characters"):
            corrections.correct(lowest.id, "x" * 4001)
        assert len(corrections.audio(lowest.id)) > 1000


def test_deleted_means_gone(served: Served, candidates: list[Candidate], caplog: Any) -> None:
    words = candidates[0].text

    def kept() -> bytes:
        paths = [one for one in served.folder.rglob("*") if one.is_file()]
        return b"".join(one.name.encode() + one.read_bytes() for one in sorted(paths))

    assert words.encode() in kept()
    with served.corrections() as corrections:
        corrections.correct(candidates[0].id, f"indeed {words}")
        assert corrections.delete([candidates[0].id, "f" * 32]) == 1
        assert words.encode() not in kept() and candidates[0].id.encode() not in kept()
        assert corrections.delete([candidates[0].id]) == 0
        assert corrections.delete_all() == 2
    assert not list(served.folder.rglob("*.flac"))
    assert all(one.text.encode() not in kept() for one in candidates)
    assert words not in caplog.text


def test_pages_hold_all(served: Served, candidates: list[Candidate]) -> None:
    metadata = served.credentials("clinic").metadata
    with grpc.insecure_channel(served.running.address) as channel:
        stub = corrections_pb2_grpc.CorrectionsStub(channel)
        request = corrections_pb2.ListCandidatesRequest(page_size=1)
        seen = list[str]()
        while True:
            response = stub.ListCandidates(request, metadata=metadata)
            seen += [one.id for one in response.candidates]
            if not response.next_page_token:
                break
            request.page_token = response.next_page_token
        assert seen == [one.id for one in candidates]
        for token in ("none", "WzEsMl0="):
            request.page_token = token
            with pytest.raises(grpc.RpcError) as refused:
                stub.ListCandidates(request, metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_async_client_is_the_same(served: Served, candidates: list[Candidate]) -> None:
    credentials = served.credentials("clinic")
    async with AsyncCorrectionsClient(served.running.address, credentials, patience_s=0) as client:
        assert [one async for one in client.candidates()] == candidates
        assert (await client.correct(candidates[0].id, "said")).correction == "said"
        assert (await client.reject(candidates[1].id)).state is CandidateState.REJECTED
        assert (await client.audio(candidates[2].id)).startswith(b"fLaC")
        assert await client.delete([candidates[0].id]) == 1
        assert await client.delete_all() == 2
        with pytest.raises(CandidateNotFoundError):
            await client.audio(candidates[0].id)


@pytest.fixture
def command(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs ``lexitune data`` against the server; exit code, stdout, stderr. No player is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LEXITUNE_TOKEN", served.credentials("clinic").token)

    def run(*arguments: str | Path, answers: str = "") -> tuple[int, str, str]:
        line = ["data", *map(str, arguments), "--server", served.running.address]
        done = CliRunner().invoke(app, line, input=answers)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_a_person_reviews_in_a_terminal(
    served: Served, candidates: list[Candidate], command: Callable[..., tuple[int, str, str]]
) -> None:
    code, shown, told = command("review", "--reviewer", "ann", answers="?\nwhat was [red] said\n\n-\n")
    assert (code, shown.splitlines()[-1]) == (0, "1 corrected, 1 confirmed, 1 rejected")
    assert all(one.text in shown for one in candidates)
    assert told.count("no aplay or ffplay is installed; hear ") == 4
    with served.corrections() as corrections:
        reviewed = list(corrections.candidates())
    assert [one.correction for one in reviewed] == ["what was [red] said", candidates[1].text, None]
    assert {one.reviewer for one in reviewed} == {"ann"}
    assert command("review")[1] == "nothing reviewed\n"


def test_what_is_skipped_or_not_reached_still_waits(
    served: Served, candidates: list[Candidate], command: Callable[..., tuple[int, str, str]]
) -> None:
    assert command("review", answers="s\n.\nq\n")[1].splitlines()[-1] == "1 skipped, 1 without speech"
    assert command("review", "--limit", "1", answers="s\n")[1].splitlines()[-1] == "1 skipped"
    with served.corrections() as corrections:
        waiting = [one.id for one in corrections.candidates(CandidateState.WAITING)]
        assert waiting == [candidates[0].id, candidates[2].id]
        assert [one.correction for one in corrections.candidates(CandidateState.CORRECTED)] == [""]


def test_an_installed_player_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    player = tmp_path / "aplay"
    player.write_text(f'#!/bin/sh\n{shutil.which("cp")} "$2" {tmp_path}/heard.part\n')
    player.write_text(player.read_text() + f"{shutil.which('mv')} {tmp_path}/heard.part {tmp_path}/heard\n")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    write_audio(tmp_path / "a.flac", np.zeros(1600, np.float32))
    with Speaker.open() as speaker:
        path = speaker.write("a", (tmp_path / "a.flac").read_bytes())
        speaker.play(path)
        until = time.monotonic() + 30
        while not (tmp_path / "heard").exists():
            assert time.monotonic() < until
        speaker.stop()
        assert (tmp_path / "heard").read_bytes() == path.read_bytes()
    assert not path.exists()


def test_corrections_become_a_manifest_that_adapt_takes(
    served: Served,
    candidates: list[Candidate],
    command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "export"
    code, _, told = command("export-corrections", "--out", out)
    assert (code, "0 corrections, and 1 are wanted" in told) == (1, True)
    with served.corrections() as corrections:
        for number, one in enumerate(candidates[:2]):
            corrections.correct(one.id, f"Said number {number}.")
        corrections.correct(candidates[2].id, "")
        code, printed, _ = command("export-corrections", "--out", out, "--json")
        document = json.loads(printed)
        assert (code, document["utterances"], document["without_speech"]) == (0, 2, 1)
        manifest = (out / "manifest.jsonl").read_bytes()
        rows = read_manifest(out / "manifest.jsonl")
        assert [row.id for row in rows] == sorted(one.id for one in candidates[:2])
        by_id = {one.id: one for one in candidates}
        for row in rows:
            assert row.text is not None and row.text.startswith("Said number")
            assert (row.session, row.extra["heard"]) == (by_id[row.id].session, by_id[row.id].text)
            assert len(load_samples(row)) == round(row.duration_s * 16_000)
        assert CliRunner().invoke(app, ["data", "validate", str(out / "manifest.jsonl")]).exit_code == 0
        assert command("export-corrections", "--out", out)[0] == 0
        assert (out / "manifest.jsonl").read_bytes() == manifest  # the same again
        (out / "audio" / "notes.flac").write_bytes(b"not ours")
        corrections.delete([rows[0].id])
    document = json.loads(command("export-corrections", "--out", out, "--json")[1])
    assert (document["utterances"], document["removed"]) == (1, 1)
    kept = sorted(path.name for path in (out / "audio").iterdir())
    assert kept == sorted([f"{rows[1].id}.flac", "notes.flac"])
    assert command("export-corrections", "--out", out, "--at-least", "2")[0] == 1


def test_the_example_of_the_documentation(served: Served, candidates: list[Candidate]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"ADDRESS": served.running.address, "CREDENTIALS": served.credentials("clinic")}
    exec(compile(code.replace('"localhost:50051"', "ADDRESS, CREDENTIALS"), str(PAGE), "exec"), names)
    with served.corrections() as corrections:
        corrected = [one.correction for one in corrections.candidates(CandidateState.CORRECTED)]
    assert corrected == ["what was said"] * len(candidates)
