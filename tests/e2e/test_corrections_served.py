"""What a tenant that consents says is kept, corrected, exported and deleted on a real server; of others nothing is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from asr.audio.files import read_audio_bytes
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
from asr.errors import CandidateNotFoundError, OptionError
from asr.models.base import Samples
from server.candidates.options import CandidatesOptions
from server.config import ServerConfig
from server.jobs.options import JobsOptions

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
    """Two candidates of one stream, one of a recording; all deleted at the end."""
    before = served.num_kept()
    first, second, third = spoken.values()
    pause = np.zeros(24_000, np.float32)
    with served.speech() as speech, served.corrections() as corrections:
        updates = list(speech.stream([first, pause, second, pause], StreamConfig(language="en")))
        assert isinstance(updates[0].event, Ready) and updates[0].event.keeps_candidates
        assert speech.recognize(third).keeps_candidates
        served.wait_for_kept(before, 3)
        yield list(corrections.candidates())
        corrections.delete_all()


def test_unsure_finals_are_kept_with_their_audio_as_they_were_heard(
    served: Served, candidates: list[Candidate], spoken: dict[str, Samples]
) -> None:
    assert [one.confidence for one in candidates] == sorted(one.confidence for one in candidates)
    said = {text.split()[0]: text for text in spoken}
    assert sorted(one.text.split()[0] for one in candidates) == sorted(said)
    assert {one.model for one in candidates} == {"bundled:tiny.en"}
    assert {one.state for one in candidates} == {CandidateState.WAITING}
    sessions = {one.text.split()[0]: one.session for one in candidates}
    first, second, third = (sessions[word] for word in said)
    assert first == second != third
    assert sorted(one.language for one in candidates) == ["", "en", "en"]
    with served.corrections() as corrections, served.speech("shop") as speech:
        for one in candidates:
            heard = read_audio_bytes(corrections.audio(one.id), "a.flac")
            assert len(heard) / 16_000 == pytest.approx(one.duration_s, abs=0.001)
            assert speech.recognize(heard).text == one.text


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
    import grpc

    from asr.v1 import corrections_pb2, corrections_pb2_grpc

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
