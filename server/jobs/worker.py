"""A worker: threads that claim parts, do them and commit what came of it, and one that keeps their leases alive.

What a part raises decides what becomes of it: an error of ours that does not pass is its result; a machine without room,
a registry that cannot be reached or a database that is away gives it back for later and counts as no attempt; anything
else is an attempt. A thread never ends with an error. A part with which a worker has died is done while no other of its
kind is.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from asr.errors import (
    AudioError,
    InputError,
    LexituneError,
    LimitError,
    MissingDependencyError,
    ModelError,
    NotFoundError,
    NotPermittedError,
    ResourceError,
    UnavailableError,
)
from server.jobs.leases import Leases
from server.jobs.records import Document, Failure, Lease
from server.jobs.states import JobKind
from server.jobs.turns import Turns

POLL_S = 0.5  # between two looks for work where there is none: no database tells of it
RETRY_S = 2.0  # before what could not be done for want of room or a connection
MAX_RETRY_S = 30.0
_PASSING = (ResourceError, UnavailableError, LimitError)
_FULL = (errno.ENOSPC, errno.EDQUOT)

_LOG = logging.getLogger("lexitune.worker")


class Lost(Exception):  # noqa: N818  # no error: the work is another worker's, or nobody wants it
    """The lease does not hold any more."""


class Stopping(Exception):  # noqa: N818  # no error either
    """The worker ends: the part is given back."""


class PartFailed(Exception):  # noqa: N818  # as the two above
    """The part cannot be done, whatever is tried.

    Args:
        reason: for programs.
        message: for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(reason=reason, message=message)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A part that a thread works on.

    Attributes:
        lease: of it.
        deadline_s: by ``time.monotonic``: from then on the lease is not renewed.
        over: set when the work is to end: the lease is lost, or the worker stops. A recording's ends by itself.
        lost: set when the lease is lost.
    """

    lease: Lease
    deadline_s: float
    over: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)


class Work(Protocol):
    """What is done with a part of one kind of job."""

    max_s: float

    def __call__(self, held: Held) -> tuple[Document, float]:
        """Do it: a document, and seconds of audio in it.

        Raises:
            Lost: the lease does not hold any more.
            Stopping: the worker ends.
            PartFailed: it can never be done.
            Exception: it cannot be done now.
        """
        ...

    def kept(self, lease: Lease) -> None:
        """What was done is committed: what was kept for another attempt can go."""
        ...


class Worker:
    """Works until it is told to stop. Its threads are daemons: they end with the process.

    Args:
        leases: of the store.
        works: by the kind of job.
        threads: how many parts of each kind are done at the same time.
    """

    def __init__(self, leases: Leases, works: Mapping[JobKind, Work], threads: Mapping[JobKind, int]) -> None:
        self._leases = leases
        self._works = works
        self._turns = {kind: Turns() for kind in works}
        self._stop = threading.Event()
        self._held: dict[str, Held] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._loop, args=(kind,), name=f"{kind}-{number}", daemon=True)
            for kind in works
            for number in range(threads[kind])
        ]
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._heart.start()
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float) -> None:
        """Claim nothing more, let what is begun end within the grace period, and give the rest back."""
        self._stop.set()
        end_s = time.monotonic() + grace_s
        for held in self._all_held():
            held.over.set()
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        for held in self._all_held():
            with self._logged("give back", held.lease):
                self._leases.release(held.lease, counts=False)
        self._ended.set()

    def wait_until_idle(self, stopped: threading.Event) -> None:
        """Return once no job is open, or when it is told to stop."""
        while not stopped.wait(POLL_S):
            with self._logged("look for open jobs", None):
                if not self._leases.has_open_jobs(list(self._works)):
                    return

    @property
    def num_held(self) -> int:
        """Parts that are worked on."""
        return len(self._all_held())

    def _all_held(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def _loop(self, kind: JobKind) -> None:
        while not self._stop.is_set():
            lease = None
            with self._turns[kind].together(self._stop) as is_in:
                with self._logged("claim", None):
                    lease = self._leases.claim([kind]) if is_in else None
                if lease is not None and not lease.is_suspect:
                    self._do(lease)
                    continue
            if lease is None:
                self._stop.wait(POLL_S)
            else:
                self._do(lease)

    def _do(self, lease: Lease) -> None:
        """Do a part to its end, whatever happens: the thread goes on."""
        try:
            self._try(lease)
        except Exception as error:  # the thread's boundary: what came of the part cannot be kept
            told = _fault(lease, error)
            with self._logged("give back", lease):
                self._leases.release(lease, delay_s=RETRY_S, error=told)

    def _try(self, lease: Lease) -> None:
        work = self._works[lease.kind]
        longest_s = work.max_s * (1 + lease.is_suspect)  # it waits until what was begun before it has ended
        held = Held(lease=lease, deadline_s=time.monotonic() + longest_s)
        with self._lock:
            self._held[lease.token] = held
        try:
            if not lease.is_suspect:
                self._commit(held, self._outcome(held, work))
                return
            with self._turns[lease.kind].alone(held.over):
                self._commit(held, self._outcome(held, work))
        finally:
            with self._lock:
                self._held.pop(lease.token, None)

    def _outcome(self, held: Held, work: Work) -> Callable[[], bool]:
        """What is to be committed, after the work."""
        lease = held.lease
        try:
            if lease.is_suspect:
                self._isolate(held)
            document, audio_s = work(held)
            return lambda: self._complete(work, lease, document, audio_s)
        except Lost:
            return lambda: True
        except Stopping:
            return lambda: self._leases.release(lease, counts=False)
        except Exception as error:  # the boundary of a part
            return self._after(lease, error)

    def _complete(self, work: Work, lease: Lease, document: Document, audio_s: float) -> bool:
        is_kept = self._leases.complete(lease, document, audio_s=audio_s)
        if is_kept:
            work.kept(lease)
        return is_kept

    def _isolate(self, held: Held) -> None:
        """The part's turn to be alone has come, or the waiting for it has ended."""
        if held.over.is_set() and not held.lost.is_set():
            raise Stopping
        if held.lost.is_set() or not self._leases.isolate(held.lease):
            raise Lost

    def _after(self, lease: Lease, error: Exception) -> Callable[[], bool]:
        failure = failure_of(error)
        if failure is not None:
            return lambda: self._leases.fail(lease, failure)
        if isinstance(error, _PASSING) or getattr(error, "errno", None) in _FULL:
            _LOG.warning("%s of job %s is put off: %s", lease.name, lease.job_id, error)
            return lambda: self._leases.release(lease, delay_s=RETRY_S, counts=False)
        told = _fault(lease, error)
        return lambda: self._leases.release(lease, delay_s=RETRY_S, error=told)

    def _commit(self, held: Held, commit: Callable[[], bool]) -> None:
        """Commit, as often as it takes; a lease that is lost meanwhile refuses it."""
        wait_s = RETRY_S
        while not held.lost.is_set():
            try:
                if not commit():
                    _LOG.info(
                        "%s of job %s is not this worker's any more", held.lease.name, held.lease.job_id
                    )
                return
            except (ResourceError, UnavailableError) as error:
                _LOG.warning("%s of job %s is not kept yet: %s", held.lease.name, held.lease.job_id, error)
            if self._stop.wait(wait_s):
                return  # it is done again
            wait_s = min(2 * wait_s, MAX_RETRY_S)

    def _beat(self) -> None:
        """Renew the leases of what is worked on, and tell the threads of those that are lost."""
        while not self._ended.wait(self._leases.lease_s / 4):
            now_s = time.monotonic()
            held = {one.lease.token: one for one in self._all_held() if one.deadline_s > now_s}
            with self._logged("renew", None):
                for token in held.keys() - self._leases.renew(held):
                    held[token].lost.set()
                    held[token].over.set()

    @contextmanager
    def _logged(self, what: str, lease: Lease | None) -> Iterator[None]:
        """A block whose errors are the log's: the next time it may go better."""
        try:
            yield
        except LexituneError as error:
            of_job = f" of job {lease.job_id}" if lease else ""
            _LOG.warning("cannot %s%s: %s", what, of_job, error)
        except Exception:  # the thread's boundary
            _LOG.exception("cannot %s", what)


