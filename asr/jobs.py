"""What servers and clients both know of jobs: where one is in its life."""

from __future__ import annotations

import enum

FILES = ("text", "terms", "templates")
"""What an adaptation may be given as a file, by the names of fields and of the command's options."""
MANIFESTS = ("train", "dev", "test", "general")
"""Likewise, as a manifest with its recordings."""


class JobState(enum.StrEnum):
    """Where a job is: from QUEUED to RUNNING, from both to one of the others, where it stays."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether it stays as it is."""
        return self not in OPEN


OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})
