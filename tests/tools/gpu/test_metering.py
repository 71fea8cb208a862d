"""What machines and volumes cost: our ledger against the simulator's charges, by the clock, before any bill is read."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.journal.facts import GpuFacts
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.state import GpuState

from ..gpu_stage import Json, OpenStage, Stage, StageClock

WISH: Json = {"image": "docker.io/a/b:1", "gpu": "3090", "name": "trainer", "confirm": True}
MINUTE, HOUR, DAY = 60, 3_600, 86_400
CENT = Decimal("0.01")


@pytest.fixture
def world() -> World:
    made = World(WorldSettings(task_seconds=10, speed=0))
    made.add_account(DEFAULT_KEY, 5_000)
    return made


class MachineBooks:
    """Both sides' books. Ours are read from the file, as another process would."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._settings, self._world = settings, world

    async def rows(self) -> list[Job]:
        """Oldest first."""
        journal = Journal(Path(self._settings.journal), clock=StageClock(self._world))
        found = await journal.recent(owner_of(DEFAULT_KEY), limit=100)
        await journal.close()
        return found[::-1]

    async def ours(self) -> Decimal:
        return sum((job.counted for job in await self.rows()), Decimal(0))

    def theirs(self, resource: str | None = None) -> Decimal:
        self._world.settle()
        charges = [each for each in self._world.charges if resource in (None, each.ref)]
        return Decimal(sum(each.micro_usd for each in charges)) / 1_000_000

    async def agree(self) -> None:
        ours, theirs = await self.ours(), self.theirs()
        assert abs(ours - theirs) < CENT, f"we say ${ours}, Novita charged ${theirs}"


@pytest.fixture
def books(settings: Settings, world: World) -> MachineBooks:
    return MachineBooks(settings, world)


async def created(on: Stage, **changes: Any) -> str:
    return (await on.call("create_gpu_instance", **{**WISH, **changes}))["instance_id"]


