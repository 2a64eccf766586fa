"""Where jobs and their parts are in their lives: pure rules, no database. A part is a recording, or a whole training."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from asr.jobs import OPEN, JobState

__all__ = ["OPEN", "Counts", "JobKind", "JobState", "PartState", "Trial", "begun", "cancelled", "settled"]


class JobKind(enum.StrEnum):
    """What a job does."""

    BATCH = "batch"
    ADAPTATION = "adaptation"


class PartState(enum.StrEnum):
    """Where a part of a job is."""

    WAITING = "waiting"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Trial(enum.StrEnum):
    """How a part is tried: a worker that died may have been killed by any part that it was at."""

    TOGETHER = "together"
    SUSPECT = "suspect"  # a worker died with it: the next one does it alone
    ALONE = "alone"  # it is being done alone: if the worker dies, that was this part's attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many parts a job has, and how many of them are done for good."""

    total: int
    succeeded: int = 0
    failed: int = 0


def begun(state: JobState) -> JobState:
    """The state of a job of which a part was claimed."""
    return JobState.RUNNING if state is JobState.QUEUED else state


def settled(state: JobState, counts: Counts) -> JobState:
    """The state of a job of which a part was done: over once all of them are."""
    if state.is_over or counts.succeeded + counts.failed < counts.total:
        return state
    if not counts.failed:
        return JobState.SUCCEEDED
    return JobState.PARTIAL if counts.succeeded else JobState.FAILED


def cancelled(state: JobState) -> JobState:
    """The state of a job that is not wanted any more."""
    return state if state.is_over else JobState.CANCELLED
