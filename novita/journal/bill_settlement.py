"""What Novita's bill says of machines, volumes and endpoints that have ended: the last word on what they cost.

Lines of the bill name the resource they are for, as rows of the journal do (`facts["resource"]`). Several rows may be
about one resource, such as a machine's creation and its later starts: a line goes to the newest row begun before the
line's day was over. What was asked of a resource that has a row of its own, such as calls of an endpoint, is in that
row's lines and counts nothing besides. A term paid in advance counts in the row that bought it; what the bill of terms
has besides, such as one that renewed itself, goes to the newest of those rows.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol

from ..core.money import show_usd
from ..core.periods import DAY, Period, month_of, utc_day
from .databases import Db
from .journal import MICRO, JobState, Journal
from .meters import bill

LINES_COME_WITHIN = timedelta(days=2)
"""After the end of a thing all its lines are there. A guess: no page says how late they come."""

_WORDS = {
    "create_gpu_instance": "machine",
    "start_gpu_instance": "machine",
    "save_gpu_volume": "volume",
    "create_endpoint": "endpoint",
    "update_endpoint": "endpoint",
}
"""Tools whose rows take the lines of what they made, and what that is called."""
_CATEGORIES = {
    "machine": ("gpu", "cloud_storage"),  # whether disks are storage or part of the machine is not said
    "volume": ("cloud_storage",),
    "endpoint": ("serverless", "cloud_storage"),
}
_IN_OTHER_ROWS = ("call_endpoint", "edit_gpu_instance")
"""Tools whose cost is in the lines of the endpoint or machine they used."""
_BUYS_TERMS = "change_gpu_billing"
_UNSURE = (JobState.SUBMITTING, JobState.UNCONFIRMED)
_UNSEEN = timedelta(days=8)
"""So much later than it was noted a thing may have ended: a stopped machine keeps its disk for a week."""


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
        """What was used, by day and resource, of one category (gpu, serverless, cloud_storage)."""
        ...

    async def machine_terms(self, period: Period) -> Sequence[Line]:
        """Terms of machines bought in advance."""
        ...


@dataclass(frozen=True)
class Settled:
    """What was corrected: how many things of each kind, and what their rows counted before and after, in USD."""

    things: Counter[str] = field(default_factory=Counter[str])
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    def words(self) -> str:
        """In one sentence; empty where nothing was corrected."""
        if not self.things:
            return ""
        told = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(self.things.items()))
        return f"Just corrected by Novita's bill: {told}, from ${show_usd(self.before)} to ${show_usd(self.after)}."


@dataclass(frozen=True)
class _EndedRow:
    """A row of the journal about a resource. Times are Unix seconds."""

    key: str
    tool: str
    resource: str
    state: JobState
    created: float
    accepted: float | None
    finished: float | None
    running: bool
    counted: int
    facts: dict[str, Any]

    @property
    def known(self) -> bool:
        return "usd" in self.facts

    @property
    def takes_lines(self) -> bool:
        """Whether it may have made, or set going, what the lines are for."""
        if self.tool not in _WORDS or self.state is JobState.REFUSED or "to_gb" in self.facts:
            return False  # what only made a volume larger is in the lines of its creation
        seen = self.running or "ended" in self.facts or self.accepted is not None
        return seen or self.state not in (*_UNSURE, JobState.CANCELLED)

    @property
    def buys_terms(self) -> bool:
        return self.state is not JobState.REFUSED and (self.tool == _BUYS_TERMS or "term_usd" in self.facts)

    @property
    def paid(self) -> Decimal:
        """For a term, as far as is known without the bill: what it cost when it was bought."""
        if self.tool == _BUYS_TERMS:
            return Decimal(0) if self.state in _UNSURE else Decimal(self.counted) / MICRO
        return Decimal(self.facts.get("term_usd", 0))


@dataclass(frozen=True)
class _Resource:
    """All rows about one thing, oldest first. `ends`: until when each that takes lines does; None: it goes on."""

    rows: Sequence[_EndedRow]
    ends: dict[str, float | None]

    @classmethod
    def of(cls, rows: Sequence[_EndedRow]) -> "_Resource":
        takers = [row for row in rows if row.takes_lines]
        ends = {row.key: _end(row) for row in takers}
        for row, newer in pairwise(takers):
            if not row.running and ends[row.key] is None:
                ends[row.key] = newer.created
        return cls(rows, ends)

    @property
    def takers(self) -> list[_EndedRow]:
        return [row for row in self.rows if row.key in self.ends]

    def due(self, before: float) -> list[_EndedRow]:
        """Rows whose lines are all there: what took them ended before that time."""
        return [
            row for row in self.takers if not row.known and (end := self.ends[row.key]) is not None and end < before
        ]

    @property
    def buyers(self) -> list[_EndedRow]:
        return [row for row in self.rows if row.buys_terms]

    def closes(self, due: Sequence[_EndedRow]) -> bool:
        """Whether all that takes lines is known with these rows."""
        return all(row.known or row in due for row in self.takers)

    def amounts(self, due: Sequence[_EndedRow], used: Iterable[Line], terms: Sequence[Line]) -> dict[str, Decimal]:
        """What the rows that are due cost, by key; the others about it too, once all that takes lines is known."""
        closes = self.closes(due)
        rows = [*due, *(row for row in self.rows if closes and row.key not in self.ends and _is_elsewhere(row))]
        sums = {row.key: row.paid for row in rows}
        for line in used:
            if (row := self._taker(line)) is not None and row.key in sums:
                sums[row.key] += line.amount
        newest = next((row for row in reversed(self.buyers) if row.key in sums), None)
        # Fewer lines than purchases: some have not come, or the bill names them otherwise.
        if closes and newest and len(terms) >= sum(row.paid > 0 for row in self.buyers):
            besides = sum((line.amount for line in terms), Decimal(0)) - sum(row.paid for row in self.buyers)
            sums[newest.key] = max(Decimal(0), sums[newest.key] + besides)
        return sums

    def _taker(self, line: Line) -> _EndedRow | None:
        """The newest row begun before the line was over."""
        return next((row for row in reversed(self.takers) if row.created < line.end), None)


def _end(row: _EndedRow) -> float | None:
    if row.running:
        return None
    if (ended := row.facts.get("ended")) is not None:
        return float(ended)
    return row.finished if row.state in (JobState.FAILED, JobState.CANCELLED) else None


def _is_elsewhere(row: _EndedRow) -> bool:
    """Whether a row that takes no lines still counts something that is in another row's, or bought a term."""
    if row.tool == _BUYS_TERMS:
        return row.buys_terms and not row.known
    return bool(row.counted) and (row.tool in _IN_OTHER_ROWS or row.tool in _WORDS)


