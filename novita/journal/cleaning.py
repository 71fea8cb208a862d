"""Removes the API keys that version 0.1.0 let into a journal's texts.

Each row names its owner by a hash of the key. So any word of a text whose hash is an owner's is a key, and this
process need not know the keys themselves.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Protocol

from ..core.redaction import decoded, owner_of, without_secrets_json


class Executes(Protocol):
    """Something that runs statements: either kind of database, or the copy of a file."""

    def execute(self, statement: str, values: Any = (), /) -> Any: ...


_TEXTS = {
    "jobs": ("task_id", "model", "title", "reason", "facts"),
    "artifacts": ("task_id", "data"),
    "leases": ("instance_id", "name", "note"),
}


def clean_journal(db: Executes) -> None:
    """Remove keys from every text of every row. This is one step of upgrading the tables, and runs once."""
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
    """Whether the journal has this table. The copy of an old file is cleaned before it is upgraded, and the oldest
    files have no leases."""
    import sqlite3  # not at the top: a journal that is not opened needs it not

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
"""Characters that may separate a key from the words beside it, from those no key holds to those few keys hold."""


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
