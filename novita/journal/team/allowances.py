"""Limits how often a caller may call, for all server processes on a PostgreSQL journal together.

This is the generic cell rate algorithm: each caller has a bucket that holds a minute's worth of calls and refills
steadily. Its row keeps the time at which the bucket will be full again. One statement reads, takes and writes, by the
database's clock.
"""

from ..databases import Db
from ..journal import Journal

MINUTE = 60.0
_ROUNDING = 0.001
"""Seconds of rounding error that are tolerated; too short for a whole call to refill."""

_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
# ruff: noqa: S608  # nothing stands in these statements but this
_TAKE = (
    f"INSERT INTO allowances AS a (name, due) VALUES (?, {_NOW} + ?) ON CONFLICT (name) DO UPDATE"
    f" SET due = GREATEST(a.due, {_NOW}) + ? WHERE GREATEST(a.due, {_NOW}) + ? <= {_NOW} + ? RETURNING due"
)
_LEFT = f"SELECT due + ? - {_NOW} - ? FROM allowances WHERE name = ?"
_FORGET = f"DELETE FROM allowances WHERE due < {_NOW}"


async def take_allowance(journal: Journal, name: str, per_minute: int) -> float:
    """Take one call from a caller's allowance. Returns 0, or the seconds until the next call is allowed.

    Args:
        journal: A journal in PostgreSQL.
        name: Names the limit and the caller.
        per_minute: At least 1; the same in every process.

    Raises:
        JournalError: The database cannot be used.
    """
    each = MINUTE / per_minute
    most = MINUTE + _ROUNDING

    def take(db: Db) -> float:
        taken = db.execute(_TAKE, (name, each, each, each, most)).fetchone()
        if taken is not None:
            return 0.0
        row = db.execute(_LEFT, (each, MINUTE, name)).fetchone()
        return max(_ROUNDING, row[0]) if row else _ROUNDING

    return await journal.transact(take)


async def forget_full(journal: Journal) -> None:
    """Delete the rows of callers whose bucket is full; a missing row means a full bucket.

    Raises:
        JournalError: The database cannot be used.
    """
    await journal.transact(lambda db: db.execute(_FORGET).close())