async def settle_by_bill(novitas: Bill, journal: Journal, owner: str) -> Settled:
    """Let rows that ended long enough ago count what the bill says. Asks Novita only where there are such rows.

    Raises:
        NovitaError: The bill or the journal could not be read; rows are corrected whole or not at all.
    """
    before = journal.wall() - LINES_COME_WITHIN.total_seconds()
    found = [_Resource.of(rows) for rows in await journal.transact(lambda db: _unsettled(db, owner))]
    due = [(resource, rows) for resource in found if (rows := resource.due(before))]
    if not due:
        return Settled()
    kinds = {_WORDS[row.tool] for _, rows in due for row in rows}
    today = utc_day(journal.wall())
    used: dict[str, list[Line]] = {}
    terms: dict[str, list[Line]] = {}
    for span in _spans(((row.created, resource.ends[row.key]) for resource, rows in due for row in rows), today):
        for category in sorted({category for kind in kinds for category in _CATEGORIES[kind]}):
            for line in await novitas.resource_lines(span, category):
                used.setdefault(line.resource, []).append(line)
    if not used.keys() & {resource.rows[0].resource for resource in found}:
        return Settled()  # no line names anything of ours: that it was free is one reading, that ids differ another
    bought = [resource.buyers[0] for resource, rows in due if resource.buyers and resource.closes(rows)]
    for span in _spans(((first.created, journal.wall()) for first in bought), today):
        for line in await novitas.machine_terms(span):
            terms.setdefault(line.resource, []).append(line)
    things: Counter[str] = Counter()
    counted, billed = Decimal(0), Decimal(0)
    for resource, rows in due:
        things[_WORDS[rows[0].tool]] += 1
        known = {row.key: row for row in resource.rows}
        id = rows[0].resource
        for key, usd in resource.amounts(rows, used.get(id, ()), terms.get(id, ())).items():
            await bill(journal, key, usd)
            counted, billed = counted + known[key].counted / MICRO, billed + usd
    return Settled(things, counted, billed)


def _spans(times: Iterable[tuple[float, float | None]], today: date) -> list[Period]:
    """Whole months, joined where they touch, that hold all lines between these beginnings and ends."""
    months: set[date] = set()
    for begun, ended in times:
        # A day of Novita's need not be a day of UTC.
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


def _unsettled(db: Db, owner: str) -> list[list[_EndedRow]]:
    """The rows about every resource of which some row takes lines and is not known yet, oldest first."""
    resource, usd = db.fact("facts", "resource"), db.fact("facts", "usd")
    tools = ", ".join("?" * len(_WORDS))
    open_ones = (
        f"SELECT DISTINCT {resource} FROM jobs WHERE owner = ? AND tool IN ({tools})"  # noqa: S608  # all ours
        f" AND {usd} IS NULL AND {resource} IS NOT NULL AND rate_micro_day IS NULL"
    )
    every = (
        f"SELECT *, {resource} AS resource FROM jobs WHERE owner = ? AND {resource} IN ({open_ones}) ORDER BY created"  # noqa: S608
    )
    found: dict[str, list[_EndedRow]] = {}
    for row in db.execute(every, (owner, owner, *_WORDS)).fetchall():
        told = _EndedRow(
            key=row["key"],
            tool=row["tool"],
            resource=str(row["resource"]),
            state=JobState(row["state"]),
            created=row["created"],
            accepted=row["accepted"],
            finished=row["finished"],
            running=row["rate_micro_day"] is not None,
            counted=row["counted_micro"],
            facts=json.loads(row["facts"]),
        )
        found.setdefault(told.resource, []).append(told)
    return list(found.values())
