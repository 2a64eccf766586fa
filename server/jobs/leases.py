"""What workers do with parts of jobs: claim, renew, complete, fail, release.

A worker that dies at any instant is one whose leases are not renewed: once they expire, others claim the parts. Whatever
a worker commits names its lease's token, and counts only if that is still the part's: a worker that was taken for dead
and was only slow commits nothing. Result, part and job change in one transaction, so a part has one result or none.

Who of several parts killed a worker nobody knows: a death counts as an attempt of a part only if it was tried alone.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from server.jobs.database import Database
from server.jobs.records import Document, Failure, Lease
from server.jobs.rows import OPEN_STATES, change_job, dumped, dumped_failure, locked_job, read_job
from server.jobs.schema import JOBS, PARTS, RESULTS
from server.jobs.states import Counts, JobKind, PartState, Trial, begun, settled

WORKER_DIED = "WORKER_DIED"
ATTEMPTS = "ATTEMPTS"
TOO_LARGE = "RESULT_TOO_LARGE"
MAX_RESULT_CHARS = 32 << 20  # of one part; asr.client takes messages of twice as much
_LEASED, _WAITING = PartState.LEASED.value, PartState.WAITING.value


class Leases:
    """The leases of workers. Safe to use from several threads and processes.

    Args:
        database: of the jobs.
        lease_s: how long a lease lasts that is not renewed.
        max_attempts: after so many attempts that nobody ended, a part has failed.
    """

    def __init__(self, database: Database, *, lease_s: float, max_attempts: int) -> None:
        self._database = database
        self.lease_s = lease_s
        self._max_attempts = max_attempts

    def claim(self, kinds: Collection[JobKind]) -> Lease | None:
        """A part that nobody works on, for the caller alone; None if there is none.

        Tenants take turns: the one of whose parts the fewest are leased is first, of its jobs the oldest.
        """
        with self._database.reading() as connection:
            job_ids = _in_turn(connection, kinds)
        for job_id in job_ids:
            with self._database.writing() as connection:
                lease = self._claim_of(connection, job_id)
            if lease is not None:
                return lease
        return None

    def renew(self, tokens: Iterable[str]) -> set[str]:
        """Lengthen leases; the tokens of those that still hold. The rest are other workers', or nobody's any more."""
        live: set[str] = set()
        asked = sorted(tokens)
        if not asked:
            return live
        with self._database.writing() as connection:
            until = self._database.now(connection) + self.lease_s
            open_jobs = select(JOBS.c.id).where(JOBS.c.state.in_(OPEN_STATES))
            for token in asked:
                renewed = connection.execute(
                    PARTS.update()
                    .where(PARTS.c.token == token, PARTS.c.job_id.in_(open_jobs))
                    .values(leased_until=until)
                )
                if renewed.rowcount:
                    live.add(token)
        return live

    def complete(self, lease: Lease, document: Document, *, audio_s: float = 0.0) -> bool:
        """Keep what came of a part; False if the lease does not hold any more, and then nothing is kept.

        What no client could take is kept as a failure.
        """
        if (num_chars := len(dumped(document))) > MAX_RESULT_CHARS:
            message = f"the result has {num_chars} characters, and {MAX_RESULT_CHARS} are the limit; cut the recording"
            return self.fail(lease, Failure(reason=TOO_LARGE, message=message))
        return self._settle(lease, PartState.SUCCEEDED, document=document, audio_s=audio_s)

    def fail(self, lease: Lease, failure: Failure) -> bool:
        """A part cannot be done, now or ever; False as for :meth:`complete`."""
        return self._settle(lease, PartState.FAILED, failure=failure)

    def release(self, lease: Lease, *, delay_s: float = 0.0, counts: bool = True, error: str = "") -> bool:
        """Give a part back undone, to be claimed again after ``delay_s``.

        Args:
            lease: as it was claimed.
            delay_s: how long nobody shall claim it.
            counts: whether this was an attempt. If it was the last, the next claim fails the part.
            error: how it ended, for people: told if no attempt is left.
        """
        with self._database.writing() as connection:
            released = connection.execute(
                PARTS.update()
                .where(*_held(lease))
                .values(
                    state=_WAITING,
                    token=None,
                    leased_until=None,
                    available_at=self._database.now(connection) + delay_s,
                    attempts=PARTS.c.attempts - (0 if counts else 1),
                    error=error or PARTS.c.error,
                )
            )
        return released.rowcount > 0

    def isolate(self, lease: Lease) -> bool:
        """The part is being done with no other beside it: a death of its worker counts. False as for :meth:`complete`."""
        with self._database.writing() as connection:
            alone = PARTS.update().where(*_held(lease)).values(trial=Trial.ALONE.value)
            return connection.execute(alone).rowcount > 0

    def report(self, lease: Lease, progress: Document) -> bool:
        """Let clients see how far a part is; False as for :meth:`complete`."""
        with self._database.writing() as connection:
            row = self._locked(connection, lease)
            if row is None:
                return False
            change_job(connection, row, progress=dumped(progress))
        return True

    def is_kept(self, job_id: str) -> bool:
        """Whether a job is there, over or not; it is not once it was deleted."""
        with self._database.reading() as connection:
            found = connection.execute(select(JOBS.c.id).where(JOBS.c.id == job_id))
            return found.one_or_none() is not None

    def has_open_jobs(self, kinds: Collection[JobKind]) -> bool:
        """Whether anything is left to do, now or later."""
        with self._database.reading() as connection:
            return bool(_in_turn(connection, kinds))

    def _claim_of(self, connection: Connection, job_id: str) -> Lease | None:
        row = locked_job(connection, JOBS.c.id == job_id, JOBS.c.state.in_(OPEN_STATES))
        while row is not None:
            now = self._database.now(connection)
            part = _claimable(connection, job_id, now)
            if part is None:
                return None
            if _num_counted(part) < self._max_attempts:
                return self._lease(connection, row, part, now)
            self._give_up(connection, row, part)
            row = locked_job(connection, JOBS.c.id == job_id, JOBS.c.state.in_(OPEN_STATES))
        return None

    def _lease(self, connection: Connection, row: RowMapping, part: RowMapping, now: float) -> Lease:
        token = uuid.uuid4().hex
        attempt = _num_counted(part) + 1
        is_suspect = part["state"] == _LEASED or part["trial"] != Trial.TOGETHER
        connection.execute(
            PARTS.update()
            .where(PARTS.c.job_id == part["job_id"], PARTS.c.index == part["index"])
            .values(
                state=_LEASED,
                token=token,
                leased_until=now + self.lease_s,
                attempts=attempt,
                trial=(Trial.SUSPECT if is_suspect else Trial.TOGETHER).value,
            )
        )
        job = read_job(row)
        if begun(job.state) is not job.state:
            job = change_job(connection, row, state=begun(job.state).value, started_at=now)
        return Lease(
            token=token,
            job_id=job.id,
            tenant=job.tenant,
            kind=job.kind,
            index=part["index"],
            name=part["name"],
            attempt=attempt,
            spec=job.spec,
            document=json.loads(part["document"]),
            progress=job.progress,
            is_suspect=is_suspect,
        )

    def _give_up(self, connection: Connection, row: RowMapping, part: RowMapping) -> None:
        last = f"; the last error: {part['error']}" if part["error"] else ""
        if part["state"] == _LEASED:
            reason, how = WORKER_DIED, f"its worker died{last}; the machine's log may say why"
        else:
            reason, how = ATTEMPTS, f"each attempt failed{last or '; the logs of the workers say why'}"
        failure = Failure(
            reason=reason, message=f"begun {part['attempts']} times, which is jobs.max_attempts: {how}"
        )
        self._write(connection, row, part, PartState.FAILED, document=None, failure=failure, audio_s=0.0)

    def _settle(
        self,
        lease: Lease,
        state: PartState,
        *,
        document: Document | None = None,
        failure: Failure | None = None,
        audio_s: float = 0.0,
    ) -> bool:
        with self._database.writing() as connection:
            row = self._locked(connection, lease)
            if row is None:
                return False
            part = connection.execute(select(PARTS).where(*_held(lease))).mappings().one()
            self._write(connection, row, part, state, document=document, failure=failure, audio_s=audio_s)
        return True

    def _locked(self, connection: Connection, lease: Lease) -> RowMapping | None:
        """The row of an open job, if the lease of its part holds."""
        row = locked_job(connection, JOBS.c.id == lease.job_id, JOBS.c.state.in_(OPEN_STATES))
        held = select(PARTS.c.index).where(*_held(lease)).with_for_update()
        if row is None or connection.execute(held).one_or_none() is None:
            return None
        return row

    def _write(
        self,
        connection: Connection,
        row: RowMapping,
        part: RowMapping,
        state: PartState,
        *,
        document: Document | None,
        failure: Failure | None,
        audio_s: float,
    ) -> None:
        """A part's only result, the part's and the job's new state."""
        connection.execute(
            RESULTS.insert().values(
                job_id=part["job_id"],
                index=part["index"],
                name=part["name"],
                document=None if document is None else dumped(document),
                failure=None if failure is None else dumped_failure(failure),
            )
        )
        connection.execute(
            PARTS.update()
            .where(PARTS.c.job_id == part["job_id"], PARTS.c.index == part["index"])
            .values(state=state.value, token=None, leased_until=None)
        )
        job = read_job(row)
        is_done = state is PartState.SUCCEEDED
        counts = Counts(
            total=job.counts.total,
            succeeded=job.counts.succeeded + is_done,
            failed=job.counts.failed + (not is_done),
        )
        now_in = settled(begun(job.state), counts)
        ended = {"ended_at": self._database.now(connection)} if now_in.is_over else {}
        why = {"failure": dumped_failure(failure)} if failure is not None and counts.total == 1 else {}
        if not why and now_in.is_over and not counts.succeeded:
            why = {"failure": dumped_failure(Failure(reason="PARTS_FAILED", message=_all_failed(counts)))}
        change_job(
            connection,
            row,
            state=now_in.value,
            num_succeeded=counts.succeeded,
            num_failed=counts.failed,
            audio_s=job.audio_s + audio_s,
            **ended,
            **why,
        )


