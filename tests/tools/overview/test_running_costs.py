"""list_tasks says what runs up cost now: all of it, as Novita shows it, whatever page of tasks is asked for."""

from decimal import Decimal
from typing import Any

import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.state import GpuState

from ...conftest import text_of
from ..gpu_stage import Json, OpenStage, Stage

MACHINE: Json = {"image": "docker.io/a/b:1", "gpu": "3090", "name": "trainer", "confirm": True}
VOLUME: Json = {"name": "data", "region": "texas", "size_gb": 600, "confirm": True}
ENDPOINT: Json = {"image": "docker.io/a/b:1", "port": 80, "gpu": "4090", "name": "web", "min_workers": 1}
HOUR = 3_600


@pytest.fixture
def world() -> World:
    made = World(WorldSettings(task_seconds=10, speed=0))
    made.add_account(DEFAULT_KEY, 5_000)
    return made


async def running(on: Stage, **arguments: Any) -> Json:
    """By name."""
    answer = await on.call("list_tasks", **arguments)
    return {line["name"]: line for line in answer.get("running", ())}


async def test_everything_that_costs_is_listed_with_its_price_whatever_the_page(
    opened: OpenStage, world: World
) -> None:
    async with opened(toolsets="all") as on:
        machine = (await on.call("create_gpu_instance", **MACHINE))["instance_id"]
        volume = (await on.call("save_gpu_volume", **VOLUME))["id"]
        endpoint = (await on.call("create_endpoint", **ENDPOINT, confirm=True))["endpoint_id"]
        world.advance(2 * HOUR)
        answer = await on.call("list_tasks", limit=1, state="failed")
        assert answer["tasks"] == []
        lines = {line["kind"]: line for line in answer["running"]}
        assert {kind: line["id"] for kind, line in lines.items()} == {
            "instance": machine,
            "volume": volume,
            "endpoint": endpoint,
        }
        assert (lines["instance"]["usd_per_hour"], lines["volume"]["usd_per_hour"]) == ("0.21", "0.05")
        assert Decimal("0.42") <= Decimal(lines["instance"]["cost_so_far_usd"]) < Decimal("0.43")
        assert Decimal("0.10") <= Decimal(lines["volume"]["cost_so_far_usd"]) < Decimal("0.11")
        hourly = [Decimal(line["usd_per_hour"]) for line in answer["running"]]
        assert (Decimal(answer["running_usd_per_hour"]), answer["running_total"]) == (sum(hourly), 3)
        assert hourly == sorted(hourly, reverse=True)
        said = text_of(await on.client.call_tool("list_tasks", {}))
        assert f"Running and costing now: 3, about ${answer['running_usd_per_hour']} per hour." in said

        await on.call("stop_gpu_instance", instance_id=machine, confirm=True)
        await on.call("delete_endpoint", endpoint_id=endpoint, confirm=True)
        await on.call("delete_gpu_resource", kind="volume", id=volume, confirm=True)
        assert "running" not in await on.call("list_tasks")


