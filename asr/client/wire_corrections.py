"""Candidates between plain values and protobuf on the client's side; a part of ``asr.client.wire``, which see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from asr.candidates import CandidateState
from asr.client.candidate_values import Candidate
from asr.client.wire import seconds_of
from asr.v1 import corrections_pb2

MAX_DELETED = 1000  # ids of one request
_STATES = {
    corrections_pb2.CANDIDATE_STATE_WAITING: CandidateState.WAITING,
    corrections_pb2.CANDIDATE_STATE_CORRECTED: CandidateState.CORRECTED,
    corrections_pb2.CANDIDATE_STATE_REJECTED: CandidateState.REJECTED,
}


def list_request(state: CandidateState | None) -> corrections_pb2.ListCandidatesRequest:
    """Asks for candidates; None for all."""
    wire = next((message for message, one in _STATES.items() if one is state), None)
    return corrections_pb2.ListCandidatesRequest(state=wire)


def delete_requests(ids: Sequence[str]) -> list[corrections_pb2.DeleteCandidatesRequest]:
    """Asks to delete some, so many at a time as a server takes."""
    return [
        corrections_pb2.DeleteCandidatesRequest(ids=ids[start : start + MAX_DELETED])
        for start in range(0, len(ids), MAX_DELETED)
    ]


def candidate(message: corrections_pb2.Candidate) -> Candidate:
    """A candidate; one in a state of a newer server is one that a person has looked at."""
    state = _STATES.get(message.state, CandidateState.REJECTED)
    return Candidate(
        id=message.id,
        model=message.model,
        text=message.text,
        confidence=message.confidence,
        duration_s=seconds_of(message.duration),
        language=message.language_code,
        session=message.session,
        state=state,
        created_at=message.create_time.ToDatetime(UTC),
        expires_at=message.expire_time.ToDatetime(UTC),
        correction=message.correction if state is CandidateState.CORRECTED else None,
        reviewed_at=message.review_time.ToDatetime(UTC) if message.HasField("review_time") else None,
        reviewer=message.reviewer,
    )
