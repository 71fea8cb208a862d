"""Settles the cost of machines, volumes, endpoints and sandboxes that have ended, by Novita's bill.

The bill has a line for each resource and day, and names the resource by the id that rows of the journal keep in
`facts.resource`. Several rows may be about one resource, such as a machine's creation and its later start. A line
goes to the newest row that was begun before the line's day was over.

An example. A machine at $0.50 an hour is created on 2 March at 10:00 and stopped on 4 March at 09:00: by its time (47
hours) the creation's row counts $23.50. It is started again on 4 March at 15:00 and deleted on 6 March at 08:00: the
start's row counts 41 hours, $20.50. Its lines of the bill are

    2 March  14 h   $7.00   to the creation
    3 March  24 h  $12.00   to the creation
    4 March  18 h   $9.00   to the start, which was begun before this day was over
    5 March  24 h  $12.00   to the start
    6 March   8 h   $4.00   to the start

Two days after its end (`LINES_COME_WITHIN`) each row is settled: the creation counts $19.00 and the start $25.00. The
sum of $44.00 is unchanged; a line that differs from our reckoning would change it.

- Calls of an endpoint are in the endpoint's lines, so their own rows count nothing once those are settled.
- A term paid in advance counts in the row that bought it. If a machine's first term cost $300 and the bill lists two
  such terms, because the first renewed itself, the newest row that bought a term counts the other $300.
- All rows of a sandbox may begin on one day, which has one line. They are settled together, once all have ended.

Novita does not document that the bill names sandboxes by their ids. While the bill names none of our resources of a
kind, rows of that kind are left as they are.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from ..core.money import say_usd
from ..core.periods import DAY, Period, month_of, utc_day
from .facts import GpuFacts
from .journal import Job, JobState, Journal
from .meters import Meters

LINES_COME_WITHIN = timedelta(days=2)
"""So long after a thing's end we expect all its lines on the bill. A guess: Novita does not document the delay."""

_WORDS = {
    "create_gpu_instance": "machine",
    "start_gpu_instance": "machine",
    "save_gpu_volume": "volume",
    "create_endpoint": "endpoint",
    "update_endpoint": "endpoint",
    "create_sandbox": "sandbox",
    "run_code": "sandbox",
    "change_sandbox": "sandbox",
}
"""Tool -> the kind of thing it makes or starts. Rows of these tools take the bill's lines for that thing."""
_CATEGORIES = {
    "machine": ("gpu", "cloud_storage"),  # whether disks are storage or part of the machine is not said
    "volume": ("cloud_storage",),
    "endpoint": ("serverless", "cloud_storage"),
    "sandbox": ("cloud_sandbox",),  # the disk of a paused one may be in cloud_storage; nobody tells under which name
}
_TOGETHER = "sandbox"
"""The kind whose rows are settled all at once."""
_IN_OTHER_ROWS = ("call_endpoint", "edit_gpu_instance")
"""Tools whose cost is part of the lines of the endpoint or machine that they used."""
_BUYS_TERMS = "change_gpu_billing"
_UNSURE = (JobState.SUBMITTING, JobState.UNCONFIRMED)
_UNSEEN = timedelta(days=8)
"""How long after its noted end a thing may still have lines: a stopped machine keeps its disk for a week."""


class Line(Protocol):
    """What settling reads of a line of the bill. `end` is in Unix seconds, `amount` in USD."""

    @property
    def resource(self) -> str: ...
    @property
    def end(self) -> int: ...
    @property
    def amount(self) -> Decimal: ...


class Bill(Protocol):
    """Novita's bill, read for the owner of the rows."""

    async def resource_lines(self, period: Period, category: str) -> Sequence[Line]:
        """Usage by day and resource, of one category (gpu, serverless, cloud_storage, cloud_sandbox)."""
        ...

    async def machine_terms(self, period: Period) -> Sequence[Line]:
        """Machine terms that were paid in advance."""
        ...


