"""Caps, and what rows count that count the same whatever the time is: added up as they are written, so that no cap
needs a long sum.

Triggers of the database itself append each difference to `totals`, by owner, server run and UTC day, whoever writes the
row: any server on the journal, one of version 0.1.0 too. What has been appended is folded now and then into one row
for each run and day. Rows whose cost grows with time (`counts` of "time" or "least") are not in it; there are few.
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
"""Differences that may lie about, unfolded, before a sum of them is folded."""


def begin_totals(db: "Db") -> None:
    """Make the table and what keeps it true. Part of bringing the tables up to date: it runs once."""
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
    """The same for the teams that owners spend with, each under a name that is no owner's. Not by runs: a team has no
    cap of a run. It runs once, when no row has a team yet."""
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
    """Raises SpendRefusedError for a call that would pass a cap: its own, that of a server run, or the day's."""
    counted = caps.counted(cost)
    said = "is estimated at" if cost.known else "has no known price, is counted as at most"
    if caps.per_call is not None and counted > caps.per_call:
        raise SpendRefusedError(
            f"This call {said} {say_usd(counted)} and the cap per call is {say_usd(caps.per_call)}",
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
    """Micro dollars that the jobs of a server run cost until now (Unix seconds)."""
    return _folded(db, owner, "run", run) + _by_time(db, owner, "run = ?", (run,), now)


def spent_today(db: "Db", owner: str, now: float, *, column: str = "owner") -> int:
    """Micro dollars that this UTC day has cost until now: its own jobs, and what older things cost in it.

    Args:
        column: Of the rows, which says whose they are: an owner's or a team's.
    """
    # A clock that once ran ahead has left rows of days to come.
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
    """The sum of an owner's differences of one run or day; of many that lie about, one is made for each run and day.
    Nobody else folds an owner's at this moment: who asks keeps his spending to himself."""
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
