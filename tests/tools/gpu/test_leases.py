"""A lease ends its instance although nobody calls: at start-up of any server, and from the command line."""

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.commands.doctor import run_doctor
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.tools import TOOLSETS

from ...scripts import SCRIPTS, script
from ..gpu_stage import Json, OpenStage, Stage, built_on, leases_are_looked_at, stage

WISH: Json = {"image": "docker.io/a/b:1", "gpu": "4090", "name": "trainer", "confirm": True}


@pytest.fixture
def world() -> World:
    return World(WorldSettings(task_seconds=1, speed=0))


async def leased(on: Stage) -> str:
    made = await on.call("create_gpu_instance", **WISH, stop_after_hours=0.01)
    return made["instance_id"]


async def test_a_server_that_nobody_calls_keeps_leases_too(
    opened: OpenStage, settings: Settings, world: World, era: str
) -> None:
    async with opened() as on:
        instance = await leased(on)
    world.advance(100)
    app = create_app(settings, build=built_on(world), lease_delay=0.01)
    async with Client(app, mode=era):
        with anyio.fail_after(20):
            while world.count("stop_gpu_instance") == 0:
                await anyio.sleep(0.01)
    world.advance(10)
    found = world.area(GpuState).fleet.find(world.accounts[DEFAULT_KEY], instance)
    world.area(GpuState).settle("*")
    assert found.status == "exited"


async def test_without_a_lease_a_server_that_nobody_calls_builds_nothing(
    settings: Settings, world: World, era: str
) -> None:
    app = create_app(settings, build=built_on(world), lease_delay=0)
    async with Client(app, mode=era):
        await anyio.sleep(0.05)
        assert app.shared is not None
        assert "app" not in vars(app.shared)
    assert not Path(settings.journal).exists()


