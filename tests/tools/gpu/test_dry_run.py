"""dry_run of what needs a machine or volume first: shown is what is then sent, and its price is what is then noted."""

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.novita.core.client import owner_of
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.state import GpuState

from ...conftest import text_of
from ..gpu_stage import Json, OpenStage, Person, Stage
from ..one_call_per_tool import NEED_MORE

WISH: Json = {"image": "docker.io/a/b:1", "gpu": "4090", "name": "trainer"}
SECRET = "hunter2-very-secret"


@pytest.fixture
def world() -> World:
    made = World(WorldSettings(task_seconds=1, speed=0))
    made.add_account(DEFAULT_KEY, 5_000)
    return made


async def jobs_of(settings: Settings) -> list[Job]:
    """Newest first."""
    journal = Journal(Path(settings.journal))
    found = await journal.recent(owner_of(settings.api_key), limit=50)
    await journal.close()
    return found


async def furnished(on: Stage, *, stopped: bool = False, **changes: Any) -> Json:
    """Arguments that name a machine and a volume of this account."""
    machine = (await on.call("create_gpu_instance", **{**WISH, "confirm": True, **changes}))["instance_id"]
    if stopped:
        await on.call("stop_gpu_instance", instance_id=machine, confirm=True)
    state = on.world.area(GpuState)
    volume = state.storages.create(on.world.accounts[DEFAULT_KEY], "us-tx-02", "data", 100)
    return {"instance_id": machine, "id": volume.id}


MONTHLY: Json = {"billing": "monthly"}
CASES: dict[str, tuple[str, Json, Json, str]] = {
    "create": ("create_gpu_instance", {}, {**WISH, "name": "second", "env": {"TOKEN": SECRET}}, "0.35"),
    "create with a disk": ("create_gpu_instance", {}, {**WISH, "name": "second", "disk_gb": 100}, "0.358334"),
    "create from a template": (
        "create_gpu_instance",
        {},
        {"template_id": "tpl-pytorch-271", "gpu": "4090", "env": {"TOKEN": SECRET}},
        "0.35",
    ),
    "create a term": ("create_gpu_instance", {}, {**WISH, **MONTHLY, "name": "s", "options": {"month": 3}}, "642.6"),
    "start": ("start_gpu_instance", {"stopped": True}, {"instance_id": ""}, "0.35"),
    "make a volume": ("save_gpu_volume", {}, {"name": "more", "region": "texas", "size_gb": 50}, "3"),
    "grow a volume": ("save_gpu_volume", {}, {"id": "", "size_gb": 150, "name": "larger"}, "3"),
    "rename a volume": ("save_gpu_volume", {}, {"id": "", "name": "other"}, "0"),
    "grow a disk": ("edit_gpu_instance", {}, {"instance_id": "", "add_disk_gb": 100}, "15"),
    "grow a disk within what is free": (
        "edit_gpu_instance",
        {"disk_gb": 20},
        {"instance_id": "", "add_disk_gb": 40},
        "0",
    ),
    "edit everything": (
        "edit_gpu_instance",
        {},
        {"instance_id": "", "ports": ["81/tcp"], "web_terminal": False, "auto_migrate": True, "add_disk_gb": 20},
        "3",
    ),
    "subscribe": ("change_gpu_billing", {}, {"instance_id": "", "action": "to_monthly", "months": 3}, "642.6"),
    "renew": ("change_gpu_billing", MONTHLY, {"instance_id": "", "action": "renew"}, "226.8"),
    "renew by itself": ("change_gpu_billing", MONTHLY, {"instance_id": "", "action": "auto_renew_on"}, "0"),
    "renew no more": ("change_gpu_billing", MONTHLY, {"instance_id": "", "action": "auto_renew_off"}, "0"),
    "pay by the hour": ("change_gpu_billing", MONTHLY, {"instance_id": "", "action": "to_on_demand"}, "0"),
}
"""What is tried as a dry run: the tool, the machine it needs, its arguments (empty ids are filled in), the price."""