@pytest.mark.parametrize("disk_gb", [60, 100])
async def test_a_machine_that_runs_rests_runs_again_and_goes_is_counted_as_it_is_charged(
    opened: OpenStage, world: World, books: MachineBooks, disk_gb: int
) -> None:
    async with opened() as on:
        instance = await created(on, disk_gb=disk_gb)
        world.advance(90 * MINUTE)
        await books.agree()  # while it runs, before anybody looks
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()
        world.advance(20 * HOUR)
        await books.agree()  # a disk above 60 GB goes on
        await on.call("start_gpu_instance", instance_id=instance, confirm=True)
        world.advance(30 * MINUTE)
        await on.call("delete_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()
        creation, start = await books.rows()
        hourly = Decimal("0.21") + (disk_gb - 60) * Decimal("0.005") / 24
        rested = (disk_gb - 60) * Decimal("0.005") * 20 / 24
        assert abs(creation.counted - (hourly * Decimal("1.5") + rested)) < CENT
        assert abs(start.counted - hourly / 2) < CENT
        assert (creation.usd_per_day, start.usd_per_day) == (None, None)
        world.advance(30 * DAY)
        await on.call("list_gpu_instances")
        await books.agree()


async def test_the_first_hour_stays_taken_while_it_runs_and_not_after(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened() as on:
        instance = await created(on)
        world.advance(6 * MINUTE)
        assert await books.ours() == Decimal("0.21")
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()
        assert await books.ours() < Decimal("0.03")


async def test_a_machine_stopped_by_its_lease_counts_until_then(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened() as on:
        await created(on, stop_after_hours=2, wait_seconds=0)  # nobody looks at it again
        world.advance(2 * HOUR)
        with anyio.fail_after(20):
            while (await books.rows())[0].facts_as(GpuFacts).rests_since is None:
                world.advance(6)
                await anyio.sleep(0.01)
        await books.agree()
        assert Decimal("0.41") < await books.ours() < Decimal("0.44")
        world.advance(5 * DAY)
        await books.agree()


async def test_a_volume_that_grows_and_goes_is_counted_as_it_is_charged(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened(toolsets="all") as on:
        made = await on.call("save_gpu_volume", name="data", region="texas", size_gb=100, confirm=True)
        assert (made["estimated_cost_usd"], await books.ours()) == ("6", 6)  # a month is taken
        world.advance(40 * DAY)
        await books.agree()
        await on.call("save_gpu_volume", id=made["id"], size_gb=300, confirm=True)
        creation, growth = await books.rows()
        assert (growth.counted, creation.usd_per_day) == (0, Decimal("0.6"))
        world.advance(10 * DAY)
        assert await books.ours() == 18  # a month of 300 GB is taken now; 14 have come up
        await on.call("delete_gpu_resource", kind="volume", id=made["id"], confirm=True)
        await books.agree()
        world.advance(10 * DAY)
        await on.call("list_gpu_resources", kind="volumes")
        await books.agree()
        assert abs(await books.ours() - 14) < CENT


async def test_a_grown_disk_is_counted_once_by_its_machine(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened(toolsets="all") as on:
        instance = await created(on)
        world.advance(10 * HOUR)
        edited = await on.call("edit_gpu_instance", instance_id=instance, add_disk_gb=400, confirm=True)
        assert edited["estimated_cost_usd"] == "60"
        creation, growth = await books.rows()
        assert (growth.counted, creation.usd_per_day) == (0, Decimal("7.04"))
        world.advance(10 * HOUR)
        line = (await on.call("list_gpu_instances"))["instances"][0]
        assert line["usd_per_hour"] == "0.29333"
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()
        world.advance(2 * DAY)
        await books.agree()
        await on.call("delete_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()


async def test_what_grows_of_a_thing_made_elsewhere_counts_by_itself(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    state, account = world.area(GpuState), world.accounts[DEFAULT_KEY]
    volume = state.storages.create(account, "us-tx-02", "old", 100)
    async with opened(toolsets="all") as on:
        await on.call("save_gpu_volume", id=volume.id, size_gb=150, confirm=True)
        world.advance(60 * DAY)
        assert abs(await books.ours() - 6) < CENT  # 50 GB of it
        await on.call("delete_gpu_resource", kind="volume", id=volume.id, confirm=True)
        world.advance(60 * DAY)
        assert abs(await books.ours() - 6) < CENT


@pytest.mark.parametrize("operation", ["start_gpu_instance", "edit_gpu_instance", "update_network_storage"])
@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lost_answer_is_cleared_up_by_what_is_seen_later(
    opened: OpenStage, world: World, books: MachineBooks, operation: str, arrived: bool
) -> None:
    async with opened(toolsets="all") as on:
        instance = await created(on)
        volume = await on.call("save_gpu_volume", name="data", region="texas", size_gb=100, confirm=True)
        if operation == "start_gpu_instance":
            await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        world.advance(40 * DAY if operation == "update_network_storage" else HOUR)
        world.trouble({"reset": "after" if arrived else "before"}, operation=operation)
        tool, arguments = {
            "start_gpu_instance": ("start_gpu_instance", {"instance_id": instance}),
            "edit_gpu_instance": ("edit_gpu_instance", {"instance_id": instance, "add_disk_gb": 100}),
            "update_network_storage": ("save_gpu_volume", {"id": volume["id"], "size_gb": 200}),
        }[operation]
        assert "may have been billed" in await on.refused(tool, **arguments, confirm=True)
        world.advance(200)
        await on.call("list_gpu_instances")
        await on.call("list_gpu_resources", kind="volumes")
        world.advance(5 * HOUR)
        if (await on.call("get_gpu_instance", instance_id=instance))["status"] == "running":
            await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        await on.call("delete_gpu_instance", instance_id=instance, confirm=True)
        await on.call("delete_gpu_resource", kind="volume", id=volume["id"], confirm=True)
        await books.agree()


async def test_growths_whose_answers_were_lost_count_one_after_the_other(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened(toolsets="all") as on:
        volume = (await on.call("save_gpu_volume", name="data", region="texas", size_gb=100, confirm=True))["id"]
        world.advance(40 * DAY)
        for size in (1_000, 3_000, 3_000):
            world.trouble({"status": 500, "handled": True}, operation="update_network_storage")
            await on.refused("save_gpu_volume", id=volume, size_gb=size, confirm=True)
            world.advance(10 * DAY)
        await on.call("delete_gpu_resource", kind="volume", id=volume, confirm=True)
        await books.agree()


async def test_a_lost_create_counts_from_its_beginning(opened: OpenStage, world: World, books: MachineBooks) -> None:
    world.trouble({"reset": "after"}, operation="create_gpu_instance")
    async with opened() as on:
        await on.refused("create_gpu_instance", **WISH)
        world.advance(3 * HOUR)
        await on.call("list_gpu_instances")
        await books.agree()


async def test_a_machine_that_cannot_boot_counts_what_its_pulling_cost(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    world.set(task_seconds=600)
    async with opened(wait_seconds=6_000) as on:
        await on.refused("create_gpu_instance", **{**WISH, "image": "registry.invalid/a:1"})
        await books.agree()
        assert 0 < await books.ours() < Decimal("0.10")


async def test_one_stopped_and_started_elsewhere_is_followed(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    fleet = world.area(GpuState).fleet
    async with opened() as on:
        instance = await created(on)
        machine = fleet.find(world.accounts[DEFAULT_KEY], instance)
        world.advance(2 * HOUR)
        fleet.settle()
        fleet.stop(machine)
        world.advance(3 * HOUR)
        await on.call("list_gpu_instances")  # Novita says when it stopped
        await books.agree()
        fleet.start(machine)
        world.advance(HOUR)
        await on.call("get_gpu_instance", instance_id=instance)
        await books.agree()
        world.advance(HOUR)
        fleet.settle()
        fleet.delete(machine)
        world.advance(MINUTE)
        await on.call("list_gpu_instances")
        world.advance(DAY)
        await books.agree()
        assert len(await books.rows()) == 1


async def test_a_subscription_is_its_term_and_what_its_disk_adds(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened(toolsets="all") as on:
        made = await on.call(
            "create_gpu_instance", **{**WISH, "gpu": "4090"}, billing="monthly", disk_gb=160, options={"month": 1}
        )
        instance = made["instance_id"]
        world.advance(10 * DAY)
        await on.call("list_gpu_instances")
        await books.agree()
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        world.advance(DAY)
        await on.call("start_gpu_instance", instance_id=instance, confirm=True)
        world.advance(DAY)
        await on.call("change_gpu_billing", instance_id=instance, action="to_on_demand", confirm=True)
        world.advance(10 * HOUR)
        await books.agree()
        await on.call("delete_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()


async def test_a_machine_that_becomes_a_subscription_stops_counting_by_the_hour(
    opened: OpenStage, world: World, books: MachineBooks
) -> None:
    async with opened(toolsets="all") as on:
        instance = await created(on, gpu="4090")
        world.advance(5 * HOUR)
        await on.call("change_gpu_billing", instance_id=instance, action="to_monthly", confirm=True)
        world.advance(5 * DAY)
        await on.call("list_gpu_instances")
        await books.agree()
        await on.call("change_gpu_billing", instance_id=instance, action="to_on_demand", confirm=True)
        world.advance(5 * HOUR)
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        await books.agree()


async def test_limits_count_the_time_machines_run(opened: OpenStage, world: World, books: MachineBooks) -> None:
    async with opened(spend_limit_usd=Decimal("0.50")) as on:
        instance = await created(on)
        now = datetime.fromtimestamp(world.clock.now(), UTC)
        world.advance(DAY - (now.hour * HOUR + now.minute * MINUTE + now.second) + 2 * HOUR)  # 02:00
        assert "cap" in await on.refused("create_gpu_instance", **{**WISH, "name": "second"})
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
