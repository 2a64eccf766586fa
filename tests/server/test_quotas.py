"""Laws of quotas: no more calls at once than allowed, no more audio than comes back, and each refusal says until when."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import LimitError
from server.caller import ANYONE, Caller, Quotas
from server.quotas import TenantQuotas


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _caller(name: str = "clinic", **quotas: float) -> Caller:
    return Caller(name=name, quotas=Quotas(**quotas))  # type: ignore[arg-type]


def test_slots_are_each_tenants_own_and_given_back_on_any_way_out() -> None:
    quotas = TenantQuotas()
    caller, other = _caller(max_streams=2), _caller("other", max_streams=1)
    with pytest.raises(ZeroDivisionError), quotas.slots(caller, 2), quotas.slots(other, 1):
        with (
            pytest.raises(LimitError, match="0 of the 2 calls that tenant clinic may have") as refused,
            quotas.slots(caller, 1),
        ):
            pass
        assert (refused.value.reason, refused.value.retry_s) == ("TENANT_QUOTA", 1.0)
        raise ZeroDivisionError
    assert quotas.num_streams("clinic") == quotas.num_streams("other") == 0


def test_without_quotas_nothing_is_refused() -> None:
    quotas = TenantQuotas()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(quotas.slots(ANYONE, 1))
        quotas.take(ANYONE, 1e9)
        assert quotas.charge(ANYONE, 1e9) is None


def test_a_recording_is_counted_whole_or_not_at_all() -> None:
    clock = Clock()
    quotas, caller = TenantQuotas(clock), _caller(max_audio_s=60, audio_period_s=600)
    quotas.take(caller, 50)
    with pytest.raises(LimitError, match=r"20\.0 s of audio, and 10\.0 s of the 60 s in 600 s") as refused:
        quotas.take(caller, 20)
    assert refused.value.retry_s == pytest.approx(100)
    clock.now_s += 100
    quotas.take(caller, 20)
    with pytest.raises(LimitError, match="send it in parts"):
        quotas.take(caller, 61)


def test_a_stream_ends_with_the_audio_that_uses_up_the_quota_and_later_ones_wait() -> None:
    clock = Clock()
    quotas, caller = TenantQuotas(clock), _caller(max_audio_s=10, audio_period_s=100)
    with quotas.slots(caller, 1):
        assert quotas.charge(caller, 9) is None
        ended = quotas.charge(caller, 2)
    assert ended is not None
    assert ended.reason == "TENANT_QUOTA"
    assert ended.retry_s == pytest.approx(20)  # until one second is there
    with pytest.raises(LimitError, match="are used up"), quotas.slots(caller, 1):
        pass
    clock.now_s += ended.retry_s or 0
    with quotas.slots(caller, 1):
        assert quotas.charge(caller, 0.9) is None


def test_a_quota_that_the_file_changes_counts_from_then_on() -> None:
    quotas = TenantQuotas(Clock())
    assert quotas.charge(_caller(), 1e6) is None
    caller = _caller(max_audio_s=10)
    quotas.take(caller, 8)
    quotas.take(_caller(max_audio_s=20), 12)
    with pytest.raises(LimitError):
        quotas.take(_caller(max_audio_s=20), 1)


@given(steps=st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 5)), max_size=60))
def test_no_more_audio_than_the_bucket_and_what_came_back(steps: list[tuple[float, float]]) -> None:
    clock = Clock()
    quotas, caller = TenantQuotas(clock), _caller(max_audio_s=10, audio_period_s=100)
    served_s = 0.0
    for wait_s, audio_s in steps:
        clock.now_s += wait_s
        try:
            quotas.take(caller, audio_s)
        except LimitError:
            continue
        served_s += audio_s
    assert served_s <= 10 + clock.now_s / 10 + 1e-6