@dataclass(frozen=True)
class Settled:
    """What a settlement corrected: how many things of each kind, and their rows' cost before and after, in USD."""

    things: Counter[str] = field(default_factory=Counter[str])
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    def words(self) -> str:
        """In one sentence; empty where nothing was corrected."""
        if not self.things:
            return ""
        things = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(self.things.items()))
        return f"Just corrected by Novita's bill: {things}, from {say_usd(self.before)} to {say_usd(self.after)}."


def _is_known(row: Job) -> bool:
    return row.facts.usd is not None


def _takes_lines(row: Job) -> bool:
    """Whether this row may have made or started a thing that has lines on the bill."""
    if row.tool not in _WORDS or row.state is JobState.REFUSED or row.facts_as(GpuFacts).to_gb is not None:
        return False  # what only made a volume larger is in the lines of its creation
    seen = row.usd_per_day is not None or row.facts.ended is not None or row.accepted is not None
    return seen or row.state not in (*_UNSURE, JobState.CANCELLED)


def _buys_terms(row: Job) -> bool:
    return row.state is not JobState.REFUSED and (
        row.tool == _BUYS_TERMS or row.facts_as(GpuFacts).term_usd is not None
    )


def _paid(row: Job) -> Decimal:
    """What the row paid in advance for a term, in USD, as far as the journal knows."""
    if row.tool == _BUYS_TERMS:
        return Decimal(0) if row.state in _UNSURE else row.counted
    return row.facts_as(GpuFacts).term_usd or Decimal(0)


@dataclass(frozen=True)
class _Resource:
    """All rows about one thing, oldest first.

    Args:
        ends: Key of each row that takes lines -> when its thing ended (Unix seconds), or None if it still runs.
    """

    rows: Sequence[Job]
    ends: dict[str, float | None]

    @classmethod
    def of(cls, rows: Sequence[Job]) -> "_Resource":
        takers = [row for row in rows if _takes_lines(row)]
        ends = {row.key: _end(row) for row in takers}
        for row, newer in pairwise(takers):
            if row.usd_per_day is None and ends[row.key] is None:
                ends[row.key] = newer.begun
        return cls(rows, ends)

    @property
    def takers(self) -> list[Job]:
        return [row for row in self.rows if row.key in self.ends]

    @property
    def kind(self) -> str:
        """The kind of thing: machine, volume, endpoint or sandbox."""
        return _WORDS[self.takers[0].tool]

    def due(self, before: float) -> list[Job]:
        """Rows to settle now: their thing ended before this time (Unix seconds), so the bill has all their lines."""
        found = [
            row
            for row in self.takers
            if not _is_known(row) and (end := self.ends[row.key]) is not None and end < before
        ]
        return found if found and (self.kind != _TOGETHER or self.closes(found)) else []

    @property
    def buyers(self) -> list[Job]:
        return [row for row in self.rows if _buys_terms(row)]

    def closes(self, due: Sequence[Job]) -> bool:
        """Whether every row that takes lines is settled once these are."""
        return all(_is_known(row) or row in due for row in self.takers)

    def amounts(self, due: Sequence[Job], used: Iterable[Line], terms: Sequence[Line]) -> dict[str, Decimal]:
        """Key -> cost in USD of the rows that are due.

        Once every row that takes lines is settled, the other rows about the thing are in it, too.
        """
        closes = self.closes(due)
        rows = [*due, *(row for row in self.rows if closes and row.key not in self.ends and _is_elsewhere(row))]
        sums = {row.key: _paid(row) for row in rows}
        for line in used:
            if (row := self._taker(line)) is not None and row.key in sums:
                sums[row.key] += line.amount
        newest = next((row for row in reversed(self.buyers) if row.key in sums), None)
        # Fewer lines than purchases: some are not on the bill yet, or it names the resource in another way.
        if closes and newest and len(terms) >= sum(_paid(row) > 0 for row in self.buyers):
            besides = sum((line.amount for line in terms), Decimal(0)) - sum(_paid(row) for row in self.buyers)
            sums[newest.key] = max(Decimal(0), sums[newest.key] + besides)
        return sums

    def _taker(self, line: Line) -> Job | None:
        """The row that a line goes to: the newest one begun before the line's day was over."""
        return next((row for row in reversed(self.takers) if row.begun < line.end), None)


