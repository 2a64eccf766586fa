"""One database of jobs: sqlite in WAL mode with full synchronisation, or PostgreSQL. Short transactions, nothing cached.

A writing transaction of sqlite locks at its beginning (BEGIN IMMEDIATE), so that what it reads is still so when it
writes; on PostgreSQL rows are locked, job before part, and ``alone`` is an advisory lock.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from asr.errors import MissingDependencyError, OptionError, ResourceError, UnavailableError
from server.jobs.schema import METADATA

BUSY_TIMEOUT_S = 30.0  # for another process' transaction to end
_WRITES = "lexitune_writes"
_FULL = ("53100", "53200")  # PostgreSQL: disk full, out of memory
_SQLITE_NOW = text("SELECT (julianday('now') - 2440587.5) * 86400.0")
_POSTGRESQL_NOW = text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")


class Database:
    """A database that all servers and workers of one installation share. Safe to use from several threads.

    Args:
        uri: as SQLAlchemy writes it: sqlite:///PATH, postgresql://USER:PASSWORD@HOST/NAME.
        clock: seconds since 1970; the database's own if None, so that machines need not agree on the time.

    Raises:
        OptionError: it is neither sqlite nor PostgreSQL.
        UnavailableError: it cannot be reached; as from every method.
        ResourceError: the machine's disk is full; as from every method that writes.
    """

    def __init__(self, uri: str, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._engine = _engine(uri)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._shown = self._engine.url.render_as_string()
        with self.writing() as connection:
            self.alone(connection, "schema")
            METADATA.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that changes nothing."""
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block, or not at all."""
        with self._explained(), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def scrub(self) -> None:
        """Have nothing be left in sqlite's files of what was deleted; PostgreSQL vacuums in its own time.

        Deleted cells are overwritten (``secure_delete``); here the log of changes, which has the old pages, is
        emptied.

        Raises:
            UnavailableError: it cannot be now, for somebody reads; what is deleted is deleted, ask again.
        """
        if not self._is_sqlite:
            return
        with self._explained():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                is_busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                cursor.close()
            except sqlite3.Error:
                is_busy = True
            finally:
                connection.close()
        if is_busy:
            raise UnavailableError(
                f"what was deleted is still in the log of {self._shown}, which others read, or whose disk is full; "
                "delete it again"
            )

    def now(self, connection: Connection) -> float:
        """The time, seconds since 1970."""
        if self._clock is not None:
            return self._clock()
        query = _SQLITE_NOW if self._is_sqlite else _POSTGRESQL_NOW
        return float(connection.execute(query).scalar_one())

    def alone(self, connection: Connection, name: str) -> None:
        """Wait until no other transaction is in here under the same name; until this one ends, none comes in."""
        if not self._is_sqlite:  # there every writing transaction is alone
            key = zlib.crc32(f"lexitune {name}".encode())
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0][:300]
            if _is_full(error):
                raise ResourceError(
                    f"the jobs in {self._shown} cannot be written: {reason}; free some space: nothing that was kept is "
                    "lost, and what could not be kept can be asked for again"
                ) from error
            if not _is_away(error):
                raise  # a bug of ours, which is not made good by trying again
            raise UnavailableError(
                f"the jobs in {self._shown} cannot be used: {reason}; check jobs.database or LEXITUNE_HOME"
            ) from error


def _engine(uri: str) -> Engine:
    try:
        url = make_url(uri)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(url.drivername)
        options: dict[str, Any] = (
            {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
            if url.get_backend_name() == "sqlite"
            else {"pool_pre_ping": True}
        )
        engine = create_engine(url, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise OptionError(
            "jobs.database is no URL of sqlite or PostgreSQL; give sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME",
            field="jobs.database",
        ) from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "jobs.database is PostgreSQL, whose driver is not installed: pip install 'lexitune[postgresql]'"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begins)
    return engine


def _sqlite_connected(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _sqlite_begins says
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _sqlite_begins(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_away(error: SQLAlchemyError) -> bool:
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError):
        return True
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _is_full(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    if getattr(error.orig, "sqlstate", None) in _FULL:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)  # the low byte is the primary code
    return code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
