"""Candidates in the database of the jobs, their audio in a folder for each tenant. Blocking; safe for several threads.

Kept: the file comes first, then the row. Deleted: the file goes first, and a row without one can be deleted again, so
that no kill leaves audio that is thought to be gone.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select
from sqlalchemy.sql import and_

from asr.atomic import sync_folder
from asr.audio.files import write_audio
from asr.candidates import CandidateState
from asr.errors import CandidateNotFoundError, LimitError, ResourceError, UnavailableError
from asr.models.base import Samples
from asr.storage import is_older
from server.candidates.options import CandidatesOptions
from server.candidates.records import Candidate, NewCandidate
from server.jobs.database import Database
from server.jobs.options import DAY_S, HOUR_S
from server.jobs.rows import batched, is_id
from server.jobs.schema import CANDIDATES

FOLDER = "candidates"
SUFFIX = ".flac"
FULL_RETRY_S = 60.0  # for which nothing more of a tenant that has no room is tried
ORPHANED_S = HOUR_S  # after which a file without a row is nobody's

After = tuple[float, str]
"""The last row of a page that lists by confidence: its confidence and its id."""


class CandidateStore:
    """The candidates of one installation.

    Args:
        database: of the jobs.
        folder: of the jobs.
        options: how much is kept, and how long.
    """

    def __init__(self, database: Database, folder: Path, options: CandidatesOptions) -> None:
        self._database, self.options = database, options
        self.folder = folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)

    def keep(self, new: NewCandidate, samples: Samples) -> Candidate:
        """Keep a final with its audio.

        Args:
            new: the final.
            samples: (T,) at 16 kHz.

        Raises:
            LimitError: the tenant has no room, or had its share of this hour.
            UnavailableError: all candidates of the tenant were deleted meanwhile.
            ResourceError: the disk is full.
        """
        candidate_id = uuid.uuid4().hex
        path = self._path(new.tenant, candidate_id)
        try:
            write_audio(path, samples)
            sync_folder(path.parent)
            with self._database.writing() as connection:
                self._database.alone(connection, _lock(new.tenant))
                return self._insert(connection, candidate_id, new, path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, FileNotFoundError):  # not even its beginnings were spared
                raise _emptied() from error
            if isinstance(error, OSError):
                raise ResourceError(
                    f"a candidate's audio cannot be written: {error.strerror}; free some space on the disk of jobs.folder"
                ) from error
            raise

    def get(self, tenant: str, candidate_id: str) -> Candidate:
        """One candidate.

        Raises:
            CandidateNotFoundError: the tenant has none of this id.
        """
        with self._database.reading() as connection:
            return _one(connection, tenant, candidate_id)

    def page(
        self, tenant: str, *, limit: int, state: CandidateState | None = None, after: After | None = None
    ) -> Sequence[Candidate]:
        """The tenant's candidates, the lowest confidence first."""
        where = [CANDIDATES.c.tenant == tenant]
        if state is not None:
            where.append(CANDIDATES.c.state == state.value)
        if after is not None:
            confidence, candidate_id = after
            same = and_(CANDIDATES.c.confidence == confidence, CANDIDATES.c.id > candidate_id)
            where.append(or_(CANDIDATES.c.confidence > confidence, same))
        query = (
            select(CANDIDATES).where(*where).order_by(CANDIDATES.c.confidence, CANDIDATES.c.id).limit(limit)
        )
        with self._database.reading() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]

    def audio(self, tenant: str, candidate_id: str) -> bytes:
        """A candidate's FLAC file.

        Raises:
            CandidateNotFoundError: the tenant has none of this id, or it is just being deleted.
        """
        self.get(tenant, candidate_id)
        try:
            return self._path(tenant, candidate_id).read_bytes()
        except FileNotFoundError:
            raise _unknown(candidate_id) from None

    def correct(self, tenant: str, candidate_id: str, text: str, reviewer: str) -> Candidate:
        """Keep what was said.

        Raises:
            CandidateNotFoundError: the tenant has none of this id.
        """
        return self._review(tenant, candidate_id, CandidateState.CORRECTED, text, reviewer)

    def reject(self, tenant: str, candidate_id: str, reviewer: str) -> Candidate:
        """Keep that nothing can be learned of a candidate.

        Raises:
            CandidateNotFoundError: the tenant has none of this id.
        """
        return self._review(tenant, candidate_id, CandidateState.REJECTED, None, reviewer)

    def delete(self, tenant: str, candidate_ids: Sequence[str]) -> int:
        """Delete candidates of the tenant's; how many there were. Nothing is left of them then.

        Raises:
            ResourceError: a file cannot be removed; what was not can be deleted again.
        """
        own = and_(CANDIDATES.c.tenant == tenant, CANDIDATES.c.id.in_(candidate_ids))
        with self._database.writing() as connection:
            number = self._drop(connection, own)
        self._database.scrub()
        return number

    def delete_all(self, tenant: str) -> int:
        """Delete all that there is of a tenant, files without a row as well; how many candidates there were.

        Raises:
            ResourceError: a file cannot be removed; what was not can be deleted again.
        """
        with self._database.writing() as connection:
            self._database.alone(connection, _lock(tenant))
            folder = self._path(tenant, "x").parent
            _remove(folder.iterdir() if folder.is_dir() else ())
            number = self._drop(connection, CANDIDATES.c.tenant == tenant)
        self._database.scrub()
        return number

    def sweep(self) -> int:
        """Delete what is over its time, and files without a row; how many."""
        with self._database.writing() as connection:
            old = self._database.now(connection) - self.options.retention_days * DAY_S
            number = self._drop(connection, CANDIDATES.c.created_at < old)
        if number:
            self._database.scrub()
        with self._database.reading() as connection:
            known = set(connection.execute(select(CANDIDATES.c.id)).scalars())
        orphans = [
            path
            for path in self.folder.glob("*/*")
            if path.name.removesuffix(SUFFIX) not in known and is_older(path, ORPHANED_S)
        ]
        _remove(orphans)
        return number + len(orphans)

    def _insert(self, connection: Connection, candidate_id: str, new: NewCandidate, path: Path) -> Candidate:
        now = self._database.now(connection)
        size_bytes = path.stat().st_size if path.exists() else 0
        if not size_bytes:
            raise _emptied()
        self._check_room(connection, new, size_bytes, now)
        row = {
            "id": candidate_id,
            "tenant": new.tenant,
            "session": new.session,
            "model": new.model,
            "text": new.text,
            "confidence": new.confidence,
            "duration_s": new.duration_s,
            "language": new.language,
            "size_bytes": size_bytes,
            "state": CandidateState.WAITING.value,
            "created_at": now,
        }
        connection.execute(CANDIDATES.insert().values(**row))
        return _one(connection, new.tenant, candidate_id)

    def _check_room(self, connection: Connection, new: NewCandidate, size_bytes: int, now: float) -> None:
        stored = select(
            func.coalesce(func.sum(CANDIDATES.c.size_bytes), 0),
            func.coalesce(func.sum(CANDIDATES.c.duration_s), 0.0),
        ).where(CANDIDATES.c.tenant == new.tenant)
        lately = select(func.count()).where(
            CANDIDATES.c.tenant == new.tenant, CANDIDATES.c.created_at > now - HOUR_S
        )
        num_bytes, seconds = connection.execute(stored).one()
        used: dict[str, tuple[float, float]] = {
            "max_stored_mb": (int(num_bytes) + size_bytes, self.options.max_stored_mb << 20),
            "max_stored_s": (seconds + new.duration_s, self.options.max_stored_s),
            "max_per_hour": (connection.execute(lately).scalar_one() + 1, self.options.max_per_hour),
        }
        for name, (value, limit) in used.items():
            if value > limit:
                raise LimitError(
                    f"one candidate more would be {value:g} of the tenant's {limit:g}; review and delete some, or have "
                    f"candidates.{name} raised",
                    reason="TENANT_QUOTA",
                    retry_s=FULL_RETRY_S,
                )

    def _review(
        self, tenant: str, candidate_id: str, state: CandidateState, text: str | None, reviewer: str
    ) -> Candidate:
        with self._database.writing() as connection:
            _one(connection, tenant, candidate_id)
            changed = {"state": state.value, "correction": text, "reviewer": reviewer}
            connection.execute(
                CANDIDATES.update()
                .where(CANDIDATES.c.id == candidate_id)
                .values(**changed, reviewed_at=self._database.now(connection))
            )
            return _one(connection, tenant, candidate_id)

    def _drop(self, connection: Connection, which: ColumnElement[bool]) -> int:
        """Delete files, then rows."""
        found = select(CANDIDATES.c.tenant, CANDIDATES.c.id).where(which).with_for_update()
        rows = connection.execute(found).all()
        _remove(self._path(tenant, candidate_id) for tenant, candidate_id in rows)
        ids = [candidate_id for _, candidate_id in rows]
        for some in batched(ids):
            connection.execute(CANDIDATES.delete().where(CANDIDATES.c.id.in_(some)))
        return len(ids)

    def _path(self, tenant: str, candidate_id: str) -> Path:
        """Of the audio; a tenant's name may be no name of a folder."""
        return self.folder / hashlib.sha256(tenant.encode()).hexdigest()[:32] / f"{candidate_id}{SUFFIX}"


