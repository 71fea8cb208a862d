"""Marks whether a journal's file keeps jobs of Novita or of a simulator, so that the two are never mixed."""

from enum import IntEnum
from typing import TYPE_CHECKING

from ...core.errors import JournalError

if TYPE_CHECKING:
    import sqlite3


class Whose(IntEnum):
    """The value of SQLite's `application_id`. Older versions left it 0, which means unknown."""

    NOVITA = 0x4E6F7661
    ANOTHER = 0x4E6F7662
    """A simulator, or any other server that is used in Novita's place."""


def keep_apart(db: "sqlite3.Connection", label: str, whose: Whose) -> None:
    """Mark a file before its tables are made, or refuse it.

    An unmarked file with tables may hold paid jobs, so it can become Novita's but never a simulator's.

    Raises:
        JournalError: The file keeps jobs of the other sort.
    """
    kept: int = db.execute("PRAGMA application_id").fetchone()[0]
    if kept == whose:
        return
    if kept in tuple(Whose):
        its, ours = "Novita itself", "another one, which NOVITA_BASE_URL names"
        if kept == Whose.ANOTHER:
            its, ours = "another Novita, such as a simulator", "Novita itself"
        raise JournalError(
            f"The journal ({label}) keeps the jobs of {its}, and this server asks {ours}",
            next_step="Leave NOVITA_MCP_JOURNAL out, and each has its own, or name another file.",
        )
    new = db.execute("PRAGMA user_version").fetchone()[0] == 0
    if new or whose is Whose.NOVITA:
        db.execute(f"PRAGMA application_id = {int(whose)}")
