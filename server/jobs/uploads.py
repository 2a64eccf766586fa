"""Files that tenants have sent: a row each, and the bytes in a folder. A file has its place on disk before it has a row
that says it is whole, and loses the row before the bytes: what a kill leaves behind is never taken for a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from sqlalchemy import ColumnElement, Connection, func, or_, select
from sqlalchemy.sql import and_

from asr.atomic import sync_folder
from asr.errors import (
    InputError,
    LexituneError,
    LimitError,
    OptionError,
    ResourceError,
    UnavailableError,
    UploadInUseError,
    UploadNotFoundError,
)
from server.jobs.database import Database
from server.jobs.options import HOUR_S
from server.jobs.records import Upload
from server.jobs.rows import OPEN_STATES, is_id, read_upload
from server.jobs.schema import JOB_UPLOADS, JOBS, UPLOADS
from server.jobs.store import Before

FOLDER = "uploads"
PARTIAL_SUFFIX = ".part"
MAX_NAME = 255
UNFINISHED_S = (
    HOUR_S  # without a byte, after which an upload that is not complete, or a file without a row, is nobody's
)
TOUCH_S = UNFINISHED_S / 12  # between two notes that bytes still come
STORED_RETRY_S = 600.0  # room comes with what is deleted, or expires
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UploadStore:
    """The uploads of one installation. Safe to use from several threads and processes.

    Args:
        database: of the jobs.
        folder: that servers and workers share.
        max_file_bytes: of one file.
        clock: seconds, of this process alone.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        max_file_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self.clock = clock
        self.folder = folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._max_file_bytes = max_file_bytes

    def begin(
        self, tenant: str, name: str, size_bytes: int, sha256: str, *, max_stored_bytes: int
    ) -> UploadWriter:
        """Make room for a file; its bytes go to the writer.

        Raises:
            OptionError: the name, the size or the hash is none, or the file is too large.
            LimitError: what the tenant has with it is too large.
            ResourceError: the disk is full.
        """
        _check_spec(name, size_bytes, sha256)
        if size_bytes > self._max_file_bytes:
            raise OptionError(
                f"{name!r} has {size_bytes} bytes, and {self._max_file_bytes} are the limit; send it in parts, or have "
                "jobs.max_file_mb raised",
                field="spec.size_bytes",
            )
        upload_id = uuid.uuid4().hex
        suffix = PurePosixPath(name).suffix
        file_name = upload_id + (suffix.lower() if _SUFFIX.fullmatch(suffix) else "")
        with self._database.writing() as connection:
            self._database.alone(connection, tenant)
            self._check_room(connection, tenant, size_bytes, max_stored_bytes)
            connection.execute(
                UPLOADS.insert().values(
                    id=upload_id,
                    tenant=tenant,
                    name=name,
                    file_name=file_name,
                    size_bytes=size_bytes,
                    created_at=self._database.now(connection),
                )
            )
        return UploadWriter(self, upload_id, self.folder / file_name, size_bytes, sha256)

    def finish(self, upload_id: str, sha256: str) -> Upload:
        """The bytes are in their place: the file is the tenant's from now on."""
        with self._database.writing() as connection:
            values = {"sha256": sha256, "created_at": self._database.now(connection)}
            changed = connection.execute(UPLOADS.update().where(UPLOADS.c.id == upload_id).values(**values))
            if not changed.rowcount:
                raise _given_away()
            row = connection.execute(select(UPLOADS).where(UPLOADS.c.id == upload_id)).mappings().one()
            return read_upload(row)

    def touch(self, upload_id: str) -> bool:
        """Bytes of a file still come; False if its room was given away."""
        with self._database.writing() as connection:
            values = {"created_at": self._database.now(connection)}
            changed = connection.execute(UPLOADS.update().where(UPLOADS.c.id == upload_id).values(**values))
        return changed.rowcount > 0

    def forget(self, upload_id: str) -> None:
        """Give the room of a file back that did not come whole."""
        with self._database.writing() as connection:
            connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload_id, UPLOADS.c.sha256.is_(None)))

    def get(self, tenant: str, upload_id: str) -> Upload:
        """One file.

        Raises:
            UploadNotFoundError: the tenant has none of this id.
        """
        query = select(UPLOADS).where(*_own(tenant, upload_id))
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise _unknown(upload_id)
        return read_upload(row)

    def page(self, tenant: str, *, limit: int, before: Before | None = None) -> Sequence[Upload]:
        """The tenant's files, newest first."""
        where = [UPLOADS.c.tenant == tenant, UPLOADS.c.sha256.is_not(None)]
        if before is not None:
            created_at, upload_id = before
            same = and_(UPLOADS.c.created_at == created_at, UPLOADS.c.id < upload_id)
            where.append(or_(UPLOADS.c.created_at < created_at, same))
        order = (UPLOADS.c.created_at.desc(), UPLOADS.c.id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(select(UPLOADS).where(*where).order_by(*order).limit(limit)).mappings()
            return [read_upload(row) for row in rows]

    def delete(self, tenant: str, upload_id: str) -> None:
        """Delete a file.

        Raises:
            UploadNotFoundError: the tenant has none of this id.
            UploadInUseError: a job that is not over needs it.
        """
        with self._database.writing() as connection:
            row = connection.execute(
                select(UPLOADS.c.id).where(*_own(tenant, upload_id)).with_for_update()
            ).one_or_none()
            if row is None:
                raise _unknown(upload_id)
            needed = connection.execute(
                select(JOBS.c.id)
                .join(JOB_UPLOADS, JOB_UPLOADS.c.job_id == JOBS.c.id)
                .where(JOB_UPLOADS.c.upload_id == upload_id, JOBS.c.state.in_(OPEN_STATES))
                .limit(1)
            ).scalar_one_or_none()
            if needed is not None:
                raise UploadInUseError(
                    f"job {needed} is not over and needs upload {upload_id}; cancel the job first, or wait for its end"
                )
            connection.execute(JOB_UPLOADS.delete().where(JOB_UPLOADS.c.upload_id == upload_id))
            connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload_id))
        self.remove_files([upload_id])

    def path(self, upload: Upload) -> Path:
        """Where its bytes are."""
        return self.folder / upload.file_name

    def remove_files(self, upload_ids: Iterable[str]) -> None:
        """Remove the bytes of files whose rows are gone."""
        if gone := frozenset(upload_ids):
            for path in self.folder.iterdir():  # once for all: a folder may hold very many
                if path.name.partition(".")[0] in gone:
                    path.unlink(missing_ok=True)

    def _check_room(
        self, connection: Connection, tenant: str, size_bytes: int, max_stored_bytes: int
    ) -> None:
        query = select(func.coalesce(func.sum(UPLOADS.c.size_bytes), 0)).where(UPLOADS.c.tenant == tenant)
        stored = int(connection.execute(query).scalar_one())
        if stored + size_bytes > max_stored_bytes:
            raise LimitError(
                f"{size_bytes} bytes more, with {stored} stored, would be over the tenant's {max_stored_bytes}; delete "
                "uploads or jobs, or have jobs.max_stored_mb or quotas.max_stored_mb raised",
                reason="TENANT_QUOTA",
                retry_s=STORED_RETRY_S,
            )


