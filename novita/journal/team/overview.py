"""The operator's overview of all callers of a server: what runs, what was spent, what went wrong.

It only reads. Titles, reasons and arguments are left out, because they hold what people asked for.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ...core.money import MICRO
from ..databases import Db
from ..journal import Journal
from ..meters import Meters
from ..rows import JobState, utc
from ..segments import DAY, RATE, cost_at

MOST_RUNNING = 200
"""How many running things are listed."""


@dataclass(frozen=True)
class RunningJob:
    """A job that has not ended, or a thing that still costs money."""

    owner: str
    tool: str
    model: str
    state: JobState
    since: datetime
    usd: Decimal
    usd_per_day: Decimal


@dataclass(frozen=True)
class Spending:
    """What one caller's jobs cost today (UTC), and in the last 7 and 30 days."""

    owner: str
    today: Decimal
    week: Decimal
    month: Decimal
    jobs: int


@dataclass(frozen=True)
class ToolCalls:
    """Calls of one tool within the last day, by the audit log."""

    tool: str
    calls: int
    errors: int


@dataclass(frozen=True)
class TeamOverview:
    """The whole overview, at one moment.

    Args:
        more_running: More things run than are listed.
        failed: State -> how many jobs of the last day ended in it without success.
    """

    at: datetime
    running: tuple[RunningJob, ...]
    more_running: bool
    spending: tuple[Spending, ...]
    tools: tuple[ToolCalls, ...]
    failed: dict[str, int]


async def team_overview(journal: Journal) -> TeamOverview:
    """Read all of it in one transaction.

    Raises:
        JournalError: The journal cannot be used.
    """
    return await journal.meter(_read)


# ruff: noqa: S608  # nothing stands in these statements but names of ours


def _read(meters: Meters) -> TeamOverview:
    db, reader, now = meters.db, meters.reader, meters.now
    goes_on = f"(state IN ('submitting', 'working') OR COALESCE({RATE}, 0) > 0)"
    rows = reader.select(db, goes_on, (), MOST_RUNNING + 1).fetchall()
    running = tuple(
        RunningJob(
            owner=row["owner"],
            tool=row["tool"],
            model=row["model"],
            state=state,
            since=utc(row["created"]),
            usd=_usd(row["cost_micro"]),
            usd_per_day=_usd(row["rate_micro"] or 0),
        )
        for row in rows[:MOST_RUNNING]
        # Whether a row is still being sent is known only from its process, so SQL cannot filter by it.
        if (state := reader.state(row)[0]) is not JobState.UNCONFIRMED or row["rate_micro"]
    )
    spending, tools = _spending(db, now), _tools(db, now)
    return TeamOverview(utc(now), running, len(rows) > MOST_RUNNING, spending, tools, _ended(meters))


def _spending(db: Db, now: float) -> tuple[Spending, ...]:
    cost = cost_at(now)
    midnight, week, month = now - now % DAY, now - 7 * DAY, now - 30 * DAY
    rows = db.execute(
        f"SELECT owner, COUNT(*) AS jobs, SUM(micro) AS month,"
        " SUM(CASE WHEN created >= ? THEN micro ELSE 0 END) AS week,"
        " SUM(CASE WHEN created >= ? THEN micro ELSE 0 END) AS today"
        f" FROM (SELECT owner, created, {cost} AS micro FROM jobs WHERE created >= ?) AS counted"
        " GROUP BY owner ORDER BY month DESC, owner",
        (week, midnight, month),
    ).fetchall()
    return tuple(
        Spending(row["owner"], _usd(row["today"]), _usd(row["week"]), _usd(row["month"]), row["jobs"]) for row in rows
    )


def _tools(db: Db, now: float) -> tuple[ToolCalls, ...]:
    rows = db.execute(
        "SELECT tool, COUNT(*) AS calls, SUM(CASE WHEN outcome = 'error' THEN 1 ELSE 0 END) AS errors FROM audit"
        " WHERE at >= ? GROUP BY tool ORDER BY errors DESC, calls DESC, tool",
        (now - DAY,),
    ).fetchall()
    return tuple(ToolCalls(row["tool"], row["calls"], int(row["errors"])) for row in rows)


def _ended(meters: Meters) -> dict[str, int]:
    """State -> how many jobs of the last day ended in it without success, including those whose process died while
    sending them."""
    bad = "created >= ? AND state IN ('submitting', 'failed', 'refused', 'unconfirmed', 'cancelled')"
    with closing(meters.reader.select(meters.db, bad, (meters.now - DAY,))) as rows:
        counts = Counter(meters.reader.state(row)[0] for row in rows)
    del counts[JobState.SUBMITTING]
    return {state.value: counts[state] for state in sorted(counts)}


def _usd(micro: float) -> Decimal:
    """USD from micro dollars, which a database may have added up in another number type."""
    return Decimal(int(micro)) / MICRO
