"""A copy of a journal's file as it was before it is brought up to date."""

import os
import sqlite3
from pathlib import Path

from ..cleaning import clean_journal


def copy_before(db: sqlite3.Connection, path: Path, version: int, kind: type[sqlite3.Connection]) -> Path:
    """Copy the file into its own folder, without the keys that version 0.1.0 let into it, and return the copy's path.

    Args:
        db: The open file, locked for writing so that no process changes it meanwhile.
        version: The version of its tables.
        kind: The class of the journal's connections.

    Raises:
        sqlite3.Error, OSError: The disk is full, for one. Nothing was changed.
    """
    copy = path.with_name(f"{path.name}.before-{version}")
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    # A second connection, because the one that holds the lock would copy within its own transaction.
    source = sqlite3.connect(path)
    other = sqlite3.connect(part, factory=kind, isolation_level=None)
    try:
        source.backup(other)
        other.execute("PRAGMA journal_mode = DELETE")
        other.row_factory = sqlite3.Row
        with other:
            other.execute("BEGIN")
            clean_journal(other)
        other.execute("VACUUM")
    finally:
        other.close()
        source.close()
    part.replace(copy)
    return copy
