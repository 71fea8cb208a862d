"""Whose jobs a journal's file keeps: what a simulator plays must never stand among what was paid for."""

import sqlite3
from enum import IntEnum

from ...core.errors import JournalError


class Whose(IntEnum):
    """As SQLite's `application_id` has it; 0, as older versions left it, is not known."""

    NOVITA = 0x4E6F7661
    ANOTHER = 0x4E6F7662
    """A simulator, or whoever else stands in Novita's place."""


def keep_apart(db: sqlite3.Connection, label: str, whose: Whose) -> None:
    """Note in a file whose jobs it keeps, before it has tables, or refuse it.

    What is not known becomes Novita's own when that is asked, never another's: it may hold what was paid for.

    Raises:
        JournalError: It keeps the other's.
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