def _fault(lease: Lease, error: Exception) -> str:
    """What a client is told of an error that nobody foresaw, which the log has in full."""
    error_id = uuid.uuid4().hex[:12]
    _LOG.error(
        "%s of job %s failed, attempt %d, id %s",
        lease.name, lease.job_id, lease.attempt, error_id, exc_info=error,
    )  # fmt: skip
    return (
        f"a fault of the worker ({type(error).__name__}), id {error_id}: its log says more; please report it"
    )


def failure_of(error: Exception) -> Failure | None:
    """Why a part can never be done, if that is what the error says."""
    if isinstance(error, PartFailed):
        return error.failure
    if isinstance(error, AudioError):
        return Failure(reason="INVALID_AUDIO", message=str(error))
    if isinstance(error, InputError | NotFoundError | NotPermittedError):
        return Failure(reason="INVALID_INPUT", message=str(error))
    if isinstance(error, ModelError):
        return Failure(reason="MODEL_FAILED", message=str(error))
    if isinstance(error, MissingDependencyError):
        return Failure(reason="MISSING_DEPENDENCY", message=str(error))
    if isinstance(error, LexituneError) and not isinstance(error, _PASSING):
        return Failure(reason=getattr(error, "reason", "") or "FAILED", message=str(error))
    return None
