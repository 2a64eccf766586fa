"""Admission: at the start or refused at once, and no slot is ever lost."""

from __future__ import annotations

import pytest

from asr.errors import LimitError, UnavailableError
from server.limits import Admission, Limits, ServingState


def test_slots_are_counted_and_given_back_on_any_way_out() -> None:
    admission = Admission(Limits(max_streams=1))
    admission.state = ServingState.SERVING
    with pytest.raises(ZeroDivisionError), admission.slot():
        assert admission.num_active == 1
        with pytest.raises(LimitError, match="0 of 1 slots are free") as caught, admission.slot():
            pass
        assert caught.value.reason == "STREAM_SLOTS"
        raise ZeroDivisionError
    assert admission.num_active == 0


@pytest.mark.parametrize("state", [ServingState.LOADING, ServingState.DRAINING])
def test_a_server_that_does_not_serve_refuses(state: ServingState) -> None:
    admission = Admission(Limits())
    admission.state = state
    with pytest.raises(UnavailableError) as caught, admission.slot():
        pass
    assert caught.value.reason == state.name


def test_further_legs_take_slots_and_give_them_back() -> None:
    admission = Admission(Limits(max_streams=3))
    admission.state = ServingState.SERVING
    with admission.slot():
        with admission.further(2):
            assert admission.num_active == 3
        with (
            pytest.raises(LimitError, match="2 of 3 slots are free, and 3 are asked for"),
            admission.further(3),
        ):
            pass
        assert admission.num_active == 1
    assert admission.num_active == 0
