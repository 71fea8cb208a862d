"""Updates the journal's rows about endpoints to what each look at Novita shows: their state and their cost.

Workers that are kept alive cost money all the time. The newest accepted create or update of an endpoint counts them,
at `min_workers` times the price of one, from when they were seen running. Further workers, which calls start, are
counted by the calls. If no worker is kept alive, nothing is billed by time, and the estimates stay until the bill
settles them.
"""

from collections.abc import Iterable
from decimal import Decimal

from ..core.waiting import Look, Phase, was_watched
from ..journal.facts import EndpointFacts
from ..journal.journal import OPEN_STATES, Job, JobState, Journal
from ..journal.meters import Meters
from .shapes import Endpoint, judge

KIND = "endpoint"
"""The kind of rows of creates and updates. Each has the endpoint's id in `facts.resource`."""


def facts_of(price: Decimal | None, min_workers: int) -> EndpointFacts:
    """The facts that let a row count its workers: the price of one an hour, and how many are kept alive."""
    return EndpointFacts(min_workers=min_workers, usd_per_worker_hour=price)


async def open_endpoints(journal: Journal, owner: str, *, standing: bool = False) -> dict[str, float]:
    """Endpoint id -> when its newest row was begun, for endpoints with a row that is not done or still costs money.

    Args:
        standing: Whether to include all endpoints not known to be gone: calls cost money even if no worker is kept
            alive.
    """
    found = await journal.meter(lambda meters: _rows(meters, owner))
    return {
        id: rows[0].begun
        for id, rows in found.items()
        if any(_is_open(row) or row.usd_per_day for row in rows)
        or (standing and rows[0].facts.ended is None and rows[0].facts.usd is None)
    }


async def counts_workers(journal: Journal, owner: str, endpoint: Endpoint) -> bool:
    """Whether the endpoint's own row counts all workers that its calls can use, so that a call costs nothing more.

    That is so if it keeps as many workers alive as it may have.
    """
    config = endpoint.worker_config
    if not config.min_num or (config.max_num or 0) > config.min_num:
        return False
    rows = await journal.meter(lambda meters: _rows(meters, owner).get(endpoint.id, ()))
    return any(row.usd_per_day for row in rows)


async def note_seen(journal: Journal, owner: str, endpoints: Iterable[Endpoint]) -> None:
    """Update the rows of endpoints to their present state. Repeating it changes nothing.

    Raises:
        JournalError: The journal cannot be used.
    """
    seen = [(endpoint, judge(endpoint)) for endpoint in endpoints]

    def write(meters: Meters) -> None:
        meters.db.lock(f"endpoints of {owner}")
        rows = _rows(meters, owner)
        for endpoint, look in seen:
            if mine := rows.get(endpoint.id):
                mine = [_note_state(meters, row, look) if _is_open(row) else row for row in mine]
                _follow(meters, endpoint, mine, look.phase)

    if seen:
        await journal.meter(write)


async def note_gone(journal: Journal, owner: str, endpoint_id: str) -> None:
    """Note that the endpoint no longer exists, so that its rows stop costing."""

    def write(meters: Meters) -> None:
        meters.db.lock(f"endpoints of {owner}")
        rows = _rows(meters, owner).get(endpoint_id, [])
        gone = "The endpoint is gone; it was not seen serving."
        rows = [meters.end(row, JobState.CANCELLED, reason=gone) if _is_open(row) else row for row in rows]
        priced = [row for row in rows if _price(row) is not None]
        if not priced:
            for row in rows:
                meters.set_rate(row, Decimal(0), at=meters.now, running=False)
            return
        newest, *older = priced
        if any(row.usd_per_day for row in older) and _least(newest):  # no look came between the change and the end
            newest = meters.set_rate(newest, _per_day(newest, _least(newest)), at=newest.begun, running=True)
        newest = meters.set_rate(newest, Decimal(0), at=meters.now, running=False)
        _end_older(meters, newest, older)

    await journal.meter(write)


def _note_state(meters: Meters, row: Job, seen: Look[Endpoint]) -> Job:
    now = meters.now
    if seen.phase is Phase.WORKING:
        return meters.note(row, EndpointFacts(waiting_at=now))
    if seen.phase is Phase.FAILED:
        return meters.end(row, JobState.FAILED, reason=seen.reason)
    before, took = _facts(row).waiting_at or row.begun, now - row.begun
    if was_watched(row.begun, before, now):
        row = meters.note(row, EndpointFacts(took=round(took, 2)))
    return meters.end(row, JobState.SUCCEEDED)


def _follow(meters: Meters, endpoint: Endpoint, rows: list[Job], phase: Phase) -> None:
    priced = [row for row in rows if _price(row) is not None]
    if not priced:
        return
    newest, *older = priced
    running = any(row.usd_per_day for row in priced)
    if phase is Phase.WORKING and not running:
        return  # no worker runs yet
    workers = endpoint.worker_config.min_num or 0
    if phase is Phase.FAILED and not endpoint.running:
        workers = 0
    since = meters.now
    if any(row.usd_per_day for row in older):
        since = newest.begun
    elif _is_untouched(newest):
        since = max(newest.begun, _facts(newest).waiting_at or 0.0)
    # Calls may still start workers, even if none is kept alive, so its row is not over until the endpoint is gone.
    newest = meters.set_rate(newest, _per_day(newest, workers), at=since, running=workers > 0, over=False)
    _end_older(meters, newest, older)


def _end_older(meters: Meters, newest: Job, older: list[Job]) -> None:
    """End the older rows where the newest one begins. An older row whose workers were never seen counts nothing."""
    for row in older:
        untouched = _is_untouched(row)
        if untouched:
            row = meters.set_rate(row, _per_day(row, _least(row)), at=newest.begun, running=True)
        if untouched or row.usd_per_day:
            meters.set_rate(row, Decimal(0), at=newest.begun, running=False)


def _rows(meters: Meters, owner: str) -> dict[str, list[Job]]:
    """Endpoint id -> its accepted rows, newest first."""
    found: dict[str, list[Job]] = {}
    for job in reversed(meters.accepted(owner, KIND)):
        found.setdefault(str(job.facts.resource), []).append(job)
    return found


def _facts(row: Job) -> EndpointFacts:
    return row.facts_as(EndpointFacts)


def _is_open(row: Job) -> bool:
    return row.state in OPEN_STATES


def _is_untouched(row: Job) -> bool:
    """Whether the row asked to keep workers alive and none was ever seen."""
    return _least(row) > 0 and not row.segments and row.taken > 0


def _least(row: Job) -> int:
    """The number of workers that the row asked to keep alive."""
    return _facts(row).min_workers or 0


def _price(row: Job) -> Decimal | None:
    """The price of one worker, in USD an hour."""
    return _facts(row).usd_per_worker_hour


def _per_day(row: Job, workers: int) -> Decimal:
    price = _price(row)
    assert price is not None
    return 24 * price * workers


def is_lost(job: Job) -> bool:
    """Whether a create was sent and its outcome is unknown."""
    return job.state is JobState.UNCONFIRMED and job.task_id is None and job.tool == "create_endpoint"
