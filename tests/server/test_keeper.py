"""What a stream's finals become: kept with consent and low confidence only, counted, and never in a stream's way."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from asr.results import Hypothesis
from asr.streaming.messages import ModelIdentity, RecognitionResult, StreamConfig
from asr.streaming.session import DecodeRequest
from server.caller import Caller
from server.candidates.keeper import MAX_WAITING, Keeper
from server.candidates.options import CandidatesOptions
from server.candidates.records import NewCandidate
from server.candidates.store import FULL_RETRY_S
from server.jobs.installation import LazyInstallation
from server.jobs.options import JobsOptions
from server.metrics import Metrics

CLINIC, SHOP = Caller(name="clinic", keeps_candidates=True), Caller(name="shop")
MODEL = ModelIdentity(name="orders", version="3", reference="models:/orders/3", sha256="")
WORDS = "xylophone quagmire"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def installation(tmp_path: Path) -> LazyInstallation:
    return LazyInstallation(
        JobsOptions(database=f"sqlite:///{tmp_path / 'jobs.db'}", folder=str(tmp_path / "files")),
        CandidatesOptions(max_per_hour=2),
    )


def _keeper(
    installation: LazyInstallation, registry: CollectorRegistry, clock: Callable[[], float], **options: Any
) -> Keeper:
    return Keeper(installation, CandidatesOptions(**options), Metrics(registry), clock=clock)


def _offer(keeper: Keeper, caller: Caller, *, confidence: float = 0.2, text: str = WORDS) -> bool:
    """Whether there was consent."""
    keep = keeper.of(caller, MODEL, StreamConfig(language="en"))
    if keep is None:
        return False
    samples = np.zeros(1600, np.float32)
    request = DecodeRequest(utterance_id=1, samples=samples, start_s=2.0, end_s=2.1, is_final=True)
    result = RecognitionResult(
        utterance_id=1,
        is_final=True,
        stability=1.0,
        start_s=2.0,
        end_s=2.1,
        alternatives=(Hypothesis(text=text, confidence=confidence),),
    )
    keep(request, result)
    return True


def _counts(registry: CollectorRegistry) -> dict[str, float]:
    names = ("kept", "quota", "busy", "failed")
    found = {
        name: registry.get_sample_value("lexitune_candidates_total", {"outcome": name}) for name in names
    }
    return {name: number for name, number in found.items() if number}


async def test_only_the_unsure_words_of_who_has_consented_are_kept(
    installation: LazyInstallation, registry: CollectorRegistry
) -> None:
    keeper = _keeper(installation, registry, Clock())
    assert not _offer(keeper, SHOP)
    assert _offer(keeper, CLINIC, confidence=0.6) and _offer(keeper, CLINIC, text="")
    assert _offer(keeper, CLINIC, confidence=0.59)
    await keeper.close()
    (kept,) = installation.get().candidates.page("clinic", limit=9)
    assert (kept.model, kept.text, kept.confidence, kept.language) == (MODEL.reference, WORDS, 0.59, "en")
    assert kept.duration_s == pytest.approx(0.1)
    assert _counts(registry) == {"kept": 1}
    installation.close()


async def test_without_tenants_the_server_says_whether(
    installation: LazyInstallation, registry: CollectorRegistry
) -> None:
    keeper = _keeper(installation, registry, Clock(), enabled=True)
    assert keeper.has_consent(Caller()) and _offer(keeper, Caller())
    await keeper.close()
    assert len(installation.get().candidates.page("", limit=9)) == 1
    installation.close()


async def test_who_has_no_room_is_asked_for_nothing_for_a_while(
    installation: LazyInstallation, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    keeper = _keeper(installation, registry, clock)

    async def counted(**expected: float) -> None:
        async with asyncio.timeout(30):
            while _counts(registry) != expected:  # noqa: ASYNC110  # the keeper's thread has no event for it
                await asyncio.sleep(0.005)

    for _ in range(3):
        _offer(keeper, CLINIC)
    await counted(kept=2, quota=1)
    store = installation.get().candidates
    store.delete_all("clinic")  # there is room, but nobody looks
    _offer(keeper, CLINIC)
    assert _counts(registry) == {"kept": 2, "quota": 2}
    clock.now_s += FULL_RETRY_S + 1
    _offer(keeper, CLINIC)
    await counted(kept=3, quota=2)
    await keeper.close()
    _offer(keeper, CLINIC)  # a stream that is still being ended
    assert _counts(registry) == {"kept": 3, "quota": 2, "busy": 1}
    assert "candidates.max_per_hour" in caplog.text and WORDS not in caplog.text
    installation.close()


async def test_a_disk_that_is_slow_or_gone_costs_candidates_and_nothing_else(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    class Broken(LazyInstallation):
        def get(self) -> Any:
            go_on.wait()
            raise ValueError(WORDS)

    keeper = _keeper(Broken(JobsOptions()), registry, Clock())
    with caplog.at_level(logging.DEBUG):
        for _ in range(MAX_WAITING + 3):
            _offer(keeper, CLINIC)
        assert _counts(registry) == {"busy": 3}
        go_on.set()
        await keeper.close()
    assert _counts(registry) == {"busy": 3, "failed": MAX_WAITING}
    assert "ValueError" in caplog.text and WORDS not in caplog.text


def test_no_repr_shows_what_was_said() -> None:
    new = NewCandidate(
        tenant="clinic", session="s", model="m", text=WORDS, confidence=0.1, duration_s=1.0, language=""
    )
    assert WORDS not in repr(new)
