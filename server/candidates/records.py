"""Candidates as plain values. No ``repr`` shows what was said."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.candidates import CandidateState


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCandidate:
    """A final that may be kept.

    Attributes:
        tenant: whose call it was.
        session: of the call.
        model: immutable reference of the version that heard it.
        text: what it heard.
        confidence: of the text, in [0, 1].
        duration_s: of the audio.
        language: as the call said it; "" if it did not.
    """

    tenant: str
    session: str
    model: str
    text: str = field(repr=False)
    confidence: float
    duration_s: float
    language: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A final that is kept; what a person said of it is None until somebody has. Instants are s since 1970."""

    id: str
    tenant: str
    session: str
    model: str
    text: str = field(repr=False)
    confidence: float
    duration_s: float
    language: str
    state: CandidateState
    created_at: float
    correction: str | None = field(default=None, repr=False)
    reviewed_at: float | None = None
    reviewer: str = ""
