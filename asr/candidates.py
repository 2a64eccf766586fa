"""What becomes of a result of low confidence that was kept to be corrected; for server and client alike."""

from __future__ import annotations

import enum


class CandidateState(enum.StrEnum):
    """What became of a candidate."""

    WAITING = "waiting"
    CORRECTED = "corrected"
    REJECTED = "rejected"
