"""What Novita's bill says of machines, volumes, endpoints and sandboxes that have ended: the last word on their cost.

Lines of the bill name the resource they are for, as rows of the journal do (`facts.resource`). Several rows may be
about one resource, such as a machine's creation and its later starts: a line goes to the newest row begun before the
line's day was over. What was asked of a resource that has a row of its own, such as calls of an endpoint, is in that
row's lines and counts nothing besides. A term paid in advance counts in the row that bought it; what the bill of terms
has besides, such as one that renewed itself, goes to the newest of those rows. A sandbox's rows may all begin on one
day, which is one line: they are known together, once all of its time is over.

No page says that the bill names sandboxes by their ids; where its lines name none of a kind, that kind stays as it is.
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
"""After the end of a thing all its lines are there. A guess: no page says how late they come."""

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
"""Tools whose rows take the lines of what they made, and what that is called."""
_CATEGORIES = {
    "machine": ("gpu", "cloud_storage"),  # whether disks are storage or part of the machine is not said
    "volume": ("cloud_storage",),
    "endpoint": ("serverless", "cloud_storage"),
    "sandbox": ("cloud_sandbox",),  # the disk of a paused one may be in cloud_storage; nobody tells under which name
}
_TOGETHER = "sandbox"
"""The kind whose rows are known together or not at all."""
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
        """What was used, by day and resource, of one category (gpu, serverless, cloud_storage, cloud_sandbox)."""
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
        return f"Just corrected by Novita's bill: {told}, from {say_usd(self.before)} to {say_usd(self.after)}."


def _is_known(row: Job) -> bool:
    return row.facts.usd is not None


def _takes_lines(row: Job) -> bool:
    """Whether it may have made, or set going, what the lines are for."""
    if row.tool not in _WORDS or row.state is JobState.REFUSED or row.facts_as(GpuFacts).to_gb is not None:
        return False  # what only made a volume larger is in the lines of its creation
    seen = row.usd_per_day is not None or row.facts.ended is not None or row.accepted is not None
    return seen or row.state not in (*_UNSURE, JobState.CANCELLED)


def _buys_terms(row: Job) -> bool:
    return row.state is not JobState.REFUSED and (
        row.tool == _BUYS_TERMS or row.facts_as(GpuFacts).term_usd is not None
    )


def _paid(row: Job) -> Decimal:
    """For a term, as far as is known without the bill: what it cost when it was bought."""
    if row.tool == _BUYS_TERMS:
        return Decimal(0) if row.state in _UNSURE else row.counted
    return row.facts_as(GpuFacts).term_usd or Decimal(0)


@dataclass(frozen=True)
class _Resource:
    """All rows about one thing, oldest first. `ends`: until when each that takes lines does; None: it goes on."""

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
        """What it is called."""
        return _WORDS[self.takers[0].tool]

    def due(self, before: float) -> list[Job]:
        """Rows whose lines are all there: what took them ended before that time."""
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
        """Whether all that takes lines is known with these rows."""
        return all(_is_known(row) or row in due for row in self.takers)

    def amounts(self, due: Sequence[Job], used: Iterable[Line], terms: Sequence[Line]) -> dict[str, Decimal]:
        """What the rows that are due cost, by key; the others about it too, once all that takes lines is known."""
        closes = self.closes(due)
        rows = [*due, *(row for row in self.rows if closes and row.key not in self.ends and _is_elsewhere(row))]
        sums = {row.key: _paid(row) for row in rows}
        for line in used:
            if (row := self._taker(line)) is not None and row.key in sums:
                sums[row.key] += line.amount
        newest = next((row for row in reversed(self.buyers) if row.key in sums), None)
        # Fewer lines than purchases: some have not come, or the bill names them otherwise.
        if closes and newest and len(terms) >= sum(_paid(row) > 0 for row in self.buyers):
            besides = sum((line.amount for line in terms), Decimal(0)) - sum(_paid(row) for row in self.buyers)
            sums[newest.key] = max(Decimal(0), sums[newest.key] + besides)
        return sums

    def _taker(self, line: Line) -> Job | None:
        """The newest row begun before the line was over."""
        return next((row for row in reversed(self.takers) if row.begun < line.end), None)


def _end(row: Job) -> float | None:
    if row.usd_per_day is not None:
        return None
    if (ended := row.facts.ended) is not None:
        return ended
    return row.finished.timestamp() if row.finished and row.state in (JobState.FAILED, JobState.CANCELLED) else None


def _is_elsewhere(row: Job) -> bool:
    """Whether a row that takes no lines still counts something that is in another row's, or bought a term."""
    if row.tool == _BUYS_TERMS:
        return _buys_terms(row) and not _is_known(row)
    return bool(row.counted) and (row.tool in _IN_OTHER_ROWS or row.tool in _WORDS)


async def settle_by_bill(novitas: Bill, journal: Journal, owner: str) -> Settled:
    """Let rows that ended long enough ago count what the bill says. Asks Novita only where there are such rows.

    Raises:
        NovitaError: The bill or the journal could not be read; rows are corrected whole or not at all.
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
    # No line names anything of ours of a kind: that it was free is one reading, that ids differ another.
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


def _unsettled(meters: Meters, owner: str) -> list[list[Job]]:
    """The rows about every resource of which some row takes lines and is not known yet, oldest first."""
    found: dict[str, list[Job]] = {}
    for row in meters.unbilled(owner, tuple(_WORDS)):
        found.setdefault(_thing(row), []).append(row)
    return list(found.values())


def _thing(row: Job) -> str:
    return row.facts.resource or ""
