"""Jobs, their parts, results and uploads as plain frozen values; what is in the database is in ``server.jobs.schema``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.jobs.states import Counts, JobKind, JobState

Document = Mapping[str, Any]
"""What JSON can write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a part or a job failed: a reason for programs, a message for people."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPart:
    """A part of a job that shall be kept: its name, and what it needs."""

    name: str
    document: Document


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job that shall be kept.

    Attributes:
        tenant: whose it is.
        kind: what it does.
        request_id: the tenant's name of it.
        payload_sha256: of what was asked for, to tell a repetition from another job of the same name.
        spec: what all parts share.
        parts: in their order.
        upload_ids: files that it needs until it is over.
    """

    tenant: str
    kind: JobKind
    request_id: str
    payload_sha256: str
    spec: Document
    parts: tuple[NewPart, ...]
    upload_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as it is now; times are seconds since 1970.

    Attributes:
        revision: grows with every change that a client can see.
        progress: what a training last said of itself.
        audio_s: of recordings that have a transcript.
    """

    id: str
    tenant: str
    kind: JobKind
    request_id: str
    spec: Document
    state: JobState
    counts: Counts
    revision: int
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    audio_s: float = 0.0
    progress: Document = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A part that this worker alone works on, as long as it renews the lease.

    Attributes:
        token: of this lease alone; what is committed with another is refused.
        attempt: which one this is, from 1.
        is_suspect: a worker died with it: it is to be done with no other beside it.
        progress: what an earlier attempt said of itself.
    """

    token: str
    job_id: str
    tenant: str
    kind: JobKind
    index: int
    name: str
    attempt: int
    spec: Document
    document: Document
    progress: Document = field(default_factory=dict)
    is_suspect: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PartResult:
    """What came of a part: a document, or a failure."""

    index: int
    name: str
    document: Document | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultsPage:
    """Results in their order, and whether there are none behind them."""

    results: tuple[PartResult, ...]
    is_last: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that a tenant has sent; ``file_name`` is the server's own name of it."""

    id: str
    tenant: str
    name: str
    file_name: str
    size_bytes: int
    sha256: str
    created_at: float
