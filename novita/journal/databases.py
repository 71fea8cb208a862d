"""Where the journal lives: a SQLite file of one user, or PostgreSQL for a team. One schema text, two dialects.

Statements are written in SQLite's way: `?` for values, rows read by name or place. What SQL has no common words
for is asked of the open database (`Db`): how to have a thing to oneself until the end, and a few expressions.
"""

import hashlib
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from ..core.errors import JournalError
from ..core.private import FOLDER, make_private
from ..core.processes import is_alive as is_alive  # also found here, beside the rows that name processes
from ..core.processes import this_host as this_host
from ..core.redaction import without_secrets_json
from ..core.wellformed import well_formed
from .copying import copy_before
from .moved import (
    Identity,
    Rest,
    clear_logs,
    identity,
    is_damage,
    leave_open,
    log_of,
    move_aside,
    put_rest,
    read_damaged,
    read_rest,
)
from .whose import Whose, keep_apart

T = TypeVar("T")
logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds to wait for another process to let go, or for a database server to take a connection."""

_CONNECTIONS = 8
"""Connections one process keeps to a database server at most."""


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None: ...


class Db(Protocol):
    """An open database in a unit of work, which is kept whole or not at all once `lock` was called."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement; `?` stands for a value."""
        ...

    def lock(self, what: str) -> None:
        """Until the end of the work no other process gets past the same words. Call it before reading; more than
        once where there is more than one thing to keep, always in the same order."""
        ...

    def day_of(self, seconds: str) -> str:
        """SQL for the UTC day (`2026-11-23`) of a column of Unix time."""
        ...

    def day_number(self, seconds: str) -> str:
        """SQL for the days since 1970 of a column of Unix time."""
        ...

    def fact(self, column: str, name: str) -> str:
        """SQL for a member of a column that holds a JSON object; NULL where it has none."""
        ...

    def on_change(self, name: str, table: str, event: str, *, when: str, do: str) -> None:
        """Have the database do something itself after each change of a row, whoever makes it.

        Args:
            event: INSERT, UPDATE or DELETE.
            when: A condition about the row, as it is NEW and as it was OLD.
            do: One statement.
        """
        ...


Step = str | Callable[[Db], None]
"""One step from a version of the tables to the next: statements, or what has to be done row by row."""


class Store(Protocol):
    """Runs units of work, from any thread.

    Args:
        label: What to call it, without secrets.
        reopened: Told in the new place, within a unit of work, where its rows had to be carried to another one.
    """

    label: str
    reopened: Callable[[Db, str], None]

    def run(self, work: Callable[[Db], T]) -> T:
        """Do `work` and keep what it wrote.

        Raises:
            JournalError: The database cannot be used.
        """
        ...

    def close(self) -> None: ...


def open_store(path: Path | None, url: str | None, migrations: Sequence[Step], *, whose: Whose | None = None) -> Store:
    """The store for a file, for a URL where one is given, or in memory for neither. Nothing is opened yet.

    Args:
        whose: Whose jobs a file is for; a file that has the other's is refused. None: whoever's.
    """
    return PostgresStore(url, migrations) if url else SqliteStore(path, migrations, whose)


def is_database_url(text: str) -> bool:
    """Whether a journal setting names a database server."""
    return text.startswith(("postgresql://", "postgres://"))


def nobody_is_told(db: Db, told: str) -> None:
    """Stands for who is told of a journal's new place."""


# SQLite


class _SqliteDb(sqlite3.Connection):
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql, _fit_to_keep(parameters))

    def lock(self, what: str) -> None:  # a file has one lock for all
        if not self.in_transaction:
            self.execute("BEGIN IMMEDIATE")

    def day_of(self, seconds: str) -> str:
        return f"date({seconds}, 'unixepoch')"

    def day_number(self, seconds: str) -> str:
        return f"CAST({seconds} / 86400 AS INTEGER)"

    def fact(self, column: str, name: str) -> str:
        return f"json_extract({column}, '$.{name}')"

    def on_change(self, name: str, table: str, event: str, *, when: str, do: str) -> None:
        self.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} WHEN {when} BEGIN {do}; END")


