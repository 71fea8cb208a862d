"""What sandboxes cost: our books against the simulator's, and what is found again when the books are lost."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.core.money import say_usd
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import OPERATION

from ...conftest import fields_of
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


async def test_a_look_that_fails_after_the_create_hides_nothing(opened: OpenStage, world: World) -> None:
    world.trouble({"status": 503}, method="GET", path="/sandboxes/i*", times=8)
    async with opened(toolsets="sandbox") as on:
        made = await on.call("create_sandbox")

    assert made["status"] == "running"
    assert [made["sandbox_id"]] == list(area(world).sandboxes)
    assert Decimal(made["estimated_cost_usd"]) == Decimal("0.01368")


PLOT = "import matplotlib.pyplot as plt\nplt.bar(table['city'], table['sold'])\nplt.title('Sold')\nplt.show()"


async def test_the_books_agree_after_the_whole_journey(
    opened: OpenStage, settings: Settings, world: World, tmp_path: Path
) -> None:
    """A CSV from disk goes in, code runs twice with state, a chart comes back as picture and file, all is deleted."""
    (tmp_path / "sales.csv").write_text("city,sold\nRome,3\nParis,4\n")
    async with opened(toolsets="default,sandbox") as on:
        id = (await on.call("create_sandbox", timeout_minutes=20))["sandbox_id"]
        world.advance(2 * MINUTE)
        await on.call("write_sandbox_file", sandbox_id=id, path="sales.csv", file=str(tmp_path / "sales.csv"))
        read = "import pandas as pd\ntable = pd.read_csv('sales.csv')"
        await on.call("run_code", sandbox_id=id, code=read)
        world.advance(MINUTE)
        summed = await on.call("run_code", sandbox_id=id, code="table['sold'].sum()")
        plotted = await on.client.call_tool("run_code", {"sandbox_id": id, "code": PLOT})
        world.advance(MINUTE)
        gone = await on.call("delete_sandbox", sandbox_id=id, confirm=True)
        after = await on.call("list_tasks")
        said = await spend(on)

    assert summed["result"] == "7"
    (file,) = fields_of(plotted)["files"]
    assert Path(file["path"]).read_bytes().startswith(b"\x89PNG")
    assert "image" in [block.type for block in plotted.content]
    assert gone["deleted"] == [id] and "running" not in after
    four_minutes = Decimal("0.08208") * 4 / 60
    assert abs(await ours(settings, world) - four_minutes) < TENTH_OF_A_CENT
    assert abs(await ours(settings, world) - theirs(world)) < TENTH_OF_A_CENT
    assert Decimal(said["total"]["usd"]) == await ours(settings, world)
    assert f"It cost about {say_usd(Decimal(said['total']['usd']))}" in gone["next_step"]


@pytest.mark.parametrize("status", [429, 403])
async def test_what_novita_refuses_is_told_with_its_words_and_costs_nothing(
    opened: OpenStage, settings: Settings, world: World, status: int
) -> None:
    """A quota that filled up between our look and the create, and an account that is overdue."""
    async with opened(toolsets="sandbox") as on:
        if status == 403:
            world.add_account(DEFAULT_KEY, 0)
            refused = await on.refused("create_sandbox")
        else:
            body = json.dumps({"code": 429, "message": "you have reached the maximum number of concurrent sandboxes"})
            headers = {"Retry-After": "30"}
            answer = {"status": 429, "body": body, "content_type": "application/json", "headers": headers}
            world.trouble(answer, method="POST", path="/sandboxes", times=-1)
            refused = await on.refused("create_sandbox")

    assert "top up" in refused.lower() if status == 403 else "maximum number of concurrent sandboxes" in refused
    assert "429" in refused or status == 403
    assert await ours(settings, world) == 0
    assert not world.charges


async def test_what_is_measured_inside_and_what_one_can_start_from_are_told_with_their_prices(
    opened: OpenStage, world: World
) -> None:
    async with opened(toolsets="sandbox") as on:
        id = (await on.call("create_sandbox"))["sandbox_id"]
        early = await on.call("get_sandbox", sandbox_id=id)
        world.advance(10)
        later = await on.call("get_sandbox", sandbox_id=id)
        templates = await on.call("list_sandboxes", what="templates")

    assert "memory_mb" not in early
    assert later["cpu_percent"] >= 0 and later["memory_mb"] > 0 and later["disk_mb"] > 0
    lines = {line["template"]: line for line in templates["templates"]}
    assert (lines["code-interpreter-v1"]["machine"], lines["code-interpreter-v1"]["usd_per_hour"]) == (
        "2 cores, 1 GiB",
        "0.08208",
    )
    assert {"base", "desktop"} <= lines.keys()


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
    assert any("sandboxes are listed under the day" in note for note in seen["notes"])


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
