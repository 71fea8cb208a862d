"""Kind 13 of the inputs that people have: machines and endpoints by name, wherever their id is asked for."""

from dataclasses import replace
from typing import Any

import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools import TOOLSETS

from ..gpu_stage import OpenStage, Stage

Json = dict[str, Any]
TOOLS: dict[str, Json] = {spec.name: spec.build().parameters for toolset in TOOLSETS for spec in toolset.tools}
MORE: dict[str, Json] = {
    "save_gpu_image": {"image": "docker.io/me/box:1"},
    "change_gpu_billing": {"action": "auto_renew_on"},
    "edit_gpu_instance": {"web_terminal": True},
    "upgrade_gpu_instance": {"image": "docker.io/library/debian:13"},
    "stop_gpu_instance": {},
    "update_endpoint": {"max_workers": 2},
    "call_endpoint": {"path": "/"},
}
"""What these cannot do without. Nobody says yes in this test, so nothing is done."""


def taking(argument: str) -> list[str]:
    return [name for name, schema in TOOLS.items() if argument in schema["properties"]]


async def told(on: Stage, tool: str, **given: Any) -> str:
    answer = await on.client.call_tool(tool, {**given, **MORE.get(tool, {})})
    return str(answer.content)


async def machine(on: Stage, name: str, **more: Any) -> str:
    made = await on.call("create_gpu_instance", image="docker.io/library/ubuntu:24.04", name=name, confirm=True, **more)
    return made["instance_id"]


async def service(on: Stage, name: str, **more: Any) -> str:
    wish: Json = {"image": "docker.io/library/nginx:1", "port": 80, "name": name, "confirm": True}
    return (await on.call("create_endpoint", **wish, **more))["endpoint_id"]


def test_there_are_tools_to_try() -> None:
    assert len(taking("instance_id")) >= 9
    assert len(taking("endpoint_id")) >= 4


@pytest.mark.parametrize("tool", taking("instance_id"))
async def test_a_machine_is_found_by_its_name(opened: OpenStage, tool: str) -> None:
    async with opened(toolsets="all") as on:
        instance = await machine(on, "My Trainer")
        for name in ("My Trainer", "my trainer", " My Trainer "):
            text = await told(on, tool, instance_id=name)
            assert "no instance" not in text, text
            assert instance in text or "MY TRAINER" in text.upper()


@pytest.mark.parametrize("tool", [name for name in taking("endpoint_id") if name != "call_endpoint"])
async def test_an_endpoint_is_found_by_its_name(opened: OpenStage, tool: str) -> None:
    async with opened(toolsets="all") as on:
        endpoint = await service(on, "fox-server")
        for name in ("fox-server", "Fox-Server"):
            text = await told(on, tool, endpoint_id=name)
            assert "no endpoint" not in text, text
            assert endpoint in text


async def test_a_name_that_two_have_is_answered_with_their_ids(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        first, second = await machine(on, "box"), await machine(on, "crate")
        world.area(GpuState).fleet.find(world.accounts[DEFAULT_KEY], second).name = "box"
        text = await on.refused("delete_gpu_instance", instance_id="box", confirm=True)
        assert "2 instances are called 'box'" in text and first in text and second in text
        one, other = await service(on, "web"), await service(on, "net")
        twin = world.area(ServerlessState).all[other]
        twin.plan = replace(twin.plan, name="web")
        text = await on.refused("delete_endpoint", endpoint_id="web", confirm=True)
        assert "2 endpoints are called 'web'" in text and one in text and other in text
    assert world.count("delete_gpu_instance") == world.count("delete_serverless_endpoint") == 0


async def test_an_id_is_never_taken_for_a_name(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        first = await machine(on, "box")
        await machine(on, first)  # somebody called it like the id of another
        done = await on.call("delete_gpu_instance", instance_id=first, confirm=True)
        assert done["instance_id"] == first
    assert world.received("delete_gpu_instance")[-1].body == {"instanceId": first}


async def test_what_is_deleted_is_not_found_by_its_name(opened: OpenStage) -> None:
    async with opened() as on:
        await on.call("delete_gpu_instance", instance_id=await machine(on, "box"), confirm=True)
        assert "no instance 'box'" in await on.refused("get_gpu_instance", instance_id="box")
