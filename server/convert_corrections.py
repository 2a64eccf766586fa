"""Candidates and corrections, between messages and plain values. A part of ``server.convert``, which see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.candidates import CandidateState
from asr.errors import OptionError
from asr.v1 import corrections_pb2
from server.candidates.options import CandidatesOptions
from server.candidates.records import Candidate
from server.candidates.store import After
from server.convert import duration_message
from server.convert_job_answers import page_token, timestamp_message
from server.convert_jobs import page_of
from server.jobs.options import DAY_S
from server.jobs.rows import is_id

MAX_TEXT = 4000
MAX_REVIEWER = 128
MAX_DELETED = 1000
MAX_PAGE = 200  # so that a page with the longest texts stays below the 4 MiB that clients take
AUDIO_PART_BYTES = 256 << 10
_STATES = {
    CandidateState.WAITING: corrections_pb2.CANDIDATE_STATE_WAITING,
    CandidateState.CORRECTED: corrections_pb2.CANDIDATE_STATE_CORRECTED,
    CandidateState.REJECTED: corrections_pb2.CANDIDATE_STATE_REJECTED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """Which candidates are asked for; ``state`` None for all."""

    limit: int
    state: CandidateState | None
    after: After | None


def list_request(request: corrections_pb2.ListCandidatesRequest) -> ListRequest:
    """Which candidates are asked for.

    Raises:
        OptionError: a field is not allowed; ``field`` is its path.
    """
    size, last = page_of(request)
    after: After | None = None
    if last is not None:
        match last:
            case [float() as confidence, str() as name] if math.isfinite(confidence) and is_id(name):
                after = confidence, name
            case _:
                raise OptionError(
                    "page_token is of another list; give next_page_token of the page before",
                    field="page_token",
                )
    states = {message: state for state, message in _STATES.items()}
    if request.state and request.state not in states:
        raise OptionError(
            f"state is {request.state}; give WAITING, CORRECTED, REJECTED or none", field="state"
        )
    return ListRequest(limit=min(size, MAX_PAGE), state=states.get(request.state), after=after)


def correction(request: corrections_pb2.CorrectCandidateRequest) -> str:
    """What was said, its white space made single spaces.

    Raises:
        OptionError: it is too long.
    """
    if len(request.text) > MAX_TEXT:
        raise OptionError(f"text has {len(request.text)} characters; give at most {MAX_TEXT}", field="text")
    if "\0" in request.text:
        raise OptionError("text holds NUL; leave it out", field="text")
    return " ".join(request.text.split())


def reviewer(
    request: corrections_pb2.CorrectCandidateRequest | corrections_pb2.RejectCandidateRequest,
) -> str:
    """Who says so.

    Raises:
        OptionError: it is too long.
    """
    if len(request.reviewer) > MAX_REVIEWER or "\0" in request.reviewer:
        raise OptionError(
            f"reviewer has {len(request.reviewer)} characters; give at most {MAX_REVIEWER}, none of them NUL",
            field="reviewer",
        )
    return request.reviewer


def deleted_ids(request: corrections_pb2.DeleteCandidatesRequest) -> list[str] | None:
    """Which candidates shall go; None for all.

    Raises:
        OptionError: neither some nor all are named, or both, or too many.
    """
    ids = list(request.ids)
    if bool(ids) == request.all:
        raise OptionError("give ids, or all = true, one of the two", field="ids")
    if len(ids) > MAX_DELETED:
        raise OptionError(f"{len(ids)} ids; give at most {MAX_DELETED} at once", field="ids")
    return None if request.all else [one for one in ids if is_id(one)]


def list_response(
    page: Sequence[Candidate], limit: int, options: CandidatesOptions
) -> corrections_pb2.ListCandidatesResponse:
    """A page of candidates."""
    return corrections_pb2.ListCandidatesResponse(
        candidates=[candidate_message(one, options) for one in page],
        next_page_token=page_token([page[-1].confidence, page[-1].id]) if len(page) == limit else "",
    )


def audio_responses(content: bytes) -> Iterator[corrections_pb2.GetCandidateAudioResponse]:
    """A file in parts."""
    for start in range(0, len(content), AUDIO_PART_BYTES):
        part = content[start : start + AUDIO_PART_BYTES]
        yield corrections_pb2.GetCandidateAudioResponse(content=part)


def correct_response(
    candidate: Candidate, options: CandidatesOptions
) -> corrections_pb2.CorrectCandidateResponse:
    """It is corrected."""
    return corrections_pb2.CorrectCandidateResponse(candidate=candidate_message(candidate, options))


def reject_response(
    candidate: Candidate, options: CandidatesOptions
) -> corrections_pb2.RejectCandidateResponse:
    """It is rejected."""
    return corrections_pb2.RejectCandidateResponse(candidate=candidate_message(candidate, options))


def delete_response(number: int) -> corrections_pb2.DeleteCandidatesResponse:
    """They are gone."""
    return corrections_pb2.DeleteCandidatesResponse(num_deleted=number)


def candidate_message(candidate: Candidate, options: CandidatesOptions) -> corrections_pb2.Candidate:
    """A candidate."""
    message = corrections_pb2.Candidate(
        id=candidate.id,
        model=candidate.model,
        text=candidate.text,
        confidence=candidate.confidence,
        duration=duration_message(candidate.duration_s),
        language_code=candidate.language,
        session=candidate.session,
        create_time=timestamp_message(candidate.created_at),
        expire_time=timestamp_message(candidate.created_at + options.retention_days * DAY_S),
        state=_STATES[candidate.state],
        correction=candidate.correction or "",
        reviewer=candidate.reviewer,
    )
    if candidate.reviewed_at is not None:
        message.review_time.CopyFrom(timestamp_message(candidate.reviewed_at))
    return message
