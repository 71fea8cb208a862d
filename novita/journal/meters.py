"""Jobs that go on costing: machines, volumes and endpoints, from what is seen of them and from Novita's bill."""

import json
from decimal import Decimal
from typing import Any

from .databases import Db
from .journal import Journal, micro

_DAY = 86_400


async def set_rate(
    journal: Journal, key: str, usd_per_day: Decimal, *, at: float, running: bool, over: bool | None = None
) -> None:
    """From `at` (Unix seconds) on a job goes on costing so much; what came up until then is kept.

    Said again, it changes nothing; what the bill said stays.

    Args:
        usd_per_day: 0: nothing any more.
        running: Its estimate stays taken as the least it costs; once it runs no more only its time counts. What was
            never metered keeps its estimate even then.
        over: It has ended, so that the bill will have all its lines: the row notes when (`facts["ended"]`). By
            default so where it costs nothing and runs no more; not so where it may be used again all the same.

    Raises:
        JournalError: The journal cannot be used.
    """
    await journal.transact(lambda db: set_rate_in(db, key, usd_per_day, at=at, running=running, over=over))


def set_rate_in(db: Db, key: str, usd_per_day: Decimal, *, at: float, running: bool, over: bool | None = None) -> None:
    """`set_rate` as part of a larger transaction."""
    rate = micro(usd_per_day)
    db.lock(f"job {key}")
    row = db.execute(
        "SELECT rate_micro_day, rate_since, metered_micro, counted_micro, facts FROM jobs WHERE key = ?", (key,)
    ).fetchone()
    facts: dict[str, Any] = json.loads(row["facts"])
    if "usd" in facts:
        return
    old: int | None = row["rate_micro_day"]
    if old is not None:
        at = max(at, row["rate_since"])  # it was seen to cost then
    over = not (rate or running) if over is None else over
    _note_end(db, key, facts, at if over else None)
    if (old or 0) == rate and (running or old is None):
        return
    metered: int = row["metered_micro"]
    if old is not None:
        metered += int((at - row["rate_since"]) * old / _DAY)
    db.execute(
        "UPDATE jobs SET metered_micro = ?, rate_micro_day = ?, rate_since = ?, counted_micro = ? WHERE key = ?",
        (metered, rate or None, at if rate else None, row["counted_micro"] if running else metered, key),
    )


def _note_end(db: Db, key: str, facts: dict[str, Any], ended: float | None) -> None:
    """Write down when it ended, the first time it is said; None: it has not."""
    if ended is not None and "ended" not in facts:
        told = {**facts, "ended": round(ended)}
    elif ended is None and "ended" in facts:
        told = {name: value for name, value in facts.items() if name != "ended"}
    else:
        return
    db.execute("UPDATE jobs SET facts = ? WHERE key = ?", (json.dumps(told), key))


async def bill(journal: Journal, key: str, usd: Decimal) -> None:
    """A job has cost so much, says Novita's bill; it costs nothing any more.

    Raises:
        JournalError: The journal cannot be used.
    """

    def write(db: Db) -> None:
        db.lock(f"job {key}")
        row = db.execute("SELECT facts FROM jobs WHERE key = ?", (key,)).fetchone()
        facts = json.dumps({**json.loads(row["facts"]), "usd": f"{usd.normalize():f}"})
        db.execute(
            "UPDATE jobs SET counted_micro = ?, rate_micro_day = NULL, rate_since = NULL, facts = ? WHERE key = ?",
            (micro(usd), facts, key),
        )

    await journal.transact(write)