async def test_a_line_says_when_its_lease_ends_it(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        await on.call("create_gpu_instance", **MACHINE, stop_after_hours=3)
        await on.call("create_gpu_instance", **MACHINE | {"name": "open"})
        await on.call("create_endpoint", **ENDPOINT, confirm=True, options={"stop_after_hours": 5})
        lines = await running(on)
        machine = (await on.call("list_gpu_instances", name="trainer"))["instances"][0]
        (endpoint,) = (await on.call("list_endpoints"))["endpoints"]
    assert lines["trainer"]["ends_at"] == machine["stops_at"]
    assert lines["web"]["ends_at"] == endpoint["idles_at"]
    assert "ends_at" not in lines["open"]


async def test_it_shows_what_is_so_and_not_what_was(opened: OpenStage, world: World) -> None:
    state, account = world.area(GpuState), world.accounts[DEFAULT_KEY]
    async with opened(toolsets="all") as on:
        machine = (await on.call("create_gpu_instance", **MACHINE))["instance_id"]
        volume = (await on.call("save_gpu_volume", **VOLUME))["id"]
        assert set(await running(on)) == {"trainer", "volume data"}
        world.advance(HOUR)
        # All of this happens in Novita's console.
        state.settle()
        state.fleet.stop(state.fleet.find(account, machine))
        state.storages.delete(account, volume)
        world.advance(HOUR)
        assert await running(on) == {}
        state.fleet.start(state.fleet.find(account, machine))
        world.advance(HOUR)
        await on.call("list_gpu_instances")
        assert set(await running(on)) == {"trainer"}


async def test_nothing_is_asked_where_nothing_can_run(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        before = sum(world.counters["received"].values())
        answer = await on.call("list_tasks")
        assert sum(world.counters["received"].values()) == before
        assert not {"running", "running_total", "running_usd_per_hour", "running_note"} & answer.keys()


async def test_where_novita_cannot_be_asked_the_journal_tells(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        await on.call("create_gpu_instance", **MACHINE)
        world.advance(HOUR)
        world.trouble({"status": 503, "body": "{}"}, operation="list_gpu_instances", times=-1)
        answer = await on.call("list_tasks")
        assert answer["running_note"].startswith("Novita could not be asked")
        (line,) = answer["running"]
        assert (line["name"], line["usd_per_hour"]) == ("trainer", "0.21")
        world.troubles.clear()
        assert "running_note" not in await on.call("list_tasks")


async def test_a_create_whose_answer_was_lost_is_found_and_listed(opened: OpenStage, world: World) -> None:
    world.trouble({"reset": "after"}, operation="create_gpu_instance")
    async with opened() as on:
        await on.refused("create_gpu_instance", **MACHINE)
        world.advance(HOUR)
        answer = await on.call("list_tasks")
        assert [line["name"] for line in answer["running"]] == ["trainer"]
        assert answer["tasks"][0]["state"] == "succeeded"
        assert answer["tasks"][0]["usd_per_hour"] == "0.21"


async def test_one_without_a_known_price_is_listed_all_the_same(opened: OpenStage, world: World) -> None:
    fleet = world.area(GpuState).fleet
    async with opened() as on:
        machine = (await on.call("create_gpu_instance", **MACHINE))["instance_id"]
        await on.call("stop_gpu_instance", instance_id=machine, confirm=True)
        world.trouble({"status": 200, "body": '{"data": []}'}, operation="list_gpu_products", times=-1)
        fleet.find(world.accounts[DEFAULT_KEY], machine).mode = "spot"  # not what was noted
        started = await on.call("start_gpu_instance", instance_id=machine, confirm=True)
        assert started["estimated_cost_usd"] == "unknown"
        answer = await on.call("list_tasks")
        assert [("usd_per_hour" in line, line["name"]) for line in answer["running"]] == [(False, "trainer")]
        assert answer["running_usd_per_hour"] == "0.00"
        listed = await on.call("list_gpu_instances")
        assert (listed["unpriced"], listed["usd_per_hour"]) == (1, "0")


async def test_a_long_list_of_running_things_is_cut_and_counted_whole(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        for number in range(12):
            await on.call("create_gpu_instance", **{**MACHINE, "gpu": None, "name": f"box {number}"})
        answer = await on.call("list_tasks")
        assert (len(answer["running"]), answer["running_total"]) == (10, 12)
        listed = await on.call("list_gpu_instances")
        assert Decimal(answer["running_usd_per_hour"]) == Decimal(listed["usd_per_hour"])


async def test_list_gpu_instances_tells_cost_and_lease_of_every_one(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        leased = (await on.call("create_gpu_instance", **MACHINE, stop_after_hours=3))["instance_id"]
        await on.call("create_gpu_instance", **{**MACHINE, "name": "second", "disk_gb": 160})
        still = (await on.call("create_gpu_instance", **{**MACHINE, "name": "third", "disk_gb": 180}))["instance_id"]
        await on.call("stop_gpu_instance", instance_id=still, confirm=True)
        world.advance(HOUR)
        listed = await on.call("list_gpu_instances")
        lines = {line["name"]: line for line in listed["instances"]}
        assert {name: line["usd_per_hour"] for name, line in lines.items()} == {
            "trainer": "0.21",
            "second": "0.23083",
            "third": "0.025",
        }
        assert Decimal(listed["usd_per_hour"]) == Decimal("0.46583")
        assert [name for name, line in lines.items() if "stops_at" in line] == ["trainer"]
        assert lines["trainer"]["instance_id"] == leased
        assert ("cost_so_far_usd" in lines["second"], "cost_so_far_usd" in lines["third"]) == (True, False)
