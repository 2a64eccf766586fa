"""What a client of corrections gets: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from asr.candidates import CandidateState


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A final of low confidence that the server keeps with its audio.

    Attributes:
        id: names it.
        model: immutable reference of the version that heard it.
        text: what it heard.
        confidence: of the text, in [0, 1].
        duration_s: of the audio.
        language: as the call said it; "" if it did not.
        session: of the call, the same for all of its candidates.
        state: what became of it.
        created_at: when it was kept.
        expires_at: when it will be deleted.
        correction: what was said, "" if nobody spoke; None unless it is CORRECTED.
        reviewed_at: when it was corrected or rejected.
        reviewer: who says to have done so.
    """

    id: str
    model: str
    text: str = field(repr=False)
    confidence: float
    duration_s: float
    language: str
    session: str
    state: CandidateState
    created_at: datetime
    expires_at: datetime
    correction: str | None = field(default=None, repr=False)
    reviewed_at: datetime | None = None
    reviewer: str = ""
