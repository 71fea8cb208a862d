"""What goes on costing: its time counts, at least its estimate while it runs, and in the end what the bill says."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from novita_mcp.novita.core.costs import Caps, Cost
from novita_mcp.novita.core.errors import SpendRefusedError
from novita_mcp.novita.core.periods import Period
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.ledger import read_ledger, total
from novita_mcp.novita.journal.rows import Job

from ..conftest import FakeClock
from .metering import bill, set_rate

HOUR, DAY = 3_600, 86_400
HOURLY, DAILY = Decimal("0.36"), Decimal("8.64")


def advance(clock: FakeClock, seconds: float) -> None:
    clock.time += seconds


async def rent(journal: Journal, **more: Any) -> Job:
    given: dict[str, Any] = {"owner": "me", "kind": "gpu_instance", "tool": "create_gpu_instance", "model": "4090"}
    job = await journal.begin(title="fox", cost=Cost(HOURLY), **(given | more))
    return await journal.accepted(job.key, f"i-{job.key[:8]}")


async def counted(journal: Journal, job: Job) -> Decimal:
    found = await journal.find("me", job.key)
    assert found is not None
    whole = total(await read_ledger(journal, Period(date(1970, 1, 1), date(2070, 1, 1)), owner="me"))
    assert found.counted == whole.counted == await journal.spent("me")
    return found.counted


async def test_an_hour_is_taken_at_once_and_its_time_counts_from_then_on(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    advance(clock, HOUR / 2)
    assert await counted(journal, job) == HOURLY
    advance(clock, 1.5 * HOUR)
    assert await counted(journal, job) == 2 * HOURLY
    found = await journal.find("me", job.key)
    assert found is not None and found.usd_per_day == DAILY


async def test_stopped_within_the_hour_it_counts_what_it_ran(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    advance(clock, HOUR / 4)
    await set_rate(journal, job.key, Decimal(0), at=clock.wall(), running=False)
    advance(clock, DAY)
    assert await counted(journal, job) == HOURLY / 4


async def test_a_stopped_machine_with_a_big_disk_goes_on_at_less(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    advance(clock, 2 * HOUR)
    await set_rate(journal, job.key, Decimal("0.24"), at=clock.wall(), running=False)
    advance(clock, 3 * HOUR)
    assert await counted(journal, job) == 2 * HOURLY + 3 * Decimal("0.01")


async def test_what_is_said_twice_counts_once(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    for _ in range(3):
        await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
        advance(clock, HOUR)
    for _ in range(3):
        await set_rate(journal, job.key, Decimal(0), at=clock.wall(), running=False)
        advance(clock, HOUR)
    assert await counted(journal, job) == 3 * HOURLY


async def test_an_end_is_noted_once_and_not_where_it_may_be_used_again(journal: Journal, clock: FakeClock) -> None:
    async def ended() -> Any:
        found = await journal.find("me", job.key)
        assert found is not None
        return found.facts.ended

    job = await rent(journal)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    await set_rate(journal, job.key, Decimal(0), at=clock.wall(), running=False, over=False)
    assert await ended() is None
    await set_rate(journal, job.key, Decimal("0.24"), at=clock.wall(), running=False)  # its disk
    assert await ended() is None
    seen = clock.wall()
    advance(clock, HOUR)
    await set_rate(journal, job.key, Decimal(0), at=seen - DAY, running=False)  # it was seen to cost after that
    assert await ended() == round(seen)
    await set_rate(journal, job.key, Decimal(0), at=clock.wall(), running=False)
    assert await ended() == round(seen)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    assert await ended() is None


async def test_what_was_never_metered_keeps_its_estimate_when_it_ends(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    await set_rate(journal, job.key, Decimal(0), at=clock.wall(), running=False)
    assert await counted(journal, job) == HOURLY
    found = await journal.find("me", job.key)
    assert found is not None and found.facts.ended == round(clock.wall())


async def test_the_bill_has_the_last_word(journal: Journal, clock: FakeClock) -> None:
    job = await rent(journal)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    advance(clock, 5 * HOUR)
    await bill(journal, job.key, Decimal("1.23"))
    advance(clock, 5 * HOUR)
    await set_rate(journal, job.key, DAILY, at=clock.wall(), running=True)
    advance(clock, 5 * HOUR)
    assert await counted(journal, job) == Decimal("1.23")


async def test_what_runs_takes_of_the_caps_as_it_goes(journal: Journal, clock: FakeClock) -> None:
    """A machine rented under the cap fills it by running: no more is started, today or tomorrow."""
    caps = Caps(per_day=Decimal(1), per_run=None)
    advance(clock, DAY - clock.wall() % DAY)
    first = await rent(journal, caps=caps)
    await set_rate(journal, first.key, DAILY, at=clock.wall(), running=True)
    advance(clock, HOUR)
    await rent(journal, caps=caps)
    advance(clock, HOUR)
    with pytest.raises(SpendRefusedError, match="cap"):
        await rent(journal, caps=caps)
    advance(clock, 22 * HOUR)  # midnight: a new dollar, of which the first one takes an hour's price every hour
    await rent(journal, caps=caps)
    advance(clock, HOUR)
    with pytest.raises(SpendRefusedError, match="cap"):
        await rent(journal, caps=caps)


async def test_an_unpriced_job_counts_once_for_each_thing_it_buys(journal: Journal) -> None:
    caps = Caps(unknown=Decimal("0.25"), per_call=Decimal("0.60"))
    given: dict[str, Any] = {"owner": "me", "kind": "call", "tool": "read_web_pages", "model": "exa", "title": "foxes"}
    job = await journal.begin(cost=Cost(None, things=2), caps=caps, **given)
    assert await counted(journal, job) == Decimal("0.50")
    with pytest.raises(SpendRefusedError):
        await journal.begin(cost=Cost(None, things=3), caps=caps, **given)
