"""Where tenants' phrases are kept by name: the registry's database; a file under LEXITUNE_HOME where a server has that.

Every question names its tenant, and no answer tells of another's. Importing this loads no SQLAlchemy, using it does.
"""

from __future__ import annotations

import difflib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from asr.biasing.kept import KeptPhrases, KeptSummary
from asr.biasing.phrases import Phrase
from asr.errors import (
    AlreadyExistsError,
    LimitError,
    OptionError,
    PhraseSetNotFoundError,
    UnavailableError,
)
from asr.models.reference import is_valid_name
from asr.registry import default_tracking_uri
from asr.storage import home_dir

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Table

TABLE = "lexitune_phrase_sets"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # of MLflow


class PhraseStore:
    """Kept sets in one database. Safe to use from several threads.

    Args:
        uri: of the database, as SQLAlchemy writes it.

    Raises:
        UnavailableError: it cannot be opened; as every method does if it cannot be used.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._creating = threading.Lock()
        with _reachable(uri):
            self._engine, self._table = _opened(uri)

    @classmethod
    def open(cls) -> PhraseStore:
        """The store of this environment."""
        uri = default_tracking_uri()
        if uri.split(":")[0].split("+")[0] not in _DATABASES:
            uri = f"sqlite:///{home_dir() / 'phrase_sets.db'}"
        return _store(uri)

    def create(self, tenant: str, asked: KeptPhrases, *, max_sets: int) -> KeptPhrases:
        """Keep a new set.

        Raises:
            OptionError: the name is none.
            AlreadyExistsError: the tenant has one of this name.
            LimitError: the tenant has ``max_sets``.
        """
        from sqlalchemy.exc import IntegrityError

        _check_name(asked.name)
        kept = replace(asked, created_at=_now(), updated_at=_now())
        # inserted, then counted: on sqlite the insert waits for other processes' transactions; others find the conflict
        with self._creating, self._connected(isolation_level="SERIALIZABLE") as connection:
            try:
                connection.execute(self._table.insert().values(tenant=tenant, **_row(kept)))
            except IntegrityError:
                raise _taken(asked.name) from None
            if (count := len(self._names(connection, tenant)) - 1) >= max_sets:
                raise LimitError(
                    f"{count} phrase sets are kept, and {max_sets} are the limit; delete one, or update one",
                    reason="PHRASE_SETS",
                )
        return kept

    def get(self, tenant: str, name: str) -> KeptPhrases:
        """One set.

        Raises:
            PhraseSetNotFoundError: the tenant has none of this name.
        """
        with self._connected() as connection:
            query = self._table.select().where(*self._one(tenant, name))
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise _unknown(name, self._names(connection, tenant))
            return _kept(row)

    def summaries(self, tenant: str) -> list[KeptSummary]:
        """The tenant's sets by name."""
        from sqlalchemy import select

        columns = self._table.c
        query = (
            select(columns.name, columns.num_phrases, columns.created_at, columns.updated_at)
            .where(columns.tenant == tenant)
            .order_by(columns.name)
        )
        with self._connected() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            KeptSummary(
                name=row["name"],
                num_phrases=row["num_phrases"],
                created_at=_time(row["created_at"]),
                updated_at=_time(row["updated_at"]),
            )
            for row in rows
        ]

    def update(self, tenant: str, asked: KeptPhrases) -> KeptPhrases:
        """Put other phrases and classes in the place of a set's own.

        Raises:
            PhraseSetNotFoundError: the tenant has none of this name.
        """
        where = self._one(tenant, asked.name)
        with self._connected() as connection:
            row = connection.execute(self._table.select().where(*where)).mappings().one_or_none()
            if row is None:
                raise _unknown(asked.name, self._names(connection, tenant))
            kept = replace(asked, created_at=_time(row["created_at"]), updated_at=_now())
            connection.execute(self._table.update().where(*where).values(**_row(kept)))
        return kept

    def delete(self, tenant: str, name: str) -> None:
        """Forget a set.

        Raises:
            PhraseSetNotFoundError: the tenant has none of this name.
        """
        with self._connected() as connection:
            if not connection.execute(self._table.delete().where(*self._one(tenant, name))).rowcount:
                raise _unknown(name, self._names(connection, tenant))

    def _one(self, tenant: str, name: str) -> tuple[ColumnElement[bool], ...]:
        return self._table.c.tenant == tenant, self._table.c.name == name

    def _names(self, connection: Connection, tenant: str) -> list[str]:
        from sqlalchemy import select

        query = select(self._table.c.name).where(self._table.c.tenant == tenant).order_by(self._table.c.name)
        return list(connection.execute(query).scalars())

    @contextmanager
    def _connected(self, **options: Any) -> Iterator[Connection]:
        engine = self._engine.execution_options(**options)
        with _reachable(self._uri), engine.begin() as connection:
            yield connection


