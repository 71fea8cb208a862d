"""Rows about things that are billed by time, read and written in one transaction.

The families (gpu, serverless, sandbox) look at machines, volumes, endpoints and sandboxes, decide what each one costs
now, and record that here. This module keeps the times and amounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ..core.money import micro
from .databases import Db
from .facts import Facts
from .rows import Job, JobState, Reader, put_facts, utc
from .segments import COUNTED, DAY, LEAST, PAID, TIME, Segment, append, close, cost_at, set_rate

_WHOSE = "(CAST(? AS TEXT) IS NULL OR owner = ?)"
"""SQL: rows of one owner, or of all owners where the parameter is NULL. It takes the owner twice."""


@dataclass(frozen=True)
class Meters:
    """The rows, in an open transaction. Every method that changes a row returns it as it then is."""

    db: Db
    reader: Reader

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.reader.now

    def about(self, owner: str, thing: str, tools: Sequence[str]) -> list[Job]:
        """Rows of these tools about a thing that may cost money, oldest first.

        They stay locked until the transaction ends. A row that makes a volume larger names the volume in `facts.of`.
        """
        self.db.lock(f"meters of {owner} {thing}")
        fact = self.db.fact
        where = (
            f"owner = ? AND tool IN ({', '.join('?' * len(tools))})"
            f" AND ({fact('facts', 'resource')} = ? OR {fact('facts', 'of')} = ?)"
            f" AND state NOT IN ('submitting', 'refused') AND NOT (state = 'cancelled' AND {cost_at(self.now)} = 0)"
        )
        return self.reader.metered(self.db, where, (owner, *tools, thing, thing))

    def accepted(self, owner: str | None, kind: str) -> list[Job]:
        """Rows of a kind that Novita accepted, oldest first; of one owner, or (None) of all owners."""
        where = f"{_WHOSE} AND kind = ? AND accepted IS NOT NULL"
        return self.reader.metered(self.db, where, (owner, owner, kind))

    def unbilled(self, owner: str, tools: Sequence[str]) -> list[Job]:
        """All rows about things whose cost Novita's bill still has to settle, oldest first.

        Such a thing has at least one row of these tools without an open segment and without a known cost.
        """
        thing, usd = self.db.fact("facts", "resource"), self.db.fact("facts", "usd")
        going = "SELECT 1 FROM segments WHERE job = key AND until IS NULL"
        open_ones = (
            f"SELECT {thing} FROM jobs WHERE owner = ? AND tool IN ({', '.join('?' * len(tools))})"  # noqa: S608  # all ours
            f" AND {usd} IS NULL AND {thing} IS NOT NULL AND NOT EXISTS ({going})"
        )
        where = f"owner = ? AND {thing} IN ({open_ones})"
        return self.reader.metered(self.db, where, (owner, owner, *tools))

    def set_rate(
        self,
        job: Job,
        usd_per_day: Decimal,
        *,
        at: float,
        running: bool,
        over: bool | None = None,
        paid: Decimal | None = None,
    ) -> Job:
        """Set what a row's thing costs from `at` (Unix seconds) on. The cost until then is kept.

        Calling it again with the same values changes nothing. A row that the bill has settled is left as it is.

        Args:
            usd_per_day: 0 if it no longer costs anything.
            running: While the thing runs, the row counts at least its estimate; once it has stopped, only its
                metered time. A row that was never metered keeps its estimate.
            over: Whether the thing has ended for good. The row then notes when (`facts.ended`), and the bill can
                settle it. By default a thing is over when it neither runs nor costs anything; pass False for one
                that may be started again.
            paid: What was paid for it in advance, in USD; pass it only at its beginning.
        """
        self.db.lock(f"job {job.key}")
        job = self._again(job)
        if job.facts.usd is not None:
            return job
        if now := job.going_on:
            at = max(at, now.since)  # an earlier look already saw it costing at `now.since`
        over = not (usd_per_day or running) if over is None else over
        if over and job.facts.ended is None:
            job = self.note(job, Facts(ended=round(at)))
        elif not over and job.facts.ended is not None:
            job = self.note(job, Facts(ended=None))
        thing = str(job.facts.resource or job.task_id or job.key[:12])
        if paid:
            append(self.db, job.key, Segment(thing, at, at, Decimal(0), PAID, paid))
        set_rate(self.db, job.key, thing, usd_per_day, at=at, running=running)
        return self._again(job)

    def note(self, job: Job, facts: Facts) -> Job:
        """Add facts to a row; a fact set to None is removed."""
        self.db.lock(f"job {job.key}")
        put_facts(self.db, job.key, facts)
        return self._again(job)

    def end(self, job: Job, state: JobState, *, reason: str = "", free: bool = False) -> Job:
        """Record that a job ended now, and in which state.

        Args:
            free: Novita did not bill it, so it counts 0.
        """
        self.db.execute(
            "UPDATE jobs SET state = ?, reason = ?, finished = ? WHERE key = ?", (state, reason, self.now, job.key)
        )
        return self.take(job, Decimal(0)) if free else self._again(job)

    def take(self, job: Job, usd: Decimal) -> Job:
        """Store this amount (USD) in place of the estimate. Segments are not changed."""
        self.db.execute("UPDATE jobs SET counted_micro = ? WHERE key = ?", (micro(usd), job.key))
        return self._again(job)

    def take_more(self, job: Job, usd: Decimal) -> Job:
        """Raise the least that a running thing counts by this amount (USD)."""
        job = self._again(job)
        resting = self.db.execute("SELECT 1 FROM jobs WHERE key = ? AND counts = ?", (job.key, TIME)).fetchone()
        least = micro((job.counted if resting else job.taken) + usd)
        rule = "counts" if not resting else f"'{LEAST}'"
        self.db.execute(f"UPDATE jobs SET counted_micro = ?, counts = {rule} WHERE key = ?", (least, job.key))  # noqa: S608
        return self._again(job)

    def bill(self, job: Job, usd: Decimal) -> Job:
        """Record the final cost (USD) by Novita's bill, and close the open segment."""
        self.db.lock(f"job {job.key}")
        job = self.note(job, Facts(usd=usd))
        close(self.db, job.key, self.now)
        self.db.execute("UPDATE jobs SET counted_micro = ?, counts = ? WHERE key = ?", (micro(usd), COUNTED, job.key))
        return self._again(job)

    def job(self, key: str) -> Job:
        """The row with this key, with its segments."""
        return self.reader.metered(self.db, "key = ?", (key,))[0]

    def open(self, owner: str | None) -> "list[OpenMeter]":
        """Everything that still costs money, most expensive first; of one owner, or (None) of all owners."""
        going = f"{_WHOSE} AND key IN (SELECT job FROM segments WHERE until IS NULL)"  # noqa: S608  # all ours
        found = [self._open(job) for job in self.reader.metered(self.db, going, (owner, owner))]
        return sorted(found, key=lambda each: (-each.usd_per_hour, each.since))

    def _open(self, job: Job) -> "OpenMeter":
        by_time = [segment for segment in job.segments if segment.source != PAID]
        come = Decimal(0)
        for segment in by_time:
            passed = (self.now if segment.until is None else segment.until) - segment.since
            come += segment.at_once + Decimal(max(0.0, passed)) * segment.usd_per_day / DAY
        return OpenMeter(
            resource=by_time[-1].thing,
            tool=job.tool,
            name=job.title,
            usd_per_hour=(job.usd_per_day or Decimal(0)) / 24,
            usd=Decimal(int(come * 1_000_000)) / 1_000_000,
            since=utc(by_time[0].since),
        )

    def _again(self, job: Job) -> Job:
        return self.job(job.key)


@dataclass(frozen=True)
class OpenMeter:
    """Something that is still billed by time, as the journal knows it. `usd` is its cost from `since` until now."""

    resource: str
    tool: str
    name: str
    usd_per_hour: Decimal
    usd: Decimal
    since: datetime