def _end(row: Job) -> float | None:
    if row.usd_per_day is not None:
        return None
    if (ended := row.facts.ended) is not None:
        return ended
    return row.finished.timestamp() if row.finished and row.state in (JobState.FAILED, JobState.CANCELLED) else None


def _is_elsewhere(row: Job) -> bool:
    """Whether a row that takes no lines must be settled with the others.

    It must if it bought a term, or if it counts a cost that is part of another row's lines.
    """
    if row.tool == _BUYS_TERMS:
        return _buys_terms(row) and not _is_known(row)
    return bool(row.counted) and (row.tool in _IN_OTHER_ROWS or row.tool in _WORDS)


async def settle_by_bill(novitas: Bill, journal: Journal, owner: str) -> Settled:
    """Correct the rows of things that ended long enough ago to what the bill says.

    Novita is asked only if there are such rows.

    Raises:
        NovitaError: The bill or the journal could not be read. No row was changed.
    """
    before = journal.wall() - LINES_COME_WITHIN.total_seconds()
    found = [_Resource.of(rows) for rows in await journal.meter(lambda meters: _unsettled(meters, owner))]
    due = [(resource, rows) for resource in found if (rows := resource.due(before))]
    if not due:
        return Settled()
    kinds = {resource.kind for resource, _ in due}
    today = utc_day(journal.wall())
    used: dict[str, list[Line]] = {}
    terms: dict[str, list[Line]] = {}
    for span in _spans(((row.begun, resource.ends[row.key]) for resource, rows in due for row in rows), today):
        for category in sorted({category for kind in kinds for category in _CATEGORIES[kind]}):
            for line in await novitas.resource_lines(span, category):
                used.setdefault(line.resource, []).append(line)
    # If no line names any of our things of a kind, the bill may name them by other ids, so they are left alone.
    named = {resource.kind for resource in found if resource.takers and _thing(resource.rows[0]) in used}
    if not (due := [(resource, rows) for resource, rows in due if resource.kind in named]):
        return Settled()
    bought = [resource.buyers[0] for resource, rows in due if resource.buyers and resource.closes(rows)]
    for span in _spans(((first.begun, journal.wall()) for first in bought), today):
        for line in await novitas.machine_terms(span):
            terms.setdefault(line.resource, []).append(line)
    things: Counter[str] = Counter()
    counted, billed = Decimal(0), Decimal(0)
    told: dict[str, Decimal] = {}
    for resource, rows in due:
        things[_WORDS[rows[0].tool]] += 1
        known = {row.key: row for row in resource.rows}
        id = _thing(rows[0])
        for key, usd in resource.amounts(rows, used.get(id, ()), terms.get(id, ())).items():
            told[key] = usd
            counted, billed = counted + known[key].counted, billed + usd

    def write(meters: Meters) -> None:
        for key, usd in told.items():
            meters.bill(meters.job(key), usd)

    await journal.meter(write)
    return Settled(things, counted, billed)


def _spans(times: Iterable[tuple[float, float | None]], today: date) -> list[Period]:
    """The whole months in which things with these beginnings and ends may have lines; adjacent months are joined."""
    months: set[date] = set()
    for begun, ended in times:
        # Novita's days may not be days of UTC, so one day more is read before the beginning.
        first, last = utc_day(begun) - DAY, min(utc_day(ended or begun) + _UNSEEN, today)
        while first <= last:
            months.add(first.replace(day=1))
            first = month_of(first).last + DAY
    spans: list[Period] = []
    for month in sorted(months):
        piece = Period(month, min(month_of(month).last, today))
        if spans and spans[-1].last + DAY == piece.first:
            piece = Period(spans.pop().first, piece.last)
        spans.append(piece)
    return spans


def _unsettled(meters: Meters, owner: str) -> list[list[Job]]:
    """The rows about every resource that still has a row to settle, oldest first."""
    found: dict[str, list[Job]] = {}
    for row in meters.unbilled(owner, tuple(_WORDS)):
        found.setdefault(_thing(row), []).append(row)
    return list(found.values())


def _thing(row: Job) -> str:
    return row.facts.resource or ""
