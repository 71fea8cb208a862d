"""How often a caller may come, counted once for all server processes on a PostgreSQL journal.

One row a caller: the moment until which what it used is paid off (the generic cell rate algorithm: a bucket that
holds a minute's worth and refills steadily). One statement looks, takes and writes, by the clock of the database.
"""

from ..databases import Db
from ..journal import Journal

MINUTE = 60.0
_ROUNDING = 0.001
"""Seconds that sums of floating point may be off; no whole allowance refills in them."""

_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
# ruff: noqa: S608  # nothing stands in these statements but this
_TAKE = (
    f"INSERT INTO allowances AS a (name, due) VALUES (?, {_NOW} + ?) ON CONFLICT (name) DO UPDATE"
    f" SET due = GREATEST(a.due, {_NOW}) + ? WHERE GREATEST(a.due, {_NOW}) + ? <= {_NOW} + ? RETURNING due"
)
_LEFT = f"SELECT due + ? - {_NOW} - ? FROM allowances WHERE name = ?"
_FORGET = f"DELETE FROM allowances WHERE due < {_NOW}"


async def take_allowance(journal: Journal, name: str, per_minute: int) -> float:
    """Take one of what a caller may have in a minute; 0, or the seconds until there is one again.

    Args:
        journal: One in PostgreSQL.
        name: What is counted, and whose.
        per_minute: At least 1; the same at every process.

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
    """Delete the rows of callers who have everything again: no row means just that.

    Raises:
        JournalError: The database cannot be used.
    """
    await journal.transact(lambda db: db.execute(_FORGET).close())
