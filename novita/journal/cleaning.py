"""A journal's texts without the keys that version 0.1.0 let into them.

A row names its owner by a hash of the key, so that a key is known again where it stands in a text, whosever it is and
although nobody has told it to this process.
"""

import base64
import binascii
import re
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol

from ..core.redaction import decoded, owner_of, without_secrets_json


class Executes(Protocol):
    """What runs statements: either database, or a file's copy."""

    def execute(self, statement: str, values: Any = (), /) -> Any: ...


_TEXTS = {
    "jobs": ("task_id", "model", "title", "reason", "facts"),
    "artifacts": ("task_id", "data"),
    "leases": ("instance_id", "name", "note"),
}


def clean_journal(db: Executes) -> None:
    """Take keys out of every text of every row. Part of bringing the tables up to date: it runs once."""
    tables = {table: columns for table, columns in _TEXTS.items() if _is_there(db, table)}
    owners = {row[0] for table in tables for row in db.execute(f"SELECT DISTINCT owner FROM {table}").fetchall()}  # noqa: S608  # all ours
    for table, columns in tables.items():
        for row in db.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}").fetchall():  # noqa: S608
            for column, text in zip(columns, tuple(row)[1:], strict=True):
                clean = _without_keys(text, owners) if text else text
                if clean == text:
                    continue
                if column == "task_id":
                    clean = f"{clean} {row[0]}"  # two ids that differed must not become one
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (clean, row[0]))  # noqa: S608


def _is_there(db: Executes, table: str) -> bool:
    """Whether the journal has the table: the first ones had no leases, and only a file's copy is cleaned as it is."""
    return (
        table != "leases"
        or not isinstance(db, sqlite3.Connection)
        or bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone())
    )


def _without_keys(text: str, owners: set[str]) -> str:
    found = {word for word in _words(text) if _owner(word) in owners}
    return without_secrets_json(text, *found)


_owner = lru_cache(4_096)(owner_of)


def _words(text: str) -> Iterator[str]:
    """Everything in `text` that could be a key: as it stands there, escaped, or in base64."""
    for form in (text, *decoded(text)):
        yield from _pieces(form)
        for run in re.findall(r"[A-Za-z0-9+/_\-]{10,1000}", form):
            yield from _in_base64(run)


_SPLITS = (
    r"\s+",
    r"[\s\"?&]+",
    r"[\s\"'<>(){}\[\],;]+",
    r"[\s\"'<>(){}\[\],;=:/?&@|#`.!]+",
    r"[^A-Za-z0-9_\-]+",
    r"[^A-Za-z0-9_\-.~+/=]+",
)
"""What may stand between a key and the words beside it, from what no key holds to what few do."""


def _pieces(text: str) -> Iterator[str]:
    for split in _SPLITS:
        for piece in re.split(split, text):
            for part in (piece, piece.partition("=")[2]):
                for bare in (part, part.strip("\"'`.,:;!?\\*()[]{}<>")):
                    if 6 <= len(bare) <= 500:
                        yield bare


def _in_base64(run: str) -> Iterator[str]:
    run = run.replace("-", "+").replace("_", "/")
    for skip in range(4):
        part = run[skip:]
        part = part[: len(part) - len(part) % 4] if len(part) % 4 == 1 else part + "=" * (-len(part) % 4)
        try:
            plain = base64.b64decode(part)
        except binascii.Error:
            continue
        for piece in re.findall(rb"[!-~]{6,500}", plain):
            yield from _pieces(piece.decode("ascii"))
