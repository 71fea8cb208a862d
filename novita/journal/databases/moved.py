"""Handles a journal file that was replaced, removed or damaged while a server runs: its open rows are carried into the
new file, so that the caps still count them and no paid job is forgotten.
"""

import logging
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_OPEN = "('submitting', 'unconfirmed', 'working')"
_LATELY = 2 * 86_400
"""Rows of so many seconds before the newest one are carried over, because a cap of a day may count them."""
_KEYS = (
    f"SELECT key FROM jobs WHERE state IN {_OPEN}"  # noqa: S608  # all ours
    f" OR created >= (SELECT MAX(created) FROM jobs) - {_LATELY}"
    " OR key IN (SELECT job FROM segments WHERE until IS NULL)"
)
_CARRIED = {
    "jobs": f"key IN ({_KEYS})",
    "segments": f"job IN ({_KEYS})",
    "artifacts": f"(owner, task_id) IN (SELECT owner, task_id FROM jobs WHERE key IN ({_KEYS}))",  # noqa: S608
    "kept_leases": "state IN ('pending', 'active')",
    "gone": "1 = 1",
    "kept_keys": "1 = 1",
    "used_notes": "1 = 1",
}
"""Table -> the condition on the rows that are carried over."""

_CORRUPT, _NO_DATABASE = 11, 26
"""SQLite's codes for a damaged file and for one that is no database."""
_MAGIC = b"SQLite format 3\0"

Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """The identity of the file at this path; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def log_of(path: Path) -> Path:
    """The path of SQLite's write-ahead log, which holds what is not in the file itself yet."""
    return path.with_name(f"{path.name}-wal")


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside a database."""
    return log_of(path), path.with_name(f"{path.name}-shm")


@dataclass
class Rest:
    """The rows that were still open in a file. `whole`: all of them could be read."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    whole: bool = True

    @property
    def jobs(self) -> int:
        return len(self.tables.get("jobs", ()))


def read_rest(db: sqlite3.Connection) -> Rest:
    """The open rows of a database, as far as they can be read."""
    rest = Rest()
    for table, where in _CARRIED.items():
        rows = rest.tables.setdefault(table, [])
        try:
            for row in db.execute(f"SELECT * FROM {table} WHERE {where}"):  # noqa: S608  # all ours
                rows.append(dict(row))
        except sqlite3.Error as error:
            rest.whole = False
            logger.warning("%s of the old journal cannot all be read: %s", table, error)
    return rest


def put_rest(db: sqlite3.Connection, rest: Rest) -> None:
    """Write the rows that the new file does not have yet."""
    known = {row[0] for row in db.execute("SELECT key FROM jobs")} if rest.tables.get("segments") else set[str]()
    for table, rows in rest.tables.items():
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for row in rows:
            if table == "segments" and row["job"] in known:
                continue  # its row was there already, and so are they
            kept = {name: value for name, value in row.items() if name in there}
            db.execute(
                f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})"  # noqa: S608
                " ON CONFLICT DO NOTHING",
                tuple(kept.values()),
            )


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Whether the file is a damaged journal. Any other kind of file is the user's own, and must not be replaced."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF not in (_CORRUPT, _NO_DATABASE):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError:
        return False
    return start == _MAGIC or not start.strip(b"\0")


def read_damaged(path: Path) -> Rest:
    """The open rows that can still be read from a damaged file."""
    with suppress(sqlite3.Error):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            db.row_factory = sqlite3.Row
            return read_rest(db)
        finally:
            db.close()
    return Rest(whole=False)


def move_aside(path: Path) -> Path:
    """Rename a file and the files that SQLite keeps beside it; returns the new path."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    number = 1
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{aside.name.partition('_')[0]}_{number}")
    path.rename(aside)
    for file, moved in zip(beside(path), beside(aside), strict=True):
        with suppress(FileNotFoundError):
            file.rename(moved)
    return aside


def clear_logs(path: Path, ours: Identity | None) -> None:
    """Remove the files that SQLite left beside a file that is gone; a new file of this name would read them as its
    own."""
    if ours is not None and identity(log_of(path)) == ours:
        for file in beside(path):
            with suppress(OSError):
                file.unlink()


def leave_open(db: sqlite3.Connection) -> None:
    """Never close a connection, not even at the end of the process."""
    import ctypes  # not at the top: this is rare

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))