class SqliteStore:
    """One connection to a file; None keeps everything in memory."""

    def __init__(self, path: Path | None, migrations: Sequence[Step], whose: Whose | None = None) -> None:
        self.label = str(path or "memory")
        self._path = path
        self._whose = whose
        self._migrations = migrations
        self._lock = threading.Lock()
        self._db: _SqliteDb | None = None
        self._file: Identity | None = None
        self._log: Identity | None = None
        self.reopened: Callable[[Db, str], None] = nobody_is_told

    def run(self, work: Callable[[Db], T]) -> T:
        with self._lock:
            try:
                return self._run(work)
            except (sqlite3.Error, OSError) as error:
                raise JournalError(
                    f"The journal ({self.label}) cannot be used: {error}",
                    next_step="Check that its folder is writable and the disk not full, or set NOVITA_MCP_JOURNAL=off.",
                ) from error

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _run(self, work: Callable[[Db], T]) -> T:
        try:
            if self._path is not None and self._db is not None and identity(self._path) != self._file:
                self._follow(self._path, self._db)
            db = self._open()
            if self._path is not None and self._log is None:  # SQLite makes it when it is first needed
                self._log = identity(log_of(self._path))
            with db:  # commits, or rolls back on any error
                return work(db)
        except sqlite3.DatabaseError as error:
            if self._path is None or not is_damage(error, self._path):
                raise
            self._replace_damaged(self._path)
        db = self._open()
        with db:
            return work(db)

    def _follow(self, path: Path, old: "_SqliteDb") -> None:
        """Go on in the file that has the journal's name now, with what is open in the one that had it."""
        there = identity(path) is not None
        rest = read_rest(old)
        if identity(log_of(path)) in (None, self._log):
            clear_logs(path, self._log)
            old.close()
        else:  # closing would remove the log of the new file, which another process has open
            leave_open(old)
        self._db = None
        self._carry(
            rest,
            f"The journal {path} was {'replaced' if there else 'removed'} while the server was running. What was open "
            f"or new in it ({rest.jobs} jobs) was carried into the file that is there now.",
        )

    def _replace_damaged(self, path: Path) -> None:
        """Begin a new file in place of a damaged one, with what can be read of it."""
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._file is not None and identity(path) != self._file:
            return  # another process was quicker
        rest = read_damaged(path)
        aside = move_aside(path)
        self._carry(
            rest,
            f"The journal {path} was damaged. It was moved to {aside.name}, and a new one begun with the "
            f"{rest.jobs} open or new jobs that could be read. What was running goes on at Novita; its console shows "
            "machines and endpoints.",
        )

    def _carry(self, rest: Rest, told: str) -> None:
        db = self._open()
        with db:
            db.lock("carry")
            put_rest(db, rest)
            self.reopened(db, told)

    def _open(self) -> _SqliteDb:
        patience = time.monotonic() + PATIENCE
        while self._db is None:
            try:
                self._db = self._connect()
            except sqlite3.OperationalError as error:
                # SQLite waits for every lock but the one that turns a file to WAL: several servers may start at once.
                if "locked" not in str(error) or time.monotonic() > patience:
                    raise
                time.sleep(0.02)
        return self._db

    def _connect(self) -> _SqliteDb:
        if self._path is not None:
            self._file = identity(self._path)
            make_private(self._path.parent, ours=self._path.parent.name == FOLDER)
            # Made before SQLite does, so that nobody else can read it for even a moment.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with suppress(OSError):  # another user's file, which we may write all the same
                self._path.chmod(0o600)
        db = sqlite3.connect(
            self._path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False, factory=_SqliteDb
        )
        try:
            db.row_factory = sqlite3.Row
            if self._path is not None:
                db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")  # what is taken out is not to be found in the file's free places
            if self._whose is not None and self._path is not None:
                keep_apart(db, self.label, self._whose)
            self._migrate(db)
            if self._path is not None:
                self._file, self._log = identity(self._path), identity(log_of(self._path))
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: _SqliteDb) -> None:
        """Bring a file of any earlier version to the newest schema; several processes may try at once."""
        newest = len(self._migrations)
        if _known(db.execute("PRAGMA user_version").fetchone()[0], newest) == newest:
            return
        with db:
            db.lock("schema")
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
            if version and version < newest and self._path is not None:
                copy_before(db, self._path, version, _SqliteDb)
            for step in self._migrations[version:]:
                if callable(step):
                    step(db)
                    continue
                for statement in _statements(step):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {newest}")
        if version:
            self._forget(db)

    def _forget(self, db: _SqliteDb) -> None:
        """Write the file anew: what earlier versions had deleted is still in its free places."""
        try:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:  # another process is at it, or there is no room for a second copy
            logger.warning("free places of the journal were not cleared: %s", error)


# PostgreSQL


class _NamedRow(tuple[Any, ...]):
    """A row read by name or place, as SQLite's are."""

    names: tuple[str, ...] = ()

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


@cache
def _row_of(names: tuple[str, ...]) -> type[_NamedRow]:
    return type("_NamedRow", (_NamedRow,), {"names": names})


def _rows_by_name(cursor: Any) -> type[_NamedRow]:
    return _row_of(tuple(column.name for column in cursor.description or ()))


