"""The audit log: who called which tool for which model, what it cost, and how it ended. One row a call.

What was asked for is not in it, unless whoever runs the server wants that. Rows are deleted when they are too old.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ...core.money import MICRO
from ..databases import Db
from ..journal import Journal
from ..rows import utc
from ..segments import cost_at

DAY = 86_400
_FORGET_EVERY = 3_600.0
"""Seconds between two looks for what is too old."""
_MOST_MODELS = 200
"""Characters in which the models of a call are named."""


@dataclass(frozen=True)
class AuditEntry:
    """One call.

    Args:
        number: Grows from call to call; a page of the log ends before one.
        owner: Who called: the subject that signed in, else a hash of the key.
        model: What was paid for, with commas; empty: nothing was begun.
        usd: What its jobs counted when it ended; machines and endpoints go on costing.
        outcome: ok, error or cancelled.
        arguments: What was asked for, as JSON; None: not kept.
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
    """Writes the log, as the only one.

    Args:
        days: For so many days a row is kept; 0: none is written.
    """

    def __init__(self, days: int) -> None:
        self.days = days
        self._forgot = float("-inf")

    async def write(
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
        """Note a call that has ended; where the database does not answer, as soon as it does.

        Args:
            begun: Keys of the jobs that it began.
        """
        if not self.days:
            return
        now = journal.wall()

        def note(db: Db) -> None:
            models, micro = _paid_for(db, begun, now)
            db.execute(
                "INSERT INTO audit (at, owner, tool, model, micro, outcome, seconds, arguments)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (now, owner, tool, models, micro, outcome, round(seconds, 3), arguments),
            )
            if now - self._forgot > _FORGET_EVERY:
                self._forgot = now
                db.execute("DELETE FROM audit WHERE at < ?", (now - self.days * DAY,))

        await journal.keep(note)


def _paid_for(db: Db, begun: Sequence[str], now: float) -> tuple[str, int]:
    """The models of jobs, and the micro dollars that they count."""
    models: dict[str, None] = {}
    micro = 0
    for key in begun:
        # Nothing stands in the statement but what segments.py says.
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
        before: Only what stands before the entry of this number.

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
