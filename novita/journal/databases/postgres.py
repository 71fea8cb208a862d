"""The journal of a team: a PostgreSQL server, through psycopg's own pool of connections."""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from ...core.errors import JournalError
from .database import PATIENCE, Db, Rows, Step, fit_to_keep, known_version, nobody_is_told, statements_of

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
    from psycopg_pool import ConnectionPool

T = TypeVar("T")

_CONNECTIONS = 8
"""The largest number of connections that one process keeps to a database server."""


class NamedRow(tuple[Any, ...]):
    """A row that is read by name or index, as SQLite's rows are; psycopg's own row types offer only one of the two."""

    names: tuple[str, ...] = ()

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


@cache
def _row_of(names: tuple[str, ...]) -> type[NamedRow]:
    return type("NamedRow", (NamedRow,), {"names": names})


def named_rows(cursor: "Cursor[Any]") -> Callable[[Sequence[Any]], NamedRow]:
    """psycopg's row factory for them."""
    return _row_of(tuple(column.name for column in cursor.description or ()))


class _PostgresDb:
    def __init__(self, connection: "Connection[NamedRow]") -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        # PostgreSQL refuses text with a zero byte; SQLite takes it.
        given = [value.replace("\0", "") if isinstance(value, str) else value for value in fit_to_keep(values)]
        return self._connection.execute(statement.replace("%", "%%").replace("?", "%s").encode(), given)

    def lock(self, what: str) -> None:
        number = int.from_bytes(hashlib.sha256(f"novita-mcp {what}".encode()).digest()[:8], signed=True)
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (number,))

    def day_of(self, seconds: str) -> str:
        return f"to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

    def day_number(self, seconds: str) -> str:
        return f"CAST(FLOOR({seconds} / 86400) AS BIGINT)"

    def fact(self, column: str, name: str) -> str:
        return f"(CAST({column} AS json) ->> '{name}')"

    def on_change(self, name: str, table: str, event: str, *, when: str, do: str) -> None:
        body = f"BEGIN {do}; RETURN NULL; END"
        self.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        each = f"AFTER {event} ON {table} FOR EACH ROW WHEN ({when})"
        self.execute(f"CREATE TRIGGER {name} {each} EXECUTE FUNCTION {name}()")


class PostgresStore:
    """A pool of connections to a PostgreSQL server.

    The pool connects in its own threads and does not report why a connection fails. So one connection is made here
    first, which also upgrades the tables; if the server cannot be reached, the caller gets the reason at once.
    """

    def __init__(self, url: str, migrations: Sequence[Step]) -> None:
        parts = urlsplit(url)
        self.label = f"postgresql://{parts.hostname or ''}{parts.path}"
        self._url = url
        self._secrets = [form for form in (parts.password, unquote(parts.password or "")) if form]
        self._migrations = migrations
        self._pool: ConnectionPool[Connection[NamedRow]] | None = None
        self._guard = threading.Lock()
        self._first = threading.BoundedSemaphore(_CONNECTIONS)
        self._ran = False
        self.reopened: Callable[[Db, str], None] = nobody_is_told

    def run(self, work: Callable[[Db], T]) -> T:
        psycopg, psycopg_pool = _driver()
        while True:
            begun = is_new = False
            pool = self._pool
            try:
                if pool is None:
                    pool, is_new = self._open(), True
                with pool.connection() as connection, connection.transaction():  # rolls back on any error
                    begun = True
                    return work(_PostgresDb(connection))
            except psycopg_pool.PoolTimeout as error:
                raise self._trouble(f"all {_CONNECTIONS} connections are at work") from error
            except psycopg.Error as error:
                if begun or is_new or pool is None:
                    raise self._trouble(str(error)) from error
                # The database server was restarted. The work had not begun, so running it again repeats nothing.
                self._close(pool)

    def close(self) -> None:
        if self._pool is not None:
            self._close(self._pool)

    def _close(self, pool: "ConnectionPool[Connection[NamedRow]]") -> None:
        """Close a pool; connections that are in use are closed once their work is done."""
        with self._guard:
            if self._pool is pool:
                self._pool = None
        pool.close()

    def _open(self) -> "ConnectionPool[Connection[NamedRow]]":
        psycopg, psycopg_pool = _driver()
        how: dict[str, Any] = {
            "autocommit": True,
            "connect_timeout": int(PATIENCE),
            "row_factory": named_rows,
            "options": f"-c statement_timeout={PATIENCE * 2_000:.0f} -c lock_timeout={PATIENCE * 1_000:.0f}",
        }
        with self._first, psycopg.connect(self._url, **how) as connection:
            self._migrate(connection)
        with self._guard:
            if self._pool is not None:  # another thread has opened it meanwhile
                return self._pool
            pool: ConnectionPool[Connection[NamedRow]] = psycopg_pool.ConnectionPool(
                self._url,
                kwargs=how,
                name=self.label,
                min_size=1,
                max_size=_CONNECTIONS,
                timeout=2 * PATIENCE,
                open=True,
            )
            self._pool = pool
            return pool

    def _migrate(self, connection: "Connection[NamedRow]") -> None:
        """Bring the tables of any earlier version to the newest schema; several processes may try at once."""
        newest = len(self._migrations)
        db = _PostgresDb(connection)
        with connection.transaction():
            db.lock("schema")
            db.execute("CREATE TABLE IF NOT EXISTS journal_version (version BIGINT NOT NULL)")
            row = db.execute("SELECT version FROM journal_version").fetchone()
            version: int = row[0] if row else 0
            if version > newest and self._ran:
                return  # a newer server upgraded the tables while this one ran; this one may go on using them
            if known_version(version, newest) == newest:
                self._ran = True
                return
            for step in self._migrations[version:]:
                if callable(step):
                    step(db)
                    continue
                for statement in statements_of(step):
                    db.execute(_in_postgres(statement))
            db.execute("DELETE FROM journal_version")
            db.execute("INSERT INTO journal_version VALUES (?)", (newest,))
        self._ran = True

    def _trouble(self, what: str) -> JournalError:
        text = " ".join(what.split())
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return JournalError(
            f"The journal ({self.label}) cannot be used: {text[:300]}",
            next_step="Have whoever runs this server look at its database.",
        )


def _driver() -> tuple[Any, Any]:
    """Import psycopg and psycopg_pool, which only a server for a team needs."""
    try:
        import psycopg
        import psycopg_pool
    except ImportError as error:
        raise JournalError(
            "A journal in PostgreSQL needs a driver that is not installed",
            next_step="Have whoever runs this server install novita-mcp[team].",
        ) from error
    return psycopg, psycopg_pool


_TYPES = {"REAL": "DOUBLE PRECISION", "INTEGER": "BIGINT"}


def _in_postgres(statement: str) -> str:
    """Translate a statement of the schema for PostgreSQL: the types, and the rowid column that SQLite adds by itself.

    By hand: the tables have two types, and a library for both dialects would be loaded at every start.
    """
    statement = re.sub(r"\b(REAL|INTEGER)\b", lambda found: _TYPES[found[0]], statement)
    counted = r"\1rowid BIGINT GENERATED ALWAYS AS IDENTITY, "
    return re.sub(r"(CREATE TABLE \w+ \(\s*)", counted, statement)
