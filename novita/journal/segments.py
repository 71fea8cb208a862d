"""The cost of things that are billed by time (machines, volumes, endpoints), kept as a list of segments.

A segment says that a row's thing cost so much a day from `since` to `until`; one without `until` is still open.
Segments are appended and later closed, and never changed otherwise. `cost_at` adds them up when a row is read, by the
row's rule:

counted  the stored amount: the estimate, or the known cost, such as what Novita's bill says
least    the sum of the segments, or the stored amount where that is more: a running thing counts its whole estimate
time     the sum of the segments

An example. A machine costs $0.50 an hour ($12 a day), and its row begins with an estimate of $1.00.

10:00  It starts. A segment of $12 a day is opened, and the rule becomes `least`.
11:00  The segment comes to $0.50. The row counts $1.00, its estimate.
13:00  The segment comes to $1.50, and so does the row. The machine is now stopped, but its disk costs $0.24 a day:
       the segment is closed, one of $0.24 a day is opened, and the rule becomes `time`.
A day later the row counts $1.50 + $0.24 = $1.74. The machine is deleted, and Novita's bill says $1.70: no segment is
open any more, $1.70 is stored, and the rule becomes `counted`.

Had the machine been stopped at 11:00, the row would count $0.50 from then on, because only a running thing holds on
to its estimate.
"""

from dataclasses import dataclass
from decimal import Decimal

from ..core.money import MICRO, micro
from .databases import Db

DAY = 86_400

COUNTED, LEAST, TIME = "counted", "least", "time"
"""Rules of `jobs.counts`."""
SEEN, PAID, EARLIER = "seen", "paid", "0.1.0"
"""Where a segment comes from: a look at Novita, a payment in advance, or version 0.1.0, which kept only sums."""


@dataclass(frozen=True)
class Segment:
    """A span of time in which a thing costs money. Times are Unix seconds.

    Args:
        thing: Its id at Novita.
        until: None while the segment is open.
        at_once: What was paid at its beginning, in USD, whatever its length.
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
    """Close the open segment of a row at this time, or at its own beginning if that is later."""
    db.execute(
        "UPDATE segments SET until = CASE WHEN since > ? THEN since ELSE ? END WHERE job = ? AND until IS NULL",
        (at, at, key),
    )


def set_rate(db: Db, key: str, thing: str, usd_per_day: Decimal, *, at: float, running: bool) -> None:
    """Set what a row's thing costs from `at` (Unix seconds) on. The cost until then is kept.

    Calling it again with the same values changes nothing.

    Args:
        usd_per_day: 0 if it no longer costs anything.
        running: While the thing runs, the row counts at least its stored amount; afterwards only the sum of its
            segments. A row that never had a segment keeps its stored amount even then.
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
    """SQL for what a row of `jobs` has cost by `now` (Unix seconds), in micro dollars."""
    come = come_up(0, now)
    return (
        f"CASE WHEN counts = '{COUNTED}' THEN counted_micro"
        f" WHEN counts = '{LEAST}' AND counted_micro >= {come} THEN counted_micro ELSE {come} END"
    )


def cost_of_older(start: float, now: float, column: str = "owner") -> str:
    """SQL for what rows begun before `start` cost from then until `now`, in micro dollars.

    Its one parameter is the owner, or the value of another `column` of `jobs`.
    """
    whose = "segments.owner" if column == "owner" else f"jobs.{column}"
    return (
        f"SELECT COALESCE(SUM({_amount(start, now)}), 0) FROM segments JOIN jobs ON jobs.key = segments.job"  # noqa: S608
        f" WHERE {whose} = ? AND (until IS NULL OR until > {start!r}) AND jobs.created < {start!r}"
        f" AND counts <> '{COUNTED}'"
    )


def come_up(start: float, now: float) -> str:
    """SQL for the sum of the segments of a row of `jobs` between two times, in micro dollars."""
    return f"(SELECT COALESCE(SUM({_amount(start, now)}), 0) FROM segments WHERE segments.job = jobs.key)"  # noqa: S608


RATE = "(SELECT SUM(micro_day) FROM segments WHERE segments.job = jobs.key AND until IS NULL)"
"""SQL for the current rate of a row of `jobs`, in micro dollars a day; NULL if it has no open segment."""


def _amount(start: float, now: float) -> str:
    """SQL for the cost of one segment between two times, in micro dollars."""
    end = f"CASE WHEN until IS NULL OR until > {now!r} THEN {now!r} ELSE until END"
    begin = f"CASE WHEN since < {start!r} THEN {start!r} ELSE since END"
    passed = f"(({end}) - ({begin}))"
    by_time = f"CAST((CASE WHEN {passed} > 0 THEN {passed} ELSE 0 END) * micro_day / {DAY} AS INTEGER)"
    return f"{by_time} + CASE WHEN since >= {start!r} THEN at_once_micro ELSE 0 END"
