"""What the journal needs of a database, and what SQLite and PostgreSQL share.

Statements are written as for SQLite: `?` stands for a value, and rows are read by name or index. Where the two
dialects differ (locks, dates, JSON members, triggers), the open database (`Db`) supplies the SQL.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from ...core.errors import JournalError
from ...core.redaction import without_secrets_json
from ...core.wellformed import well_formed

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds to wait for another process's lock, or for a database server to accept a connection."""


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None: ...


class Db(Protocol):
    """An open database in a unit of work. Once `lock` was called, the work is committed as a whole or not at all."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement; `?` stands for a value."""
        ...

    def lock(self, what: str) -> None:
        """Hold a lock of this name until the unit of work ends; other processes wait at the same name.

        Call it before reading. A unit of work that needs several locks must take them in the same order everywhere,
        or two processes could wait for each other.
        """
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
        """Create a trigger, which runs after each change of a row, whichever process makes the change.

        Args:
            event: INSERT, UPDATE or DELETE.
            when: A condition on the row: NEW is the row after the change, OLD before it.
            do: One statement.
        """
        ...


Step = str | Callable[[Db], None]
"""One migration to the next version of the tables: SQL statements, or a function that goes row by row."""


class Store(Protocol):
    """Runs units of work, from any thread.

    Args:
        label: Its name in messages, without secrets.
        reopened: Called in a unit of work on the new file, after a file that was replaced or damaged had its open
            rows carried over there. Its text says what happened.
    """

    label: str
    reopened: Callable[[Db, str], None]

    def run(self, work: Callable[[Db], T]) -> T:
        """Run `work` and commit what it wrote.

        Raises:
            JournalError: The database cannot be used.
        """
        ...

    def close(self) -> None: ...


def is_database_url(text: str) -> bool:
    """Whether a journal setting is the URL of a database server rather than the path of a file."""
    return text.startswith(("postgresql://", "postgres://"))


def nobody_is_told(db: Db, told: str) -> None:
    """The default for `Store.reopened`: does nothing."""


def fit_to_keep(values: Sequence[Any]) -> tuple[Any, ...]:
    """Values of a statement without secrets and unpaired surrogates. Every value that is written passes here."""
    return tuple(well_formed(without_secrets_json(value)) if isinstance(value, str) else value for value in values)


def statements_of(step: str) -> list[str]:
    """The statements of a step that is written as one text."""
    return [statement for statement in step.split(";") if statement.strip()]


def known_version(version: int, newest: int) -> int:
    """Return the version of a database's tables.

    Raises:
        JournalError: A newer novita-mcp made the tables.
    """
    if version > newest:
        raise JournalError(
            "The journal was written by a newer novita-mcp",
            next_step="Have the user update novita-mcp, or name another journal in NOVITA_MCP_JOURNAL.",
        )
    return version
