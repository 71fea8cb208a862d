"""Machines' and volumes' rows follow what is seen of them, in both databases."""

from decimal import Decimal
from typing import Any

import anyio
import pytest
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.gpu.instances import Instance
from novita_mcp.novita.gpu.meters import follow_gone, follow_instance, follow_volume, open_meters, price_facts
from novita_mcp.novita.gpu.resources import Volume
from novita_mcp.novita.journal.facts import GpuFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job, JobState

from ..conftest import FakeClock

HOUR, DAY = 3_600, 86_400
CENT = Decimal("0.01")


async def rented(journal: Journal, tool: str = "create_gpu_instance", **price: Any) -> Job:
    """A row of the machine `i`, at $0.36 an hour."""
    given_price: dict[str, Any] = {"usd_per_hour": Decimal("0.36"), "disk_gb": 60, "billing": "onDemand", **price}
    facts = price_facts(**given_price)
    given: dict[str, Any] = {"owner": "me", "kind": "gpu_instance", "tool": tool, "model": "4090", "title": "fox"}
    job = await journal.begin(cost=Cost(Decimal("0.36")), facts=facts.with_(GpuFacts(resource="i")), **given)
    return await journal.accepted(job.key, "i" if tool == "create_gpu_instance" else f"i#{job.key[:8]}")


def seen(status: str, *, disk: int = 60, **more: Any) -> Instance:
    return Instance(id="i", status=status, rootfs_size=disk, billing_mode="onDemand", kind="gpu", **more)


async def counted(journal: Journal, job: Job) -> Decimal:
    found = await journal.find("me", job.key)
    assert found is not None
    return found.counted


async def test_looking_again_changes_nothing_not_even_at_once(journal: Journal, clock: FakeClock) -> None:
    job = await rented(journal)
    for status, passed in (("pulling", HOUR), ("running", HOUR), ("exited", HOUR), ("exited", DAY)):
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(follow_instance, journal, "me", seen(status))
        clock.time += passed
    # From its creation until it was seen stopped.
    assert await counted(journal, job) == Decimal("0.72")
    assert await open_meters(journal, "me") == []


async def test_the_newest_row_counts_and_the_others_end_when_it_begins(journal: Journal, clock: FakeClock) -> None:
    first = await rented(journal)
    await follow_instance(journal, "me", seen("running", disk=160))
    clock.time += HOUR
    await follow_instance(journal, "me", seen("exited", disk=160))
    clock.time += DAY
    second = await rented(journal, "start_gpu_instance", disk_gb=160, usd_per_hour=Decimal("0.38"))
    clock.time += HOUR
    started = Instance.model_validate({**seen("running", disk=160).model_dump(), "lastStartedAt": clock.wall() - 600})
    await follow_instance(journal, "me", started)
    (meter,) = await open_meters(journal, "me")
    assert (meter.resource, meter.tool, meter.name) == ("i", "start_gpu_instance", "fox")
    clock.time += 2 * HOUR
    await follow_gone(journal, "me", "i", sure=True)
    clock.time += DAY
    disk = Decimal("0.5")  # a day of 100 GB
    until_start = disk + disk * (HOUR - 600) / DAY
    assert abs(await counted(journal, first) - (Decimal("0.36") + disk / 24 + until_start)) < CENT
    assert abs(await counted(journal, second) - Decimal("0.38") * (2 * HOUR + 600) / HOUR) < CENT


async def test_what_is_only_not_to_be_seen_yet_is_not_gone(journal: Journal, clock: FakeClock) -> None:
    job = await rented(journal)
    await follow_instance(journal, "me", seen("running"))
    clock.time += 60
    await follow_gone(journal, "me", "i")
    assert await counted(journal, job) == Decimal("0.36")
    clock.time += 100
    await follow_gone(journal, "me", "i")
    assert await counted(journal, job) == Decimal("0.016")


@pytest.mark.parametrize("status", ["exited", "removed"])
async def test_one_never_seen_running_counts_no_more_than_its_estimate(
    journal: Journal, clock: FakeClock, status: str
) -> None:
    quick = await rented(journal)
    clock.time += 600
    await follow_instance(journal, "me", seen(status))
    assert await counted(journal, quick) == Decimal("0.06")
    slow = await rented(journal, "start_gpu_instance")
    clock.time += DAY
    await follow_instance(journal, "me", seen(status))
    assert await counted(journal, slow) == Decimal("0.36")


async def test_a_start_that_did_not_take_counts_nothing(journal: Journal, clock: FakeClock) -> None:
    job = await rented(journal, "start_gpu_instance")
    before = Instance.model_validate({**seen("exited").model_dump(), "lastStoppedAt": clock.wall() - HOUR})
    clock.time += 5
    await follow_instance(journal, "me", before)
    assert await counted(journal, job) == Decimal("0.36")  # it may only not show yet
    clock.time += 60
    await follow_instance(journal, "me", before)
    assert await counted(journal, job) == 0


async def test_a_lost_growth_that_did_not_take_counts_nothing(journal: Journal, clock: FakeClock) -> None:
    given: dict[str, Any] = {"owner": "me", "kind": "gpu_admin", "tool": "save_gpu_volume", "model": "", "title": "v"}
    made = await journal.begin(cost=Cost(Decimal(6)), facts=GpuFacts(resource="v"), **given)
    await journal.finish(made.key, JobState.SUCCEEDED)
    await follow_volume(journal, "me", Volume(storage_id="v", storage_size=100))
    facts = GpuFacts(of="v", to_gb=200, adds_usd_per_day=Decimal("0.2"))
    lost = await journal.begin(cost=Cost(Decimal(6)), facts=facts, **given)
    await journal.finish(lost.key, JobState.UNCONFIRMED)
    clock.time += 60
    await follow_volume(journal, "me", Volume(storage_id="v", storage_size=100))
    assert await counted(journal, lost) == 6  # it may only not show yet
    clock.time += HOUR
    await follow_volume(journal, "me", Volume(storage_id="v", storage_size=100))
    assert (await counted(journal, lost), await counted(journal, made)) == (0, 6)


async def test_what_the_bill_said_stays(journal: Journal, clock: FakeClock) -> None:
    job = await rented(journal)
    await follow_instance(journal, "me", seen("running"))
    clock.time += HOUR
    await follow_instance(journal, "me", seen("exited"))
    await journal.meter(lambda meters: meters.bill(meters.job(job.key), Decimal("0.33")))
    await follow_instance(journal, "me", seen("running"))
    clock.time += DAY
    assert await counted(journal, job) == Decimal("0.33")


async def test_machines_of_others_are_left_alone(journal: Journal, clock: FakeClock) -> None:
    job = await rented(journal)
    await follow_instance(journal, "somebody else", seen("running"))
    clock.time += DAY
    assert await counted(journal, job) == Decimal("0.36")
    assert await open_meters(journal, "me") == []