class _PostgresDb:
    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        # A zero byte is a character to SQLite and to nobody else.
        given = [value.replace("\0", "") if isinstance(value, str) else value for value in _fit_to_keep(values)]
        return self.connection.execute(statement.replace("%", "%%").replace("?", "%s"), given)

    def lock(self, what: str) -> None:
        number = int.from_bytes(hashlib.sha256(f"novita-mcp {what}".encode()).digest()[:8], signed=True)
        self.connection.execute("SELECT pg_advisory_xact_lock(%s)", (number,))

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
    """A few connections to a PostgreSQL server, opened as they are needed and replaced when they break."""

    def __init__(self, url: str, migrations: Sequence[Step]) -> None:
        parts = urlsplit(url)
        self.label = f"postgresql://{parts.hostname or ''}{parts.path}"
        self._url = url
        self._secrets = [form for form in (parts.password, unquote(parts.password or "")) if form]
        self._migrations = migrations
        self._idle: list[_PostgresDb] = []
        self._guard = threading.Lock()
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        self._migrated = False
        self.reopened: Callable[[Db, str], None] = nobody_is_told

    def run(self, work: Callable[[Db], T]) -> T:
        psycopg = _driver()
        with self._room:
            while True:
                old = db = self._take()
                begun = False
                try:
                    db = db or self._connect()
                    with db.connection.transaction():  # rolls back on any error
                        begun = True
                        return work(db)
                except psycopg.Error as error:
                    # Between two units of work the server may have been started again; only then nothing is repeated.
                    if old is not None and not begun and old.connection.closed:
                        continue
                    raise self._trouble(error) from error
                finally:
                    if db is not None:
                        self._give(db)

    def close(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for db in idle:
            db.connection.close()

    def _take(self) -> _PostgresDb | None:
        with self._guard:
            return self._idle.pop() if self._idle else None

    def _give(self, db: _PostgresDb) -> None:
        if db.connection.closed:
            return
        with self._guard:
            self._idle.append(db)

    def _connect(self) -> _PostgresDb:
        connection = _driver().connect(
            self._url,
            autocommit=True,
            connect_timeout=int(PATIENCE),
            row_factory=_rows_by_name,
            options=f"-c statement_timeout={PATIENCE * 2_000:.0f} -c lock_timeout={PATIENCE * 1_000:.0f}",
        )
        db = _PostgresDb(connection)
        try:
            if not self._migrated:
                self._migrate(db)
                self._migrated = True
        except BaseException:
            connection.close()
            raise
        return db

    def _migrate(self, db: _PostgresDb) -> None:
        """Bring the tables of any earlier version to the newest schema; several processes may try at once."""
        newest = len(self._migrations)
        with db.connection.transaction():
            db.lock("schema")
            db.execute("CREATE TABLE IF NOT EXISTS journal_version (version BIGINT NOT NULL)")
            row = db.execute("SELECT version FROM journal_version").fetchone()
            version = _known(row[0] if row else 0, newest)
            if version == newest:
                return
            for step in self._migrations[version:]:
                if callable(step):
                    step(db)
                    continue
                for statement in _statements(step):
                    db.execute(_in_postgres(statement))
            db.execute("DELETE FROM journal_version")
            db.execute("INSERT INTO journal_version VALUES (?)", (newest,))

    def _trouble(self, error: Exception) -> JournalError:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return JournalError(
            f"The journal ({self.label}) cannot be used: {text[:300]}",
            next_step="Have whoever runs this server look at its database.",
        )


def _driver() -> Any:
    """psycopg, which only a team's server needs."""
    try:
        import psycopg
    except ImportError as error:
        raise JournalError(
            "A journal in PostgreSQL needs a driver that is not installed",
            next_step="Have whoever runs this server install novita-mcp[team].",
        ) from error
    return psycopg


_TYPES = {"REAL": "DOUBLE PRECISION", "INTEGER": "BIGINT"}


def _in_postgres(statement: str) -> str:
    """A statement of the schema in PostgreSQL's words: its types, and the row number that SQLite keeps by itself."""
    statement = re.sub(r"\b(REAL|INTEGER)\b", lambda found: _TYPES[found[0]], statement)
    counted = r"\1rowid BIGINT GENERATED ALWAYS AS IDENTITY, "
    return re.sub(r"(CREATE TABLE \w+ \(\s*)", counted, statement)


def _fit_to_keep(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values of a statement without secrets and half emojis: the one way into either database."""
    return tuple(well_formed(without_secrets_json(value)) if isinstance(value, str) else value for value in values)


def _statements(step: str) -> list[str]:
    return [statement for statement in step.split(";") if statement.strip()]


def _known(version: int, newest: int) -> int:
    if version > newest:
        raise JournalError(
            "The journal was written by a newer novita-mcp",
            next_step="Have the user update novita-mcp, or name another journal in NOVITA_MCP_JOURNAL.",
        )
    return version
