"""The journal of one user: a SQLite file, or rows in memory."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ...core.errors import JournalError
from ...core.this_machine import FOLDER, make_private
from ...core.words import counted
from .copying import copy_before
from .database import PATIENCE, Db, Step, fit_to_keep, known_version, nobody_is_told, statements_of
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


class _SqliteDb(sqlite3.Connection):
    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql, fit_to_keep(parameters))

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
            if self._path is not None and self._log is None:  # SQLite makes the log at the first write
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
        """Switch to the file that now has the journal's name, and carry the old file's open rows into it."""
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
            f"or new in it ({counted(rest.jobs, 'job')}) was carried into the file that is there now.",
        )

    def _replace_damaged(self, path: Path) -> None:
        """Make a new file in place of a damaged one, with the open rows that can still be read."""
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._file is not None and identity(path) != self._file:
            return  # another process has replaced it already
        rest = read_damaged(path)
        aside = move_aside(path)
        self._carry(
            rest,
            f"The journal {path} was damaged. It was moved to {aside.name}, and a new one begun with the "
            f"{counted(rest.jobs, 'open or new job')} that could be read. What was running goes on at Novita; its "
            "console shows machines and endpoints.",
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
            # Make the file with private permissions before SQLite makes it with the default ones.
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
            db.execute("PRAGMA secure_delete = ON")  # overwrite deleted rows, which may hold secrets
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
        if known_version(db.execute("PRAGMA user_version").fetchone()[0], newest) == newest:
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
                for statement in statements_of(step):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {newest}")
        if version:
            self._forget(db)

    def _forget(self, db: _SqliteDb) -> None:
        """Rewrite the file (VACUUM), because rows that earlier versions deleted are still in its free pages."""
        try:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:  # another process uses the file, or the disk is too full for a copy
            logger.warning("free places of the journal were not cleared: %s", error)
