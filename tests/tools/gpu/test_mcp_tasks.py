"""Instances as MCP tasks, and GPU tools over HTTP, where every caller has a key of its own."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings

from ...conftest import text_of
from ...server.test_mcp_tasks import TaskHandle, Tasks, ask
from ..gpu_stage import Json, built_on

WISH: Json = {"image": "docker.io/a/b:1", "gpu": "4090", "name": "trainer", "confirm": True}


@pytest.fixture
def world() -> World:
    return World(WorldSettings(task_seconds=10, speed=0))


def server(settings: Settings, world: World) -> Client:
    return Client(create_app(settings, build=built_on(world)), extensions=[Tasks()])


async def begun(client: Client, tool: str, arguments: Json) -> str:
    await client.list_tools()
    handle = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(handle, TaskHandle), handle
    return handle.task_id


async def followed(client: Client, world: World, task_id: str) -> tuple[list[str], Any]:
    """What the task said on its way, and its result."""
    notes: list[str] = []
    while True:
        seen = await ask(client, "tasks/get", task_id)
        if seen.status != "working":
            assert seen.status == "completed"
            return notes, seen.result
        notes.append(seen.status_message or "")
        world.advance(2)


async def test_a_created_instance_is_followed_until_it_runs_even_after_a_restart(
    settings: Settings, world: World
) -> None:
    async with server(settings, world) as client:
        task_id = await begun(client, "create_gpu_instance", {**WISH, "stop_after_hours": 3})
        assert (await ask(client, "tasks/get", task_id)).status == "working"
    async with server(settings, world) as client:
        notes, result = await followed(client, world, task_id)
        assert "instance trainer: pulling the image" in notes
        answer: Json = result.structured_content
        assert (answer["status"], answer["instance"]["usd_per_hour"]) == ("running", "0.35")
        assert "It will be stopped at 20" in answer["next_step"] and "install --lease-timer" in answer["next_step"]
        assert answer["estimated_cost_usd"] == "0.35"
        assert answer["instance"]["stops_at"]
        assert world.count("create_gpu_instance") == 1

        await client.call_tool("stop_gpu_instance", {"instance_id": answer["instance_id"], "confirm": True})
        again = await begun(client, "start_gpu_instance", {"instance_id": answer["instance_id"], "confirm": True})
        _, result = await followed(client, world, again)
        assert result.structured_content["status"] == "running"
        assert result.structured_content["estimated_cost_usd"] == "0.35"


async def test_an_instance_that_cannot_boot_completes_with_an_error(settings: Settings, world: World) -> None:
    async with server(settings, world) as client:
        task_id = await begun(client, "create_gpu_instance", {**WISH, "image": "registry.invalid/a:1"})
        _, result = await followed(client, world, task_id)
        assert result.is_error and "IMAGE_NOT_FOUND" in text_of(result)


async def test_a_saved_image_is_followed(settings: Settings, world: World) -> None:
    async with server(replace(settings, toolsets="all"), world) as client:
        task_id = await begun(client, "create_gpu_instance", WISH)
        _, result = await followed(client, world, task_id)
        instance = result.structured_content["instance_id"]
        await client.call_tool("stop_gpu_instance", {"instance_id": instance, "confirm": True})
        task_id = await begun(client, "save_gpu_image", {"instance_id": instance, "image": "ghcr.io/me/x:1"})
        _, result = await followed(client, world, task_id)
        assert result.structured_content["status"] == "done"


async def test_over_http_callers_do_not_see_each_others_instances(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    world.set(task_seconds=0)
    world.add_account("sk-somebody-else", 10)
    async with connect_http() as client:
        made = await client.call_tool("create_gpu_instance", {**WISH, "stop_after_hours": 1})
        assert not made.is_error, text_of(made)
        assert "stores no keys" in text_of(made)
        answer: Json = made.structured_content or {}
        instance = answer["instance_id"]
    async with connect_http(key="sk-somebody-else") as client:
        listed = await client.call_tool("list_gpu_instances", {})
        assert (listed.structured_content or {})["total"] == 0
        hidden = await client.call_tool("get_gpu_instance", {"instance_id": instance, "access": True})
        assert hidden.is_error
        assert instance not in text_of(hidden).replace(f"'{instance}'", "")
