"""The audit log: who called which tool for which model, what it cost, and how it ended. One row a call.

It does not hold what was asked for, unless the operator turns that on. Rows are deleted when they are too old.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import anyio

from ...core.money import MICRO
from ..databases import Db
from ..journal import Journal
from ..rows import utc
from ..segments import DAY, cost_at

_FORGET_EVERY = 3_600.0
"""Seconds between two deletions of old rows."""
_GATHERED_FOR = 0.1
"""Seconds for which calls that began nothing are gathered, because a transaction for each costs more than the call."""
_MOST_MODELS = 200
"""The most characters that a row keeps of the names of a call's models."""


@dataclass(frozen=True)
class AuditEntry:
    """One call.

    Args:
        number: Grows from call to call; pages of the log are cut by it.
        owner: Who called: the subject that signed in, or else a hash of the key.
        model: The models that were paid for, separated by commas; empty if nothing was begun.
        usd: The cost of its jobs when the call ended; machines and endpoints cost more as they run.
        outcome: ok, error or cancelled.
        arguments: The call's arguments as JSON; None if they are not kept.
    """

    number: int
    at: datetime
    owner: str
    tool: str
    model: str
    usd: Decimal
    outcome: str
    seconds: float
    arguments: str | None


class AuditLog:
    """Writes the log; nothing else does.

    Args:
        days: How many days a row is kept; 0: none is written.
    """

    def __init__(self, days: int) -> None:
        self.days = days
        self._forgot = float("-inf")
        self._ended: list[Callable[[Db], None]] = []
        """Writes one row for each call that has ended since the last `write`."""
        self._gathering = False

    def note(
        self,
        journal: Journal,
        *,
        owner: str,
        tool: str,
        outcome: str,
        seconds: float,
        begun: Sequence[str],
        arguments: str | None = None,
    ) -> None:
        """Remember a call that has ended, for the next `write`.

        Args:
            begun: Keys of the jobs that the call began.
        """
        if self.days:
            now = journal.wall()
            self._ended.append(partial(_insert, now, owner, tool, outcome, round(seconds, 3), tuple(begun), arguments))

    async def write(self, journal: Journal) -> None:
        """Write what was noted. If the database does not answer, it is written as soon as it does."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        now = journal.wall()

        def write(db: Db) -> None:
            for insert in ended:
                insert(db)
            if now - self._forgot > _FORGET_EVERY:
                self._forgot = now
                db.execute("DELETE FROM audit WHERE at < ?", (now - self.days * DAY,))

        await journal.keep(write)

    def write_soon(
        self, journal: Journal, start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
    ) -> None:
        """Write what was noted in the background, with what is noted until then; at once if the process ends."""
        if not self._gathering:
            self._gathering = True
            start_soon(partial(self._gathered, journal))

    async def _gathered(self, journal: Journal) -> None:
        try:
            await anyio.sleep(_GATHERED_FOR)
        finally:
            self._gathering = False
            with anyio.CancelScope(shield=True):
                await self.write(journal)


def _insert(
    now: float, owner: str, tool: str, outcome: str, seconds: float, begun: Sequence[str], arguments: str | None, db: Db
) -> None:
    models, micro = _paid_for(db, begun, now)
    db.execute(
        "INSERT INTO audit (at, owner, tool, model, micro, outcome, seconds, arguments)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, owner, tool, models, micro, outcome, seconds, arguments),
    )


def _paid_for(db: Db, begun: Sequence[str], now: float) -> tuple[str, int]:
    """The models of these jobs, and what the jobs cost in micro dollars."""
    models: dict[str, None] = {}
    micro = 0
    for key in begun:
        # The statement is built from segments.py only, so nothing from outside can get into it.
        row = db.execute(f"SELECT model, {cost_at(now)} AS micro FROM jobs WHERE key = ?", (key,)).fetchone()  # noqa: S608
        if row is not None:
            models[row["model"]] = None
            micro += row["micro"]
    return ", ".join(name for name in models if name)[:_MOST_MODELS], int(micro)


async def read_audit(
    journal: Journal, *, limit: int, before: int | None = None, owner: str | None = None, outcome: str | None = None
) -> list[AuditEntry]:
    """The log, newest first.

    Args:
        before: Return only entries with a smaller number.

    Raises:
        JournalError: The journal cannot be used.
    """
    wanted = {"rowid < ?": before, "owner = ?": owner, "outcome = ?": outcome}
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = " AND ".join(given) or "1 = 1"

    def read(db: Db) -> list[AuditEntry]:
        rows = db.execute(
            f"SELECT rowid AS number, * FROM audit WHERE {where} ORDER BY rowid DESC LIMIT ?",  # noqa: S608  # all ours
            (*given.values(), limit),
        ).fetchall()
        return [
            AuditEntry(
                number=row["number"],
                at=utc(row["at"]),
                owner=row["owner"],
                tool=row["tool"],
                model=row["model"],
                usd=Decimal(row["micro"]) / MICRO,
                outcome=row["outcome"],
                seconds=row["seconds"],
                arguments=row["arguments"],
            )
            for row in rows
        ]

    return await journal.transact(read)
