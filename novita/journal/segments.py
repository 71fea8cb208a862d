"""What runs up cost as time goes on, whatever it is: machines, volumes, endpoints. Kept as a list of segments.

A segment says that from `since` to `until` the thing of a row cost so much a day; one without `until` goes on. They are
appended, and closed once; nothing else of them ever changes. What a row costs is folded from them on read (`cost_at`),
by the row's rule:

counted  what is counted: its estimate, or what is known by now (what the bill says, for one)
least    what its segments come to, but what is counted at least: the estimate stays taken while a thing runs
time     what its segments come to
"""

from dataclasses import dataclass
from decimal import Decimal

from ..core.money import MICRO, micro
from .databases import Db

DAY = 86_400

COUNTED, LEAST, TIME = "counted", "least", "time"
"""Rules of `jobs.counts`."""
SEEN, PAID, EARLIER = "seen", "paid", "0.1.0"
"""Sources of segments: looked at; paid in advance; carried over from version 0.1.0, which kept sums only."""


@dataclass(frozen=True)
class Segment:
    """A time in which a thing costs. Times are Unix seconds.

    Args:
        thing: Its id at Novita.
        until: None: it goes on.
        at_once: What it cost at its beginning, in USD, whatever its length.
    """

    thing: str
    since: float
    until: float | None
    usd_per_day: Decimal
    source: str
    at_once: Decimal = Decimal(0)


def segments_of(db: Db, key: str) -> tuple[Segment, ...]:
    """The segments of a row, oldest first."""
    rows = db.execute("SELECT * FROM segments WHERE job = ? ORDER BY since, rowid", (key,)).fetchall()
    return tuple(
        Segment(
            thing=row["thing"],
            since=row["since"],
            until=row["until"],
            usd_per_day=Decimal(row["micro_day"]) / MICRO,
            source=row["source"],
            at_once=Decimal(row["at_once_micro"]) / MICRO,
        )
        for row in rows
    )


def append(db: Db, key: str, segment: Segment) -> None:
    """Write down a segment of a row."""
    db.execute(
        "INSERT INTO segments (job, owner, thing, since, until, micro_day, at_once_micro, source)"
        " SELECT key, owner, ?, ?, ?, ?, ?, ? FROM jobs WHERE key = ?",
        (
            segment.thing,
            segment.since,
            segment.until,
            micro(segment.usd_per_day),
            micro(segment.at_once),
            segment.source,
            key,
        ),
    )


def close(db: Db, key: str, at: float) -> None:
    """End what goes on; not before it began."""
    db.execute(
        "UPDATE segments SET until = CASE WHEN since > ? THEN since ELSE ? END WHERE job = ? AND until IS NULL",
        (at, at, key),
    )


def set_rate(db: Db, key: str, thing: str, usd_per_day: Decimal, *, at: float, running: bool) -> None:
    """From `at` (Unix seconds) on the thing of a row costs so much; what came up until then is kept.

    Said again, it changes nothing.

    Args:
        usd_per_day: 0: nothing any more.
        running: What is counted stays taken as the least it costs; once it runs no more only its time counts. What
            never cost by time keeps what is counted even then.
    """
    db.lock(f"job {key}")
    rule: str = db.execute("SELECT counts FROM jobs WHERE key = ?", (key,)).fetchone()[0]
    now = next((segment for segment in reversed(segments_of(db, key)) if segment.until is None), None)
    rate = Decimal(micro(usd_per_day)) / MICRO
    if now is None and not rate:
        return
    if now is None or now.usd_per_day != rate:
        at = max(at, now.since) if now else at
        close(db, key, at)
        if rate:
            append(db, key, Segment(thing, at, None, rate, SEEN))
    after = TIME if not running or rule == TIME else LEAST
    if after != rule:
        db.execute("UPDATE jobs SET counts = ? WHERE key = ?", (after, key))


def cost_at(now: float) -> str:
    """SQL for what a row of `jobs` costs until `now` (Unix seconds), in micro dollars."""
    come = come_up(0, now)
    return (
        f"CASE WHEN counts = '{COUNTED}' THEN counted_micro"
        f" WHEN counts = '{LEAST}' AND counted_micro >= {come} THEN counted_micro ELSE {come} END"
    )


def cost_of_older(start: float, now: float, column: str = "owner") -> str:
    """SQL for what an owner's rows begun before `start` cost from then until `now`, in micro dollars; it takes the
    owner, or what the column of `jobs` holds."""
    whose = "segments.owner" if column == "owner" else f"jobs.{column}"
    return (
        f"SELECT COALESCE(SUM({_amount(start, now)}), 0) FROM segments JOIN jobs ON jobs.key = segments.job"  # noqa: S608
        f" WHERE {whose} = ? AND (until IS NULL OR until > {start!r}) AND jobs.created < {start!r}"
        f" AND counts <> '{COUNTED}'"
    )


def come_up(start: float, now: float) -> str:
    """SQL for what the segments of a row of `jobs` come to in that time, in micro dollars."""
    return f"(SELECT COALESCE(SUM({_amount(start, now)}), 0) FROM segments WHERE segments.job = jobs.key)"  # noqa: S608


RATE = "(SELECT SUM(micro_day) FROM segments WHERE segments.job = jobs.key AND until IS NULL)"
"""SQL for what a row of `jobs` goes on costing, in micro dollars a day; NULL: nothing."""


def _amount(start: float, now: float) -> str:
    """SQL for what a segment comes to between two times."""
    end = f"CASE WHEN until IS NULL OR until > {now!r} THEN {now!r} ELSE until END"
    begin = f"CASE WHEN since < {start!r} THEN {start!r} ELSE since END"
    passed = f"(({end}) - ({begin}))"
    by_time = f"CAST((CASE WHEN {passed} > 0 THEN {passed} ELSE 0 END) * micro_day / {DAY} AS INTEGER)"
    return f"{by_time} + CASE WHEN since >= {start!r} THEN at_once_micro ELSE 0 END"
