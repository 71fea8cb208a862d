"""What sandboxes cost: our books against the simulator's, and what is found again when the books are lost."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import OPERATION

from ..gpu_stage import Json, OpenStage, Stage, StageClock, stage

MINUTE, DAY = 60, 86_400
TENTH_OF_A_CENT = Decimal("0.001")


@pytest.fixture
def world() -> World:
    made = World(WorldSettings(speed=0))
    area(made).pause_seconds_per_gib = 0
    return made


@pytest.fixture
def opened(settings: Settings, world: World, era: str) -> OpenStage:
    return stage(settings, world, era)


async def ours(settings: Settings, world: World) -> Decimal:
    journal = Journal(Path(settings.journal), clock=StageClock(world))
    rows = await journal.recent(owner_of(DEFAULT_KEY), limit=100)
    await journal.close()
    return sum((row.counted for row in rows), Decimal(0))


def theirs(world: World) -> Decimal:
    world.settle()
    return Decimal(sum(charge.micro_usd for charge in world.charges)) / 1_000_000


async def test_a_life_with_a_pause_and_more_time_counts_what_novita_charges(
    opened: OpenStage, settings: Settings, world: World
) -> None:
    async with opened(toolsets="default,sandbox") as on:
        id = (await on.call("create_sandbox", timeout_minutes=10))["sandbox_id"]
        assert await ours(settings, world) == Decimal("0.01368"), "the whole life, while it runs"
        world.advance(4 * MINUTE)
        await on.call("change_sandbox", sandbox_id=id, action="pause")
        world.advance(60 * MINUTE)
        await on.call("change_sandbox", sandbox_id=id, action="resume", timeout_minutes=5)
        world.advance(2 * MINUTE)
        longer = await on.call("change_sandbox", sandbox_id=id, action="set_time", timeout_minutes=20)
        assert Decimal(longer["estimated_cost_usd"]) == Decimal("0.023256"), "17 minutes more than it had"
        world.advance(3 * MINUTE)
        (line,) = (await on.call("list_tasks"))["running"]
        await on.call("delete_sandbox", sandbox_id=id, confirm=True)
        after = await on.call("list_tasks")

    assert (line["kind"], line["id"], line["usd_per_hour"]) == ("sandbox", id, "0.08208")
    assert "running" not in after
    nine_minutes = Decimal("0.08208") * 9 / 60
    assert abs(await ours(settings, world) - nine_minutes) < TENTH_OF_A_CENT
    assert abs(await ours(settings, world) - theirs(world)) < TENTH_OF_A_CENT


async def test_one_that_ended_by_itself_counts_its_own_time_and_no_more(
    opened: OpenStage, settings: Settings, world: World
) -> None:
    async with opened(toolsets="default,sandbox") as on:
        await on.call("create_sandbox", timeout_minutes=10)
        world.advance(24 * 60 * MINUTE)
        seen = await on.call("list_tasks")

    assert "running" not in seen
    assert abs(await ours(settings, world) - Decimal("0.01368")) < TENTH_OF_A_CENT
    assert abs(await ours(settings, world) - theirs(world)) < TENTH_OF_A_CENT


async def test_what_runs_is_found_by_its_mark_when_the_journal_is_lost(
    opened: OpenStage, settings: Settings, tmp_path: Path, world: World
) -> None:
    async with opened(toolsets="default,sandbox") as on:
        id = (await on.call("create_sandbox", timeout_minutes=30, label="lost"))["sandbox_id"]
        world.advance(5 * MINUTE)
    async with opened(toolsets="default,sandbox", journal=str(tmp_path / "fresh.sqlite3")) as on:
        (line,) = (await on.call("list_tasks"))["running"]

    assert (line["kind"], line["id"]) == ("sandbox", id)
    assert Decimal(line["cost_so_far_usd"]) == Decimal("0.0068")
    assert "It ends by itself" in line["note"]


async def test_the_caps_hold_for_what_lives_longer(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="sandbox", spend_limit_usd=Decimal("0.02")) as on:
        id = (await on.call("create_sandbox", timeout_minutes=10))["sandbox_id"]
        longer = await on.refused("change_sandbox", sandbox_id=id, action="set_time", timeout_minutes=30)
        another = await on.refused("create_sandbox", timeout_minutes=10, label="another")

    assert "spending cap" in longer
    assert "spending cap" in another
    assert len(area(world).sandboxes) == 1


async def test_a_429_and_what_a_plan_does_not_allow_are_told_and_nothing_is_noted_as_spent(
    opened: OpenStage, settings: Settings, world: World
) -> None:
    async with opened(toolsets="sandbox") as on:
        world.trouble({"status": 429}, method="POST", path="/sandboxes", times=-1)
        refused = await on.refused("create_sandbox")

    assert "429" in refused
    assert await ours(settings, world) == 0


async def test_a_look_that_fails_after_the_create_hides_nothing(opened: OpenStage, world: World) -> None:
    world.trouble({"status": 503}, method="GET", path="/sandboxes/i*", times=8)
    async with opened(toolsets="sandbox") as on:
        made = await on.call("create_sandbox")

    assert made["status"] == "running"
    assert [made["sandbox_id"]] == list(area(world).sandboxes)
    assert Decimal(made["estimated_cost_usd"]) == Decimal("0.01368")


async def spend(on: Stage) -> Json:
    (content,) = (await on.client.read_resource("novita://spend")).contents
    return json.loads(getattr(content, "text", ""))


async def test_the_spend_resource_lists_what_runs_and_what_is_paused(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="sandbox") as on:
        runs = (await on.call("create_sandbox", timeout_minutes=10))["sandbox_id"]
        rests = (await on.call("create_sandbox", timeout_minutes=10, label="rests"))["sandbox_id"]
        world.advance(5 * MINUTE)
        await on.call("change_sandbox", sandbox_id=rests, action="pause")
        seen = await spend(on)

    first, second = seen["running"]
    assert (first["id"], first["usd_per_hour"], first["cost_so_far_usd"]) == (runs, "0.08208", "0.0068")
    assert (second["id"], "usd_per_hour" in second, second["cost_so_far_usd"]) == (rests, False, "0.0068")
    assert "storage" in second["note"]
    assert any("sandboxes stand under the day" in note for note in seen["notes"])


async def test_once_its_whole_time_is_over_a_sandbox_counts_what_the_bill_says(
    opened: OpenStage, settings: Settings, world: World
) -> None:
    async with opened(toolsets="sandbox") as on:
        id = (await on.call("create_sandbox", timeout_minutes=10))["sandbox_id"]
        await on.call("run_code", code="1 + 1")
        world.advance(4 * MINUTE)
        await on.call("change_sandbox", sandbox_id=id, action="set_time", timeout_minutes=20)
        await on.call("change_sandbox", sandbox_id=id, action="pause")
        world.advance(4 * DAY)
        half = await spend(on)
        await on.call("change_sandbox", sandbox_id=id, action="resume", timeout_minutes=5)
        world.advance(5 * DAY)
        await on.call("list_sandboxes")
        before = await ours(settings, world)
        whole = await spend(on)

    assert "1 sandbox, from" in half["notes"][-1], "the one that was made for one run"
    assert "1 sandbox, from" in whole["notes"][-1], "all rows of the other, its creation too"
    assert abs(await ours(settings, world) - theirs(world)) <= Decimal("0.0002"), "lines of whole 0.0001 USD a day"
    assert abs(before - theirs(world)) < TENTH_OF_A_CENT
    assert Decimal(whole["total"]["known_usd"]) == Decimal(whole["total"]["usd"])


async def test_a_bill_that_names_sandboxes_otherwise_corrects_none(opened: OpenStage, world: World) -> None:
    """No page says that its lines have their ids: what ran must not come to count nothing by that."""
    async with opened(toolsets="sandbox,gpu") as on:
        machine = await on.call("create_gpu_instance", image="docker.io/a/b:1", gpu="4090", confirm=True)
        await on.call("create_sandbox", timeout_minutes=10)
        world.advance(20 * MINUTE)
        await on.call("delete_gpu_instance", instance_id=machine["instance_id"], confirm=True)
        await on.call("list_sandboxes")
        world.settle()
        for charge in [each for each in world.charges if each.operation == OPERATION]:
            world.charges[world.charges.index(charge)] = replace(charge, ref=f"ns/{charge.ref}")
        world.advance(4 * DAY)
        told = await spend(on)

    assert "1 machine, from" in told["notes"][-1]
    assert "sandbox" not in told["notes"][-1]
    (row,) = [row for row in told["rows"] if row["tool"] == "create_sandbox"]
    assert abs(Decimal(row["usd"]) - Decimal("0.01368")) < TENTH_OF_A_CENT