def _lock(tenant: str) -> str:
    return f"candidates {tenant}"


def _one(connection: Connection, tenant: str, candidate_id: str) -> Candidate:
    row: RowMapping | None = None
    if is_id(candidate_id):
        query = select(CANDIDATES).where(CANDIDATES.c.id == candidate_id, CANDIDATES.c.tenant == tenant)
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise _unknown(candidate_id)
    return _read(row)


def _read(row: RowMapping) -> Candidate:
    names = ("id", "tenant", "session", "model", "text", "confidence", "duration_s", "language", "created_at")
    return Candidate(
        **{name: row[name] for name in names},
        state=CandidateState(row["state"]),
        correction=row["correction"],
        reviewed_at=row["reviewed_at"],
        reviewer=row["reviewer"],
    )


def _emptied() -> UnavailableError:
    return UnavailableError(
        "all candidates of the tenant were deleted while this one was being kept; it went with them"
    )


def _unknown(candidate_id: str) -> CandidateNotFoundError:
    return CandidateNotFoundError(
        f"no candidate {candidate_id[:40]!r}; it was deleted, or its time is over: list the candidates again"
    )


def _remove(paths: Iterable[Path]) -> None:
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceError(
            f"a candidate's audio cannot be removed: {error.strerror}; check the rights of jobs.folder, then delete again"
        ) from error
