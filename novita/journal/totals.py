"""Checks the caps. Costs that do not change with time are added up as rows are written, so that no check is slow.

Triggers of the database append each difference to `totals`, by owner, server run and UTC day, whichever process writes
the row, even one of version 0.1.0. Now and then the differences are folded into one row for each run and day. Rows
whose cost grows with time (`counts` of "time" or "least") are not included; they are few, and are added when asked.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from ..core.costs import Caps, Cost
from ..core.errors import SpendRefusedError
from ..core.money import MICRO, say_usd
from .segments import COUNTED, DAY, cost_at, cost_of_older

if TYPE_CHECKING:
    from .databases import Db

_LOOSE = 64
"""How many differences may accumulate before they are folded into one."""


def begin_totals(db: "Db") -> None:
    """Make the table and its triggers. This is one step of upgrading the tables, and runs once."""
    after, before = db.day_number("NEW.created"), db.day_number("OLD.created")
    into = "INSERT INTO totals (owner, run, day, micro)"
    add = f"{into} VALUES (NEW.owner, NEW.run, {after}, NEW.counted_micro)"
    take = f"{into} VALUES (OLD.owner, OLD.run, {before}, -OLD.counted_micro)"
    had, has = f"OLD.counts = '{COUNTED}'", f"NEW.counts = '{COUNTED}'"
    names = ("counted_micro", "counts", "owner", "run", "created")
    changed = " OR ".join(f"NEW.{name} <> OLD.{name}" for name in names)
    db.on_change("totals_of_new", "jobs", "INSERT", when=has, do=add)
    db.on_change("totals_before", "jobs", "UPDATE", when=f"{had} AND ({changed})", do=take)
    db.on_change("totals_after", "jobs", "UPDATE", when=f"{has} AND ({changed})", do=add)
    db.on_change("totals_of_gone", "jobs", "DELETE", when=had, do=take)
    db.execute(
        f"{into} SELECT owner, run, {db.day_number('created')} AS day,"  # noqa: S608  # all ours
        f" SUM(counted_micro) FROM jobs WHERE counts = '{COUNTED}' GROUP BY owner, run, day"
    )


def begin_totals_of_teams(db: "Db") -> None:
    """The same for teams of owners who share a cap, each under a name that no owner has.

    They are not added up by server run, because a team has no cap for one. It runs once, when no row has a team yet.
    """
    after, before = db.day_number("NEW.created"), db.day_number("OLD.created")
    into = "INSERT INTO totals (owner, run, day, micro)"
    add = f"{into} VALUES (NEW.team, '', {after}, NEW.counted_micro)"
    take = f"{into} VALUES (OLD.team, '', {before}, -OLD.counted_micro)"
    had = f"OLD.counts = '{COUNTED}' AND OLD.team <> ''"
    has = f"NEW.counts = '{COUNTED}' AND NEW.team <> ''"
    changed = " OR ".join(f"NEW.{name} <> OLD.{name}" for name in ("counted_micro", "counts", "team", "created"))
    db.on_change("team_of_new", "jobs", "INSERT", when=has, do=add)
    db.on_change("team_before", "jobs", "UPDATE", when=f"{had} AND ({changed})", do=take)
    db.on_change("team_after", "jobs", "UPDATE", when=f"{has} AND ({changed})", do=add)
    db.on_change("team_of_gone", "jobs", "DELETE", when=had, do=take)


def refuse_over_cap(db: "Db", owner: str, run: str, cost: Cost, caps: Caps, now: float) -> None:
    """Raise SpendRefusedError for a call that would pass a cap: the cap of a call, of a server run, or of a day."""
    counted = caps.counted(cost)
    counts_as = "is estimated at" if cost.known else "has no known price, is counted as at most"
    if caps.per_call is not None and counted > caps.per_call:
        raise SpendRefusedError(
            f"This call {counts_as} {say_usd(counted)} and the cap per call is {say_usd(caps.per_call)}",
            next_step="Ask for less, or have the user raise the cap.",
        )
    team = caps.team_of(owner)
    asks = "Ask the user to raise NOVITA_MCP_SPEND_LIMIT_USD, or wait until tomorrow."
    for cap, sum_up, name, step in (
        (caps.per_run, lambda: spent_by_run(db, owner, run, now), "this server run", asks),
        (caps.per_day, lambda: spent_today(db, owner, now), "today", asks),
        (
            caps.team_per_day if team else None,
            lambda: spent_today(db, team, now, column="team"),
            "the whole team today",
            "The team's key is at its limit: have the user ask whoever runs this server, or wait until tomorrow.",
        ),
    ):
        if cap is None:
            continue
        spent = Decimal(sum_up()) / MICRO
        if spent + counted > cap:
            raise SpendRefusedError(
                f"The spending cap of {say_usd(cap)} would be passed: {say_usd(spent)} is estimated for {name} "
                f"and this call adds {say_usd(counted)}",
                next_step=step,
            )


def spent_by_run(db: "Db", owner: str, run: str, now: float) -> int:
    """Micro dollars that the jobs of a server run have cost by `now` (Unix seconds)."""
    return _folded(db, owner, "run", run) + _by_time(db, owner, "run = ?", (run,), now)


def spent_today(db: "Db", owner: str, now: float, *, column: str = "owner") -> int:
    """Micro dollars spent this UTC day by `now` (Unix seconds): by the day's jobs, and by older things that still run.

    Args:
        column: The column of `jobs` that is compared with `owner`: "owner", or "team" for a whole team.
    """
    # Rows may carry a date in the future if the clock once ran ahead.
    midnight = now - now % DAY
    counted = _folded(db, owner, "day", int(now // DAY))
    growing = _by_time(db, owner, "created >= ? AND created < ?", (midnight, midnight + DAY), now, column=column)
    older: int = db.execute(cost_of_older(midnight, now, column), (owner,)).fetchone()[0]
    return counted + growing + older


def _by_time(db: "Db", owner: str, where: str, values: tuple[object, ...], now: float, *, column: str = "owner") -> int:
    sums = f"SELECT COALESCE(SUM({cost_at(now)}), 0) FROM jobs WHERE {column} = ? AND counts <> '{COUNTED}' AND {where}"  # noqa: S608  # all ours
    found: int = db.execute(sums, (owner, *values)).fetchone()[0]
    return found


def _folded(db: "Db", owner: str, column: str, value: object) -> int:
    """The sum of an owner's differences of one run or day. If there are many, they are folded into one for each.

    No other process folds them at the same time, because the caller holds the lock on the owner's spending.
    """
    where = f"owner = ? AND {column} = ?"
    sums = f"SELECT COUNT(*), COALESCE(SUM(micro), 0) FROM totals WHERE {where}"  # noqa: S608  # all ours
    count, micro = db.execute(sums, (owner, value)).fetchone()
    if count > _LOOSE:
        groups: dict[tuple[str, int], int] = {}
        rows = db.execute(f"SELECT rowid, run, day, micro FROM totals WHERE {where}", (owner, value)).fetchall()  # noqa: S608
        for _, run, day, amount in rows:
            groups[run, day] = groups.get((run, day), 0) + amount
        if len(rows) > _LOOSE + len(groups):
            for number, *_ in rows:
                db.execute("DELETE FROM totals WHERE rowid = ?", (number,))
            for (run, day), amount in groups.items():
                db.execute("INSERT INTO totals (owner, run, day, micro) VALUES (?, ?, ?, ?)", (owner, run, day, amount))
    return int(micro)
