"""A job's life by its counts: over exactly when all parts are done, and never otherwise again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.jobs.states import OPEN, Counts, JobState, begun, cancelled, settled

states = st.sampled_from(JobState)
counts = st.integers(1, 5).flatmap(
    lambda total: st.integers(0, total).flatmap(
        lambda succeeded: st.builds(
            Counts,
            total=st.just(total),
            succeeded=st.just(succeeded),
            failed=st.integers(0, total - succeeded),
        )
    )
)


@given(states, counts)
def test_what_is_over_stays_as_it_is(state: JobState, numbers: Counts) -> None:
    if state.is_over:
        assert {begun(state), settled(state, numbers), cancelled(state)} == {state}
    else:
        assert begun(state) is JobState.RUNNING
        assert cancelled(state) is JobState.CANCELLED


@given(st.sampled_from(sorted(OPEN)), counts)
def test_a_job_is_over_when_all_parts_are_done(state: JobState, numbers: Counts) -> None:
    assert settled(state, numbers).is_over == (numbers.succeeded + numbers.failed == numbers.total)


@pytest.mark.parametrize(
    ("succeeded", "failed", "state"),
    [(2, 0, JobState.SUCCEEDED), (1, 1, JobState.PARTIAL), (0, 2, JobState.FAILED), (1, 0, JobState.RUNNING)],
)
def test_how_it_ends(succeeded: int, failed: int, state: JobState) -> None:
    assert settled(JobState.RUNNING, Counts(total=2, succeeded=succeeded, failed=failed)) is state