@cache
def _store(uri: str) -> PhraseStore:
    return PhraseStore(uri)


def _opened(uri: str) -> tuple[Engine, Table]:
    from sqlalchemy import Column, Integer, MetaData, NullPool, String, Table, Text, create_engine
    from sqlalchemy.dialects import mysql

    table = Table(
        TABLE,
        MetaData(),
        Column("tenant", String(256), primary_key=True),
        Column("name", String(128), primary_key=True),
        # JSON; MySQL's plain TEXT ends at 64 KiB, and PostgreSQL's takes no length
        Column("phrases", Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        Column("num_phrases", Integer, nullable=False),
        Column("created_at", String(40), nullable=False),  # ISO 8601, UTC
        Column("updated_at", String(40), nullable=False),
    )
    engine = create_engine(uri, poolclass=NullPool)  # asked seldom, and no connection grows stale
    table.create(engine, checkfirst=True)
    return engine, table


@contextmanager
def _reachable(uri: str) -> Iterator[None]:
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0][:300]
        raise UnavailableError(
            f"the phrase sets in {make_url(uri).render_as_string()} cannot be used: {reason}; check "
            "MLFLOW_TRACKING_URI or LEXITUNE_HOME"
        ) from error


def _row(kept: KeptPhrases) -> dict[str, Any]:
    assert kept.created_at is not None and kept.updated_at is not None
    phrases = [
        {
            "text": one.text,
            "boost": one.boost,
            "sounds_like": list(one.sounds_like),
            "critical": one.critical,
        }
        for one in kept.phrases
    ]
    classes = {name: list(items) for name, items in kept.classes.items()}
    return {
        "name": kept.name,
        "phrases": json.dumps({"phrases": phrases, "classes": classes}, ensure_ascii=False),
        "num_phrases": len(phrases),
        "created_at": kept.created_at.isoformat(),
        "updated_at": kept.updated_at.isoformat(),
    }


def _kept(row: RowMapping) -> KeptPhrases:
    content = json.loads(row["phrases"])
    return KeptPhrases(
        name=row["name"],
        phrases=tuple(
            Phrase(**facts | {"sounds_like": tuple(facts["sounds_like"])}) for facts in content["phrases"]
        ),
        classes={name: tuple(items) for name, items in content["classes"].items()},
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _now() -> datetime:
    return datetime.now(UTC)


def _check_name(name: str) -> None:
    if not is_valid_name(name):
        raise OptionError(
            f"phrase set name {name[:128]!r} is not allowed; give 1-128 letters, digits, '.', '-' or '_'",
            field="phrase_set.name",
        )


def _taken(name: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"a phrase set {name!r} is kept already; update it, or give another name")


def _unknown(name: str, names: Sequence[str]) -> PhraseSetNotFoundError:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:5]
    return PhraseSetNotFoundError(
        f"no phrase set {name[:128]!r} is kept; there is {', '.join(near) or 'none yet'}"
    )