def test_the_command_line_enforces_leases_once(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        async with stage(settings, world, "auto")() as on:
            await leased(on)

    def enforced() -> tuple[int, Json]:
        code = run_doctor(settings, as_json=True, offline=False, leases=True)
        checks: list[Json] = json.loads(capsys.readouterr().out)["checks"]
        return code, next(check for check in checks if check["name"] == "leases")

    anyio.run(prepare)
    # The command line lives in real time, so the lease is brought into its past.
    world.advance(100)
    _bring_forward(settings)
    code, check = enforced()
    assert code == 0
    assert "'trainer'" in check["detail"] and "asked to stop" in check["detail"]
    assert world.count("stop_gpu_instance") == 1
    world.advance(10)
    _bring_forward(settings)
    _, check = enforced()
    assert "stopped at the end of its lease" in check["detail"]
    _, check = enforced()
    assert check["detail"] == "none"
    assert world.count("stop_gpu_instance") == 1


def _bring_forward(settings: Settings) -> None:
    with sqlite3.connect(settings.journal) as db:
        db.execute("UPDATE kept_leases SET stop_at = 1, claimed_until = 0")


def test_doctor_says_what_is_wrong_with_a_lease(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def prepare() -> None:
        async with stage(settings, world, "auto")() as on:
            await leased(on)

    anyio.run(prepare)
    _bring_forward(settings)
    world.trouble({"error": "FORBIDDEN", "group": "gpu"}, operation="get_gpu_instance", times=-1)
    code = run_doctor(settings, as_json=True, offline=False, leases=True)
    checks: list[Json] = json.loads(capsys.readouterr().out)["checks"]
    check = next(check for check in checks if check["name"] == "leases")
    assert (code, check["status"]) == (1, "wrong")
    assert run_doctor(replace(settings, journal="off"), as_json=True, offline=False, leases=True) == 0


async def test_resources_show_what_the_tools_show_without_passwords(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        instance = await leased(on)
        machine = world.area(GpuState).fleet.find(world.accounts[DEFAULT_KEY], instance)
        listed = [str(each.uri) for each in (await on.client.list_resources()).resources]
        assert {"novita://gpu/products", "novita://gpu/instances"} <= set(listed)
        templates = [each.uri_template for each in (await on.client.list_resource_templates()).resource_templates]
        assert "novita://gpu/instances/{id}" in templates
        for uri, word in (
            ("novita://gpu/products", "RTX 4090"),
            ("novita://gpu/instances", "trainer"),
            (f"novita://gpu/instances/{instance}", "trainer"),
        ):
            text = (await on.client.read_resource(uri)).contents[0].model_dump()["text"]
            assert word in text and machine.password not in text
            json.loads(text)


async def test_the_prompt_turns_a_sentence_into_the_steps(opened: OpenStage) -> None:
    async with opened() as on:
        names = {spec.name for toolset in TOOLSETS for spec in toolset.tools}
        got = await on.client.get_prompt("gpu_job", {"job": "train a LoRA on my photos", "budget_usd": "5"})
        text = got.messages[0].content.model_dump()["text"]
        assert "train a LoRA on my photos" in text and "$5" in text and "stop_after_hours" in text
        mentioned = set(re.findall(r"\b(?:list|get|create|stop|delete)_gpu_\w+", text))
        assert len(mentioned) >= 5 and mentioned <= names


def test_the_page_of_operations_is_fresh_and_whole() -> None:
    if not SCRIPTS.is_dir():
        pytest.skip("away from the source")
    table = script("gpu_table")
    shown = table.PAGE.read_text(encoding="utf-8")
    assert shown == table.page()
    for area in ("gpu", "serverless"):
        for operation, _ in table.operations(area):
            assert f"| `{operation}` |" in shown


@pytest.mark.parametrize(
    ("tool", "operation", "arguments"),
    [
        ("create_gpu_instance", "create_gpu_instance", {**WISH, "stop_after_hours": 1}),
        (
            "create_endpoint",
            "create_serverless_endpoint",
            {"image": "a/b:1", "port": 80, "name": "fox", "confirm": True, "options": {"stop_after_hours": 1}},
        ),
    ],
)
async def test_a_refused_create_leaves_no_lease(
    opened: OpenStage, settings: Settings, world: World, tool: str, operation: str, arguments: Json
) -> None:
    world.trouble({"status": 400, "body": '{"reason": "INVALID", "message": "no"}'}, operation=operation)
    async with opened(toolsets="all") as on:
        assert "Nothing was billed" in await on.refused(tool, **arguments)
    with sqlite3.connect(settings.journal) as db:
        assert db.execute("SELECT state, note FROM kept_leases").fetchall() == [("dropped", "the create was refused")]


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "refused"])
async def test_a_start_has_its_lease_from_the_first_moment_unless_it_was_refused(
    opened: OpenStage, settings: Settings, world: World, lost: bool
) -> None:
    async with opened() as on:
        instance = (await on.call("create_gpu_instance", **WISH))["instance_id"]
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        trouble: Json = {"reset": "after"} if lost else {"status": 400, "body": '{"reason": "NO", "message": "no"}'}
        world.trouble(trouble, operation="start_gpu_instance")
        await on.refused("start_gpu_instance", instance_id=instance, stop_after_hours=0.1, confirm=True)
        line: Json = (await on.call("get_gpu_instance", instance_id=instance))["instance"]
        assert ("stops_at" in line) == lost
    world.advance(400)
    async with opened() as on:
        for _ in range(50):
            line = (await on.call("get_gpu_instance", instance_id=instance))["instance"]
            if line["state"] == "exited":
                break
            world.advance(6)
        assert line["state"] == "exited"
        assert world.count("stop_gpu_instance") == (2 if lost else 1)


NEEDS = ("running novita-mcp server", "novita-mcp install --lease-timer", "novita-mcp doctor --leases")


async def test_question_answer_and_prompt_say_what_a_lease_needs(opened: OpenStage) -> None:
    async with opened(toolsets="all") as on:
        asked = await on.call("create_gpu_instance", **{**WISH, "confirm": False}, stop_after_hours=3)
        made = await on.call("create_gpu_instance", **WISH, stop_after_hours=3)
        endpoint: Json = {"image": "a/b:1", "port": 80, "name": "fox", "options": {"stop_after_hours": 1}}
        served = await on.call("create_endpoint", **endpoint)
        got = await on.client.get_prompt("gpu_job", {"job": "train a LoRA"})
        for said in (
            asked["next_step"],
            made["next_step"],
            served["next_step"],
            got.messages[0].content.model_dump()["text"],
        ):
            assert all(need in said for need in NEEDS), said
        assert "It will be stopped after 3 hours, " in asked["next_step"]


async def test_a_lease_ends_with_its_instance_and_a_start_says_which_applies(opened: OpenStage, world: World) -> None:
    """What was stopped by hand is not killed again by the lease of before, once it is started anew."""
    async with opened() as on:
        instance = (await on.call("create_gpu_instance", **WISH, stop_after_hours=1))["instance_id"]
        stop: Json = {"instance_id": instance, "confirm": True}
        await on.call("stop_gpu_instance", **stop)
        asked = await on.call("start_gpu_instance", instance_id=instance)
        assert "No lease applies: it runs until stopped." in asked["next_step"]
        begun = await on.call("start_gpu_instance", **stop, again=True)
        assert "No lease applies" in begun["next_step"]
        world.advance(2 * 3_600)
        stops = world.count("stop_gpu_instance")
        await leases_are_looked_at()
        assert world.count("stop_gpu_instance") == stops
        await on.call("stop_gpu_instance", **stop)
        leased_again = await on.call("start_gpu_instance", **stop, stop_after_hours=2)
        assert "It will be stopped after 2 hours." in leased_again["next_step"]


async def test_a_call_that_joins_a_create_or_a_start_is_told_the_lease_too(opened: OpenStage, world: World) -> None:
    world.set(task_seconds=60)
    lease: Json = {"stop_after_hours": 3}
    async with opened() as on:
        instance = (await on.call("create_gpu_instance", **WISH, **lease, wait_seconds=0))["instance_id"]
        joined = await on.call("create_gpu_instance", **WISH, **lease)
        assert "This is the job you started" in joined["next_step"]
        assert "It will be stopped at 20" in joined["next_step"] and all(need in joined["next_step"] for need in NEEDS)
        world.advance(60)
        await on.call("stop_gpu_instance", instance_id=instance, confirm=True)
        world.advance(60)
        await on.call("start_gpu_instance", instance_id=instance, confirm=True, wait_seconds=0)
        joined = await on.call("start_gpu_instance", instance_id=instance)
        assert "This is the job you started" in joined["next_step"]
        assert "No lease applies: it runs until stopped." in joined["next_step"]


async def test_a_lease_that_ran_out_while_it_was_stopped_elsewhere_ends_nothing_started_later(
    settings: Settings, world: World, era: str
) -> None:
    """Stopped in Novita's console while no server ran; a lease that still has time carries over, and is said."""
    async with stage(settings, world, era)() as on:
        instance = (await on.call("create_gpu_instance", **WISH, stop_after_hours=10))["instance_id"]
        async with httpx.AsyncClient(base_url=settings.base_url) as console:
            path, key = "/gpu-instance/openapi/v1/gpu/instance/stop", {"Authorization": f"Bearer {DEFAULT_KEY}"}
            (await console.post(path, json={"instanceId": instance}, headers=key)).raise_for_status()
        world.advance(60)
        asked = await on.call("start_gpu_instance", instance_id=instance)
        assert "Its lease from before applies: it will be stopped at" in asked["next_step"]
    world.advance(11 * 3_600)
    async with stage(settings, world, era)() as on:
        begun = await on.call("start_gpu_instance", instance_id=instance, confirm=True)
        assert "No lease applies" in begun["next_step"]
        await leases_are_looked_at()
        assert world.count("stop_gpu_instance") == 1, "the console's own"
