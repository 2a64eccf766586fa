"""Tenants that wait get equal shares of the workers' time, and phrases are paid by who has them; idling saves nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.biasing.phrases import Phrase, PhraseSet
from asr.errors import LimitError
from asr.models.base import DecodingOptions
from asr.results import Hypothesis
from asr.units import SAMPLE_RATE_HZ
from server.batching import DecodeQueue, DecodeWork, Urgency
from server.turns import Turns

GREEDY = DecodingOptions(beam_size=1)
MODELS = ("flood", "other")


PHRASES = PhraseSet((Phrase(text="omeprazole"),))
COST, COST_WITH_PHRASES = 0.1, 0.3  # of the engine, in seconds for a second of audio


class Engine:
    """A worker that waits until it may go on, then takes its own time and counts the audio of each tenant.

    Its clock, ``now_s``, says what a batch took; the tenant is the first sample.
    """

    def __init__(self, served_s: float) -> None:
        self.now_s = 0.0
        self.go_on = threading.Event()
        self.enough = threading.Event()
        self.order: list[str] = []
        self.seconds = 0.0  # that what was asked for took
        self.served = {"flood": 0.0, "other": 0.0}
        self._left_s = served_s

    def decode(self, batch: Sequence[DecodeWork]) -> list[list[Hypothesis]]:
        assert self.go_on.wait(10)
        assert len({work.group for work in batch}) == len({bool(work.phrases) for work in batch}) == 1
        for work in batch:
            tenant = MODELS[int(work.samples[0])]
            self.order.append(tenant)
            audio_s = len(work.samples) / SAMPLE_RATE_HZ
            self.now_s += audio_s * (COST_WITH_PHRASES if work.phrases else COST)
            if self._left_s > 0:
                self.served[tenant] += audio_s
                self._left_s -= audio_s
        if self._left_s <= 0 and not self.enough.is_set():
            self.seconds = self.now_s
            self.enough.set()
        return [[Hypothesis(text="")] for _ in batch]

    def wait_alive(self) -> None:
        raise AssertionError("it does not die")

    def close(self) -> None:
        self.go_on.set()


def _work(
    tenant: str, audio_s: float = 1.0, model: str = "m", phrases: PhraseSet | None = None
) -> DecodeWork:
    samples = np.broadcast_to(np.float32(MODELS.index(tenant)), int(audio_s * SAMPLE_RATE_HZ))
    return DecodeWork(model=model, samples=samples, options=GREEDY, phrases=phrases)


@pytest.mark.parametrize("same_model", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_flood_leaves_the_other_tenant_its_half(seed: int, same_model: bool) -> None:
    """800 segments against 200, of 0.5 to 20 s, the flood's first: of the audio served while both wait, half each."""
    lengths = np.random.default_rng(seed).uniform(0.5, 20, 1000).tolist()
    engine = Engine(served_s=2500)
    queue = DecodeQueue([engine], max_waiting=1000, clock=lambda: engine.now_s)
    for index, length_s in enumerate(lengths):
        tenant = "flood" if index < 800 else "other"
        model = "m" if same_model else tenant
        queue.submit(_work(tenant, length_s, model), Urgency.FINAL, tenant=tenant)
    engine.go_on.set()
    assert engine.enough.wait(30)
    queue.close()
    ratio = max(engine.served.values()) / min(engine.served.values())
    assert ratio <= 1.2, engine.served


def test_one_that_asks_for_little_is_served_as_if_alone() -> None:
    engine = Engine(served_s=1000)
    queue = DecodeQueue([engine], max_waiting=1000, max_batch=1)
    for _ in range(100):
        queue.submit(_work("flood"), Urgency.FINAL, tenant="flood")
    first = queue.submit(_work("other"), Urgency.FINAL, within_s=99, tenant="other")
    engine.go_on.set()
    first.result(10)
    queue.close()
    assert engine.order.index("other") <= 2  # behind what ran, and at most the turn that was there already


def test_finals_go_before_interims_of_whoever() -> None:
    engine = Engine(served_s=1000)
    queue = DecodeQueue([engine], max_waiting=1000, max_batch=1)
    futures = [queue.submit(_work("flood"), Urgency.FINAL, tenant="flood") for _ in range(4)]
    futures.append(queue.submit(_work("other"), Urgency.INTERIM, tenant="other"))
    engine.go_on.set()
    for future in futures:
        future.result(10)
    queue.close()
    assert engine.order == ["flood"] * 4 + ["other"]


def test_a_full_queue_refuses_who_filled_it_and_not_the_other() -> None:
    engine = Engine(served_s=1000)
    queue = DecodeQueue([engine], max_waiting=10)
    queue.submit(_work("flood"), Urgency.FINAL, tenant="flood")
    for _ in range(40):
        try:
            queue.submit(_work("flood"), Urgency.FINAL, tenant="flood")
        except LimitError:
            break
    with pytest.raises(LimitError, match="10 decodings wait already"):
        queue.submit(_work("flood"), Urgency.FINAL, tenant="flood")
    for _ in range(5):
        queue.submit(_work("other"), Urgency.FINAL, tenant="other")
    with pytest.raises(LimitError):
        queue.submit(_work("other"), Urgency.FINAL, tenant="other")
    engine.go_on.set()
    queue.close()


def _served_without_phrases(num_beside: int, beside: PhraseSet | None, seed: int) -> float:
    """Seconds of audio in a second of the engine's, of six streams without phrases, all of which always wait."""
    engine = Engine(served_s=3000)
    queue = DecodeQueue([engine], max_waiting=3000, max_batch=4, clock=lambda: engine.now_s)
    for index, length_s in enumerate(np.random.default_rng(seed).uniform(0.5, 20, 1200)):
        stream = index % (6 + num_beside)
        work = _work("other", length_s) if stream < 6 else _work("flood", length_s, phrases=beside)
        queue.submit(work, Urgency.FINAL, stream=str(stream))
    engine.go_on.set()
    assert engine.enough.wait(30)
    queue.close()
    return engine.served["other"] / engine.seconds


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_beside", [6, 18])
def test_a_stream_without_phrases_gets_as_much_beside_streams_that_have_some(
    num_beside: int, seed: int
) -> None:
    """Six streams of one tenant beside others whose segments take three times as long, or do not: served as much."""
    rates = [_served_without_phrases(num_beside, beside, seed) for beside in (None, PHRASES)]
    assert rates[1] / rates[0] == pytest.approx(1, abs=0.1), rates


def test_idling_saves_no_credit() -> None:
    turns = Turns()
    for _ in range(100):
        turns.wait("busy")
        turns.begin("busy")
        turns.charge("busy", 1.0)
    turns.wait("late")
    assert turns.clock("busy") - turns.clock("late") <= 1.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 28)), min_size=1, max_size=200))
def test_tenants_that_always_wait_differ_by_one_segment_at_most(work: list[tuple[str, float]]) -> None:
    """Whatever the lengths: with the lowest clock next, two clocks are never further apart than the longest segment."""
    turns, lengths = Turns(), {tenant: [s for one, s in work if one == tenant] or [1.0] for tenant in "abc"}
    for tenant in "abc":
        turns.wait(tenant)
    for number in range(100):
        tenant = min("abc", key=turns.clock)
        turns.begin(tenant)
        turns.charge(tenant, lengths[tenant][number % len(lengths[tenant])])
        clocks = [turns.clock(one) for one in "abc"]
        assert max(clocks) - min(clocks) <= max(s for one in lengths.values() for s in one) + 1e-9
