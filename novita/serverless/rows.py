"""The journal's rows about endpoints, brought up to what is seen of them: how they stand, and what they go on costing.

Workers that are kept alive cost all the time: the newest accepted create or update of an endpoint counts them, at
`min_workers` times what one costs, from when they were seen running. Workers that calls start besides are counted by
the calls. With nobody kept alive nothing goes on costing, and the estimates stand until the bill.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..core.waiting import Look, Phase, was_watched
from ..journal.databases import Db
from ..journal.journal import OPEN_STATES, Job, JobState, Journal
from ..journal.meters import set_rate
from .shapes import Endpoint, judge

KIND = "endpoint"
"""Kind of the rows of creates and updates. Each has the endpoint's id as `facts["resource"]`."""


@dataclass(frozen=True)
class _EndpointRow:
    """One accepted create or update. Times are Unix seconds.

    Args:
        rate: Whether it goes on costing now; `metered` whether it did, `holds` whether it counts its estimate.
        price: Of a worker, in USD an hour.
        least: Workers it wished to keep alive.
        waiting_at: When the endpoint was last seen not to serve yet.
        over: It was seen gone.
    """

    key: str
    open: bool
    created: float
    rate: bool
    metered: bool
    holds: bool
    price: Decimal | None
    least: int
    waiting_at: float | None
    over: bool

    @property
    def untouched(self) -> bool:
        """It would have kept workers alive, and none was ever seen."""
        return self.least > 0 and not self.rate and not self.metered and self.holds

    def per_day(self, workers: int) -> Decimal:
        assert self.price is not None
        return 24 * self.price * workers


def facts_of(price: Decimal | None, min_workers: int) -> dict[str, Any]:
    """What a row must say for its workers to be counted: what one costs an hour, and how many are kept alive."""
    return {"min_workers": min_workers, **({"usd_per_worker_hour": str(price)} if price is not None else {})}


async def open_endpoints(journal: Journal, owner: str, *, standing: bool = False) -> dict[str, float]:
    """Endpoints with a row that is not done or that goes on costing: by id, when the newest was begun.

    Args:
        standing: Those too that were not seen gone: nobody may be kept alive, and calls cost all the same.
    """
    found = await _rows(journal, owner)
    return {
        id: rows[0].created
        for id, rows in found.items()
        if any(row.open or row.rate for row in rows) or (standing and not rows[0].over)
    }


async def counts_workers(journal: Journal, owner: str, endpoint: Endpoint) -> bool:
    """Whether all workers that calls of the endpoint can run on are counted by its own row: it keeps as many alive as
    there may be, so that a call costs nothing more."""
    config = endpoint.worker_config
    if not config.min_num or (config.max_num or 0) > config.min_num:
        return False
    return any(row.rate for row in (await _rows(journal, owner)).get(endpoint.id, ()))


async def note_seen(journal: Journal, owner: str, endpoints: Iterable[Endpoint]) -> None:
    """Bring the rows of endpoints up to how these stand now. Said again, it changes nothing.

    Raises:
        JournalError: The journal cannot be used.
    """
    rows = await _rows(journal, owner)
    for endpoint in endpoints:
        if mine := rows.get(endpoint.id):
            seen = judge(endpoint)
            for row in mine:
                if row.open:
                    await _note_state(journal, row, seen)
            await _follow(journal, endpoint, mine, seen.phase)


async def note_gone(journal: Journal, owner: str, endpoint_id: str) -> None:
    """The endpoint was seen not to be there any more: nothing of it goes on costing."""
    rows = (await _rows(journal, owner)).get(endpoint_id, [])
    for row in rows:
        if row.open:
            await journal.finish(row.key, JobState.CANCELLED, reason="The endpoint is gone; it was not seen serving.")
    priced = [row for row in rows if row.price is not None]
    if not priced:
        for row in rows:
            await set_rate(journal, row.key, Decimal(0), at=journal.wall(), running=False)
        return
    newest, *older = priced
    if any(row.rate for row in older) and newest.least:  # the change itself was never seen
        await set_rate(journal, newest.key, newest.per_day(newest.least), at=newest.created, running=True)
    await set_rate(journal, newest.key, Decimal(0), at=journal.wall(), running=False)
    await _end_older(journal, newest, older)


async def _note_state(journal: Journal, row: _EndpointRow, seen: Look[Endpoint]) -> None:
    now = journal.wall()
    if seen.phase is Phase.WORKING:
        await journal.note(row.key, waiting_at=now)
    elif seen.phase is Phase.FAILED:
        await journal.finish(row.key, JobState.FAILED, reason=seen.reason)
    else:
        before, took = row.waiting_at or row.created, now - row.created
        facts: dict[str, Any] = {"took": round(took, 2)} if was_watched(row.created, before, now) else {}
        await journal.finish(row.key, JobState.SUCCEEDED, **facts)


async def _follow(journal: Journal, endpoint: Endpoint, rows: list[_EndpointRow], phase: Phase) -> None:
    priced = [row for row in rows if row.price is not None]
    if not priced:
        return
    newest, *older = priced
    running = any(row.rate for row in priced)
    if phase is Phase.WORKING and not running:
        return  # nobody works yet
    workers = endpoint.worker_config.min_num or 0
    if phase is Phase.FAILED and not endpoint.running:
        workers = 0
    since = journal.wall()
    if any(row.rate for row in older):
        since = newest.created
    elif newest.untouched:
        since = max(newest.created, newest.waiting_at or 0.0)
    # Where nobody is kept alive calls may still start workers: it is not over before it is gone.
    await set_rate(journal, newest.key, newest.per_day(workers), at=since, running=workers > 0, over=False)
    await _end_older(journal, newest, older)


async def _end_older(journal: Journal, newest: _EndpointRow, older: list[_EndpointRow]) -> None:
    """From the newest row on the older ones cost nothing; one whose workers were never seen never did."""
    for row in older:
        if row.untouched:
            await set_rate(journal, row.key, row.per_day(row.least), at=newest.created, running=True)
        if row.untouched or row.rate:
            await set_rate(journal, row.key, Decimal(0), at=newest.created, running=False)


async def _rows(journal: Journal, owner: str) -> dict[str, list[_EndpointRow]]:
    """What was accepted, newest first, by endpoint."""

    def read(db: Db) -> dict[str, list[_EndpointRow]]:
        found: dict[str, list[_EndpointRow]] = {}
        for row in db.execute(
            "SELECT key, state, created, rate_micro_day, metered_micro, counted_micro, facts FROM jobs"
            " WHERE owner = ? AND kind = ? AND accepted IS NOT NULL ORDER BY created DESC, rowid DESC",
            (owner, KIND),
        ):
            facts = json.loads(row["facts"])
            price: str | None = facts.get("usd_per_worker_hour")
            found.setdefault(str(facts.get("resource")), []).append(
                _EndpointRow(
                    key=row["key"],
                    open=row["state"] in OPEN_STATES,
                    created=row["created"],
                    rate=row["rate_micro_day"] is not None,
                    metered=row["metered_micro"] > 0,
                    holds=row["counted_micro"] > 0,
                    price=Decimal(price) if price is not None else None,
                    least=int(facts.get("min_workers", 0)),
                    waiting_at=facts.get("waiting_at"),
                    over="ended" in facts or "usd" in facts,
                )
            )
        return found

    return await journal.transact(read)


def is_lost(job: Job) -> bool:
    """Whether a create was sent and nobody knows what became of it."""
    return job.state is JobState.UNCONFIRMED and job.task_id is None and job.tool == "create_endpoint"