def test_every_tool_that_needs_a_machine_is_here() -> None:
    others = {"update_endpoint", "call_endpoint", "change_sandbox"}  # with the tests of their families
    assert {tool for tool, *_ in CASES.values()} >= NEED_MORE - others


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("way", ["asked", "confirm"])
async def test_a_dry_run_shows_what_is_then_sent_and_noted_and_asks_nobody(
    opened: OpenStage, world: World, settings: Settings, case: str, way: str
) -> None:
    tool, machine, wanted, price = CASES[case]
    async with opened(toolsets="all") as on:
        there = await furnished(on, **machine)
    person = Person()
    async with opened(person if way == "asked" else None, toolsets="all") as on:
        arguments = {name: there[name] if value == "" else value for name, value in wanted.items()}
        jobs, paid = await jobs_of(settings), _paid(world)
        world.requests.clear()

        dry = await on.client.call_tool(tool, {**arguments, "dry_run": True, "confirm": True})

        assert not dry.is_error, text_of(dry)
        answer: Json = dry.structured_content or {}
        assert (answer["status"], answer["estimated_cost_usd"]) == ("dry_run", price)
        assert "Call again without dry_run to send it." in answer["next_step"]
        assert SECRET not in dry.model_dump_json()
        assert [request.method for request in world.requests if request.method != "GET"] == []
        assert [job.key for job in await jobs_of(settings)] == [job.key for job in jobs]
        assert (person.asked, _paid(world)) == ([], paid)

        if way == "confirm":
            question = await on.call(tool, **arguments)
            assert (question["status"], question["estimated_cost_usd"]) == ("needs_confirmation", price)
            arguments["confirm"] = True
        done = await on.call(tool, **arguments)
        assert done["estimated_cost_usd"] == price
        if way == "asked":
            (asked,) = person.asked
            assert answer["next_step"].startswith(asked)
        shown: list[Json] = answer.get("requests") or [answer["request"]]
        sent = [
            {"method": request.method, "path": request.path, "body": hidden(request.body)}
            for request in world.requests
            if request.method != "GET"
        ]
        assert sent == shown
        noted = [job for job in await jobs_of(settings) if job.key not in {each.key for each in jobs}]
        assert sum((job.estimate or Decimal(0) for job in noted), Decimal(0)) == Decimal(price)


def _paid(world: World) -> int:
    return sum(charge.micro_usd for charge in world.charges)


def hidden(body: Any) -> Any:
    """As a dry run shows it: names of variables without their values."""
    sent = cast(Json, body)
    return {**sent, "envs": [{**row, "value": "(hidden)"} for row in sent["envs"]]} if "envs" in sent else sent


async def test_names_of_variables_are_shown_and_values_are_not(opened: OpenStage) -> None:
    async with opened() as on:
        shown = await on.call("create_gpu_instance", **WISH, env={"TOKEN": SECRET}, dry_run=True)
        assert shown["request"]["body"]["envs"] == [{"key": "TOKEN", "value": "(hidden)"}]


async def test_a_dry_run_warns_of_a_twin_and_refuses_nothing(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        await furnished(on)
        shown = await on.call("create_gpu_instance", **WISH, dry_run=True, confirm=True)
        assert shown["status"] == "dry_run" and "exists already" in shown["next_step"]
        running = world.received("create_gpu_instance")
        assert len(running) == 1


async def test_a_dry_run_of_what_cannot_be_says_why(opened: OpenStage) -> None:
    async with opened(toolsets="all") as on:
        there = await furnished(on)
        machine = {"instance_id": there["instance_id"]}
        running = await on.call("start_gpu_instance", **machine, dry_run=True)
        assert (running["status"], running["estimated_cost_usd"]) == ("running", "0")
        assert "does not apply" in await on.refused("change_gpu_billing", **machine, action="renew", dry_run=True)
        assert "cannot shrink" in await on.refused("save_gpu_volume", id=there["id"], size_gb=50, dry_run=True)
        assert "Nothing in stock fits" in await on.refused("create_gpu_instance", image="a/b", gpu="H200", dry_run=True)


@pytest.mark.parametrize("wait_seconds", [0, 60])
async def test_creations_and_starts_say_what_was_noted(opened: OpenStage, world: World, wait_seconds: int) -> None:
    world.set(task_seconds=10)
    async with opened() as on:
        made = await on.call("create_gpu_instance", **WISH, confirm=True, wait_seconds=wait_seconds)
        assert made["status"] == ("running" if wait_seconds else "working")
        machine = {"instance_id": made["instance_id"]}
        await on.call("get_gpu_instance", **machine, wait_seconds=60)
        await on.call("stop_gpu_instance", **machine, confirm=True)
        started = await on.call("start_gpu_instance", **machine, confirm=True, wait_seconds=wait_seconds)
        noted = (await on.call("list_tasks"))["tasks"]
        assert [job["estimated_cost_usd"] for job in noted] == ["0.35", "0.35"]
        assert (made["estimated_cost_usd"], started["estimated_cost_usd"]) == ("0.35", "0.35")
