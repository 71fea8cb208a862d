"""Kind 13 of the inputs that people have: things by their name, wherever their id is asked for."""

from dataclasses import replace
from typing import Any

import pytest
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.simulator.serverless.state import ServerlessState
from novita_mcp.tools import TOOLSETS

from ..gpu_stage import OpenStage, Stage

Json = dict[str, Any]
TOOLS: dict[str, Json] = {spec.name: spec.build().taken for toolset in TOOLSETS for spec in toolset.tools}
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


async def volume(on: Stage, name: str, region: str = "us-ca-06") -> str:
    return (await on.call("save_gpu_volume", name=name, region=region, size_gb=20, confirm=True))["id"]


async def test_a_volume_is_mounted_grown_and_deleted_by_its_name(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        disk = await volume(on, "Data Sets")
        machine_id = await machine(on, "box", volumes={"data sets": "/data"})
        sent = str(world.received("create_gpu_instance")[-1].body)
        assert disk in sent and "data sets" not in sent
        plan = await on.call(
            "create_endpoint",
            image="docker.io/library/nginx:1",
            port=80,
            options={"volumes": {"Data Sets": "/data"}},
            dry_run=True,
        )
        assert disk in str(plan["request"]) and "Data Sets" not in str(plan["request"])
        asked = await told(on, "upgrade_gpu_instance", instance_id=machine_id, volumes={"Data Sets": "/more"})
        assert disk in asked
        grown = await on.call("save_gpu_volume", id="Data Sets", size_gb=30, confirm=True)
        assert grown["id"] == disk
        assert (await on.call("list_gpu_resources", kind="volumes", id="DATA SETS"))["volumes"][0]["id"] == disk
        await on.call("delete_gpu_instance", instance_id="box", confirm=True)
        assert (await on.call("delete_gpu_resource", kind="volume", id="Data Sets", confirm=True))["id"] == disk
        refusal = await on.refused("create_gpu_instance", image="docker.io/a/b:1", volumes={"Data Sets": "/data"})
        assert "no network volume 'Data Sets'" in refusal
    assert world.received("delete_network_storage")[-1].body == {"storageId": disk}


async def test_two_volumes_of_one_name_are_answered_with_their_ids(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        one, other = await volume(on, "data"), await volume(on, "data")
        for tool, given in (
            ("create_gpu_instance", {"image": "docker.io/a/b:1", "volumes": {"data": "/data"}}),
            ("delete_gpu_resource", {"kind": "volume", "id": "data", "confirm": True}),
            ("save_gpu_volume", {"id": "data", "size_gb": 50, "confirm": True}),
        ):
            text = await on.refused(tool, **given)
            assert "are called 'data'" in text and one in text and other in text
        twice = {"image": "docker.io/a/b:1", "volumes": {one: "/data", f" {one} ": "/more"}}
        assert "given twice" in await on.refused("create_gpu_instance", **twice)
    assert world.count("delete_network_storage") == world.count("update_network_storage") == 0


async def test_networks_and_logins_are_found_by_their_names(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        network = (await on.call("save_gpu_network", name="backbone", region="us-ca-06"))["id"]
        assert (await on.call("list_gpu_resources", kind="networks", id="Backbone"))["networks"][0]["id"] == network
        await on.call("save_gpu_network", id="backbone", name="spine")
        assert world.received("update_vpc_network")[-1].body == {"networkId": network, "name": "spine"}
        await on.call("delete_gpu_resource", kind="network", id="spine", confirm=True)
        assert world.received("delete_vpc_network")[-1].body == {"networkId": network}
        login = (await on.call("save_registry_login", name="ghcr.io", username="ada", password="a-long-secret"))["id"]
        await machine(on, "box", options={"imageAuthId": "ghcr.io"})
        assert world.received("create_gpu_instance")[-1].body["imageAuthId"] == login
        made = {"image": "docker.io/library/nginx:1", "port": 80, "options": {"registry_auth_id": "ghcr.io"}}
        assert f"'{login}'" in str((await on.call("create_endpoint", **made, dry_run=True))["request"])
        await on.call("prewarm_gpu_image", image="ghcr.io/a/b:1", region="us-ca-06", registry_auth_id="ghcr.io")
        assert world.received("create_image_prewarm")[-1].body["repositoryAuth"] == login
        await on.call("delete_gpu_resource", kind="prewarmed_image", id="ghcr.io/a/b:1", confirm=True)
        await on.call("delete_gpu_instance", instance_id="box", confirm=True)
        await on.call("delete_gpu_resource", kind="registry_login", id="GHCR.io", confirm=True)
        assert world.received("delete_registry_auth")[-1].body == {"id": login}
        assert "no 'ghcr.io' among the registry logins" in await on.refused(
            "delete_gpu_resource", kind="registry_login", id="ghcr.io", confirm=True
        )


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("get_gpu_template", {}),
        ("update_gpu_template", {"command": "sleep 1", "confirm": True}),
        ("create_gpu_instance", {"dry_run": True}),
        ("create_endpoint", {"port": 80, "dry_run": True}),
        ("delete_gpu_template", {"confirm": True}),
    ],
)
async def test_a_template_is_found_by_its_name(opened: OpenStage, tool: str, more: Json) -> None:
    async with opened(toolsets="all") as on:
        image = "docker.io/me/studio:1"
        made = (await on.call("create_gpu_template", name="My Studio", image=image))["template_id"]
        for name in ("my studio", "My Studio") if tool != "delete_gpu_template" else ("My Studio",):
            found = await on.call(tool, template_id=name, **more)
            assert (found.get("template_id") == made) if "dry_run" not in more else (image in str(found["request"]))
        await on.call("create_gpu_template", name="twins", image=image)
        await on.call("create_gpu_template", name="twins", image=image)
        assert "2 private templates are called 'twins'" in await on.refused(tool, template_id="twins", **more)
        assert "TEMPLATE_NOT_FOUND" in await on.refused(tool, template_id="nobody's", **more)


async def test_what_lies_beyond_the_rows_shown_is_found(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        made: Json = {}
        for number in range(81):
            login = {"name": f"r{number}.example.com", "username": "ada", "password": f"a-long-secret-{number}"}
            made = await on.call("save_registry_login", **login)
        assert (await on.call("list_gpu_resources", kind="registry_logins"))["more"].startswith("1 more")
        await on.call("delete_gpu_resource", kind="registry_login", id="r80.example.com", confirm=True)
        assert world.received("delete_registry_auth")[-1].body == {"id": made["id"]}


async def test_a_blank_is_nobodys_name(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        await volume(on, "data")
        assert "no ' ' among the volumes" in await on.refused(
            "delete_gpu_resource", kind="volume", id=" ", confirm=True
        )
    assert world.count("delete_network_storage") == 0