class UploadWriter:
    """Takes a file's bytes; ``close`` it whatever happens, and what was not finished leaves nothing. Blocking.

    Args:
        store: that made room for it.
        upload_id: of the file.
        path: where its bytes will be.
        size_bytes: of the file.
        sha256: of its bytes; "" is not checked.
    """

    def __init__(self, store: UploadStore, upload_id: str, path: Path, size_bytes: int, sha256: str) -> None:
        self._store, self._id, self._path = store, upload_id, path
        self._size_bytes, self._sha256 = size_bytes, sha256
        self._partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self._digest = hashlib.sha256()
        self._num_bytes = 0
        self._touched_s = store.clock()
        self._is_kept = self._is_closed = False
        self._lock = threading.Lock()  # a call that is cancelled closes while a thread of it still writes
        try:
            self._stream = self._partial.open("xb")
        except OSError as error:
            store.forget(upload_id)
            raise _unwritable(error) from error

    def write(self, content: bytes) -> None:
        """Take the next bytes.

        Raises:
            InputError: more than were announced.
            ResourceError: they cannot be written.
            UnavailableError: its room was given away, for it was not heard of.
        """
        with self._lock:
            self._check_open()
            self._num_bytes += len(content)
            if self._num_bytes > self._size_bytes:
                raise InputError(
                    f"more than the {self._size_bytes} bytes that spec.size_bytes says; send no more"
                )
            self._digest.update(content)
            try:
                self._stream.write(content)
            except OSError as error:
                raise _unwritable(error) from error
            self._touch()

    def _touch(self) -> None:
        if (now_s := self._store.clock()) < self._touched_s + TOUCH_S:
            return
        try:
            is_there = self._store.touch(self._id)
        except (UnavailableError, ResourceError):
            return  # there is time to try again
        if not is_there:
            raise _given_away()
        self._touched_s = now_s

    def finish(self) -> Upload:
        """All bytes were written: they are put in their place.

        Raises:
            InputError: they are fewer than announced, or others.
            ResourceError: they cannot be written.
        """
        with self._lock:
            self._check_open()
            return self._finish()

    def _finish(self) -> Upload:
        if self._num_bytes != self._size_bytes:
            raise InputError(
                f"{self._num_bytes} bytes came, and spec.size_bytes says {self._size_bytes}; send the whole file again"
            )
        sha256 = self._digest.hexdigest()
        if self._sha256 not in ("", sha256):
            raise InputError(
                f"the bytes have sha256 {sha256}, and spec.sha256 says {self._sha256}; send the file again"
            )
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._partial.rename(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise _unwritable(error) from error
        upload = self._store.finish(self._id, sha256)
        self._is_kept = True
        return upload

    def close(self) -> None:
        """End; what was not finished is removed."""
        with self._lock:
            self._is_closed = True
            with contextlib.suppress(OSError):  # what was buffered met a full disk; it is removed now
                self._stream.close()
            if not self._is_kept:
                self._partial.unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)
                self._store.forget(self._id)

    def _check_open(self) -> None:
        if self._is_closed:
            raise UnavailableError("the upload was given up; send the file again")


