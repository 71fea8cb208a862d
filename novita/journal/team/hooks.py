"""Webhook addresses that Novita calls when a task ends, shared by every process on a PostgreSQL journal.

A row says which task an address is for; of the address itself only a hash is kept. A call reaches all processes at once
(LISTEN, NOTIFY), and a process in which a caller waits for the task looks at it now. If nobody waits, one process looks
at the task, and the others skip the row that it has locked (SKIP LOCKED).
"""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from ..databases import Db
from ..journal import Journal

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_CHANNEL = "novita_mcp_hooks"
_KEPT = 86_400.0
"""Seconds for which an address is kept; no task takes this long."""
_AT_A_TIME = 16


@dataclass(frozen=True)
class CalledTask:
    """A task whose webhook address was called, which says that the task has ended."""

    owner: str
    task_id: str


async def share_hook(journal: Journal, token: str, owner: str, task_id: str, *, called: int) -> None:
    """Let every process know whose task an address is for.

    Args:
        called: How often the address was called before its task was known.

    Raises:
        JournalError: The database cannot be used.
    """

    def write(db: Db) -> None:
        now = journal.wall()
        db.execute("DELETE FROM hooks WHERE made < ?", (now - _KEPT,))
        db.execute(
            "INSERT INTO hooks (token, owner, task_id, made, called, looked) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (_hash(token), owner, task_id, now, called, called),
        )

    await journal.transact(write)


async def knows_hook(journal: Journal, token: str, *, most: int) -> bool:
    """Whether this address exists and was called fewer than `most` times.

    Raises:
        JournalError: The database cannot be used.
    """
    known = "SELECT 1 FROM hooks WHERE token = ? AND called < ?"
    return await journal.transact(lambda db: db.execute(known, (_hash(token), most)).fetchone() is not None)


async def call_hook(journal: Journal, token: str, *, most: int) -> bool:
    """Note that an address was called, and tell all processes. Returns whether it exists, as `knows_hook`.

    Args:
        most: How many calls one address accepts.

    Raises:
        JournalError: The database cannot be used.
    """

    def call(db: Db) -> bool:
        row = db.execute(
            "UPDATE hooks SET called = called + 1 WHERE token = ? AND called < ? RETURNING owner, task_id",
            (_hash(token), most),
        ).fetchone()
        if row is not None:
            db.execute("SELECT pg_notify(?, ?)", (_CHANNEL, f"{row['owner']} {row['task_id']}")).close()
        return row is not None

    return await journal.transact(call)


async def take_called(journal: Journal, owners: Sequence[str], task: CalledTask | None = None) -> list[CalledTask]:
    """Claim the tasks of these owners whose address was called and that no process has looked at since.

    Args:
        task: Claim only this one.

    Raises:
        JournalError: The database cannot be used.
    """
    if not owners:
        return []
    marks = ", ".join("?" * len(owners))
    only_this = " AND task_id = ?" if task is not None else ""

    def take(db: Db) -> list[CalledTask]:
        rows = db.execute(
            "UPDATE hooks SET looked = called WHERE token IN (SELECT token FROM hooks WHERE called > looked"  # noqa: S608  # all ours
            f" AND owner IN ({marks}){only_this} ORDER BY made LIMIT {_AT_A_TIME} FOR UPDATE SKIP LOCKED)"
            " RETURNING owner, task_id",
            (*owners, *([task.task_id] if task is not None else [])),
        ).fetchall()
        return [CalledTask(row["owner"], row["task_id"]) for row in rows]

    return await journal.transact(take)


async def hear_calls(url: str, *, pause: float) -> AsyncGenerator[CalledTask | None]:
    """The calls that any process receives, as they come; None after every `pause` seconds without one.

    Raises:
        psycopg.Error: The connection is broken; listen again.
    """
    import psycopg  # only a team's server needs it

    connection: AsyncConnection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10)
    try:
        await connection.execute(f"LISTEN {_CHANNEL}".encode())
        yield None  # so that the reader looks for calls that came before it listened
        while True:
            async for heard in connection.notifies(timeout=pause, stop_after=1):
                owner, _, task_id = heard.payload.partition(" ")
                yield CalledTask(owner, task_id)
                break
            else:
                yield None
    finally:
        with anyio.CancelScope(shield=True):  # the process may be about to end
            await connection.close()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
