"""What the journal asks of a database, and what both kinds share.

Statements are written in SQLite's way: `?` for values, rows read by name or place. What SQL has no common words
for is asked of the open database (`Db`): how to have a thing to oneself until the end, and a few expressions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from ...core.errors import JournalError
from ...core.redaction import without_secrets_json
from ...core.wellformed import well_formed

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds to wait for another process to let go, or for a database server to take a connection."""


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


def is_database_url(text: str) -> bool:
    """Whether a journal setting names a database server."""
    return text.startswith(("postgresql://", "postgres://"))


def nobody_is_told(db: Db, told: str) -> None:
    """Stands for who is told of a journal's new place."""


def fit_to_keep(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values of a statement without secrets and half emojis: the one way into either database."""
    return tuple(well_formed(without_secrets_json(value)) if isinstance(value, str) else value for value in values)


def statements_of(step: str) -> list[str]:
    """The statements of a step that is written as one text."""
    return [statement for statement in step.split(";") if statement.strip()]


def known_version(version: int, newest: int) -> int:
    """The version of a database's tables; those of a newer novita-mcp are refused."""
    if version > newest:
        raise JournalError(
            "The journal was written by a newer novita-mcp",
            next_step="Have the user update novita-mcp, or name another journal in NOVITA_MCP_JOURNAL.",
        )
    return version