def _check_spec(name: str, size_bytes: int, sha256: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise OptionError(
            f"the name has {len(name)} characters; give 1 to {MAX_NAME}, none of them NUL", field="spec.name"
        )
    if size_bytes < 1:
        raise OptionError(
            f"size_bytes is {size_bytes}; give the file's length, 1 or more", field="spec.size_bytes"
        )
    if sha256 and not _SHA256.fullmatch(sha256):
        raise OptionError("sha256 is not 64 hexadecimal digits in lower case", field="spec.sha256")


def _given_away() -> UnavailableError:
    return UnavailableError(
        "nothing of the upload came for too long and its room was given away; send the file again"
    )


def _unwritable(error: OSError) -> LexituneError:
    if isinstance(error, FileNotFoundError):  # swept
        return _given_away()
    return ResourceError(
        f"the file cannot be written: {error.strerror}; nothing of it is kept: free some space on the disk of "
        "jobs.folder and send it again"
    )


def _own(tenant: str, upload_id: str) -> tuple[ColumnElement[bool], ...]:
    if not is_id(upload_id):
        raise _unknown(upload_id)
    return UPLOADS.c.id == upload_id, UPLOADS.c.tenant == tenant, UPLOADS.c.sha256.is_not(None)


def _unknown(upload_id: str) -> UploadNotFoundError:
    return UploadNotFoundError(
        f"no upload {upload_id[:40]!r}; it was never sent whole, or deleted, or its time is over: send the file again"
    )