def _all_failed(counts: Counts) -> str:
    return f"all {counts.total} recordings failed; the result of each says why"


def _held(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return PARTS.c.job_id == lease.job_id, PARTS.c.index == lease.index, PARTS.c.token == lease.token


def _num_counted(part: RowMapping) -> int:
    """Attempts at a part that is claimed: not one that ended with a worker which others may have killed."""
    has_died = part["state"] == _LEASED and part["trial"] != Trial.ALONE
    attempts: int = part["attempts"]
    return attempts - 1 if has_died else attempts


def _claimable(connection: Connection, job_id: str, now: float) -> RowMapping | None:
    """The first part that waits, or else whose lease has expired; locked."""
    for state, due in ((_WAITING, PARTS.c.available_at), (_LEASED, PARTS.c.leased_until)):
        query = (
            select(PARTS)
            .where(PARTS.c.job_id == job_id, PARTS.c.state == state, due <= now)
            .order_by(PARTS.c.index)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if (part := connection.execute(query).mappings().one_or_none()) is not None:
            return part
    return None


def _in_turn(connection: Connection, kinds: Collection[JobKind]) -> list[str]:
    """Open jobs in the order in which their parts are claimed."""
    open_jobs = connection.execute(
        select(JOBS.c.id, JOBS.c.tenant)
        .where(JOBS.c.state.in_(OPEN_STATES), JOBS.c.kind.in_([one.value for one in kinds]))
        .order_by(JOBS.c.created_at, JOBS.c.id)
    ).all()
    leased = connection.execute(select(PARTS.c.tenant).where(PARTS.c.state == _LEASED)).scalars()
    busy = Counter(leased) if len({tenant for _, tenant in open_jobs}) > 1 else Counter[str]()
    return [job_id for job_id, _ in sorted(open_jobs, key=lambda one: busy[one[1]])]
