"""The journal's rows about endpoints, brought up to what is seen of them: how they stand, and what they go on costing.

Workers that are kept alive cost all the time: the newest accepted create or update of an endpoint counts them, at
`min_workers` times what one costs, from when they were seen running. Workers that calls start besides are counted by
the calls. With nobody kept alive nothing goes on costing, and the estimates stand until the bill.
"""

from collections.abc import Iterable
from decimal import Decimal

from ..core.waiting import Look, Phase, was_watched
from ..journal.facts import EndpointFacts
from ..journal.journal import OPEN_STATES, Job, JobState, Journal
from ..journal.meters import Meters
from .shapes import Endpoint, judge

KIND = "endpoint"
"""Kind of the rows of creates and updates. Each has the endpoint's id as `facts.resource`."""


def facts_of(price: Decimal | None, min_workers: int) -> EndpointFacts:
    """What a row must say for its workers to be counted: what one costs an hour, and how many are kept alive."""
    return EndpointFacts(min_workers=min_workers, usd_per_worker_hour=price)


async def open_endpoints(journal: Journal, owner: str, *, standing: bool = False) -> dict[str, float]:
    """Endpoints with a row that is not done or that goes on costing: by id, when the newest was begun.

    Args:
        standing: Those too that were not seen gone: nobody may be kept alive, and calls cost all the same.
    """
    found = await journal.meter(lambda meters: _rows(meters, owner))
    return {
        id: rows[0].begun
        for id, rows in found.items()
        if any(_is_open(row) or row.usd_per_day for row in rows)
        or (standing and rows[0].facts.ended is None and rows[0].facts.usd is None)
    }


async def counts_workers(journal: Journal, owner: str, endpoint: Endpoint) -> bool:
    """Whether all workers that calls of the endpoint can run on are counted by its own row: it keeps as many alive as
    there may be, so that a call costs nothing more."""
    config = endpoint.worker_config
    if not config.min_num or (config.max_num or 0) > config.min_num:
        return False
    rows = await journal.meter(lambda meters: _rows(meters, owner).get(endpoint.id, ()))
    return any(row.usd_per_day for row in rows)


async def note_seen(journal: Journal, owner: str, endpoints: Iterable[Endpoint]) -> None:
    """Bring the rows of endpoints up to how these stand now. Said again, it changes nothing.

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
    """The endpoint was seen not to be there any more: nothing of it goes on costing."""

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
        if any(row.usd_per_day for row in older) and _least(newest):  # the change itself was never seen
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
        return  # nobody works yet
    workers = endpoint.worker_config.min_num or 0
    if phase is Phase.FAILED and not endpoint.running:
        workers = 0
    since = meters.now
    if any(row.usd_per_day for row in older):
        since = newest.begun
    elif _is_untouched(newest):
        since = max(newest.begun, _facts(newest).waiting_at or 0.0)
    # Where nobody is kept alive calls may still start workers: it is not over before it is gone.
    newest = meters.set_rate(newest, _per_day(newest, workers), at=since, running=workers > 0, over=False)
    _end_older(meters, newest, older)


def _end_older(meters: Meters, newest: Job, older: list[Job]) -> None:
    """From the newest row on the older ones cost nothing; one whose workers were never seen never did."""
    for row in older:
        untouched = _is_untouched(row)
        if untouched:
            row = meters.set_rate(row, _per_day(row, _least(row)), at=newest.begun, running=True)
        if untouched or row.usd_per_day:
            meters.set_rate(row, Decimal(0), at=newest.begun, running=False)


def _rows(meters: Meters, owner: str) -> dict[str, list[Job]]:
    """What was accepted, newest first, by endpoint."""
    found: dict[str, list[Job]] = {}
    for job in reversed(meters.accepted(owner, KIND)):
        found.setdefault(str(job.facts.resource), []).append(job)
    return found


def _facts(row: Job) -> EndpointFacts:
    return row.facts_as(EndpointFacts)


def _is_open(row: Job) -> bool:
    return row.state in OPEN_STATES


def _is_untouched(row: Job) -> bool:
    """It would have kept workers alive, and none was ever seen."""
    return _least(row) > 0 and not row.segments and row.taken > 0


def _least(row: Job) -> int:
    """Workers it wished to keep alive."""
    return _facts(row).min_workers or 0


def _price(row: Job) -> Decimal | None:
    """Of a worker, in USD an hour."""
    return _facts(row).usd_per_worker_hour


def _per_day(row: Job, workers: int) -> Decimal:
    price = _price(row)
    assert price is not None
    return 24 * price * workers


def is_lost(job: Job) -> bool:
    """Whether a create was sent and nobody knows what became of it."""
    return job.state is JobState.UNCONFIRMED and job.task_id is None and job.tool == "create_endpoint"
