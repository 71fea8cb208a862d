"""Endpoints and their jobs as MCP tasks, and one endpoint as a resource."""

import json

import pytest
from mcp import Client, MCPError
from mcp_types import ResourceTemplateReference, TextResourceContents
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serverless.state import ServerlessState

from ...server.test_mcp_tasks import Tasks, ask
from ..gpu.test_mcp_tasks import begun, followed
from ..gpu_stage import Json, OpenStage, built_on

SYNC: Json = {"image": "docker.io/a/b:1", "port": 8000, "name": "web", "min_workers": 1, "confirm": True}
ASYNC: Json = {"image": "docker.io/a/b:1", "takes_jobs": True, "gpu": "4090", "name": "jobs", "min_workers": 1}


@pytest.fixture
def world() -> World:
    return World(WorldSettings(task_seconds=10, speed=0))


def server(settings: Settings, world: World) -> Client:
    return Client(create_app(settings, build=built_on(world)), extensions=[Tasks()])


async def test_a_deployment_is_followed_until_it_serves_even_after_a_restart(settings: Settings, world: World) -> None:
    async with server(settings, world) as client:
        task_id = await begun(client, "create_endpoint", SYNC)
        assert (await ask(client, "tasks/get", task_id)).status == "working"
    async with server(settings, world) as client:
        notes, result = await followed(client, world, task_id)
        assert any("workers: creating" in note for note in notes)
        answer: Json = result.structured_content
        assert (answer["status"], answer["endpoint"]["workers_running"]) == ("serving", 1)
        change = await begun(
            client, "update_endpoint", {"endpoint_id": answer["endpoint_id"], "max_workers": 2, "confirm": True}
        )
        _, result = await followed(client, world, change)
        assert result.structured_content["endpoint"]["max_workers"] == 2
    assert world.count("create_serverless_endpoint") == 1


async def test_a_failed_deployment_is_a_completed_task_with_an_error(settings: Settings, world: World) -> None:
    async with server(settings, world) as client:
        task_id = await begun(client, "create_endpoint", {**SYNC, "image": "registry.invalid/a:1"})
        _, result = await followed(client, world, task_id)
        assert result.is_error
        assert "IMAGE_NOT_FOUND" in result.content[0].text


async def test_a_job_is_a_task_whose_cancelling_cancels_it_at_novita(settings: Settings, world: World) -> None:
    async with server(settings, world) as client:
        made = await begun(client, "create_endpoint", {**ASYNC, "confirm": True})
        await followed(client, world, made)
        job = await begun(client, "call_endpoint", {"endpoint_id": "jobs", "body": {"q": 1}})
        _, result = await followed(client, world, job)
        assert result.structured_content["result"] == {"echo": {"q": 1}}

        long = await begun(client, "call_endpoint", {"endpoint_id": "jobs", "body": {"_seconds": 500}})
        await ask(client, "tasks/cancel", long)
        (endpoint,) = world.area(ServerlessState).all.values()
        assert [work.status for work in endpoint.jobs.values()] == ["COMPLETED", "CANCELLED"]
        assert (await ask(client, "tasks/get", long)).status == "cancelled"


async def test_one_endpoint_is_a_resource_and_its_id_is_completed(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        made = await on.call("create_endpoint", **SYNC, env={"TOKEN": "keep-this-secret"})
        uri = f"novita://serverless/endpoints/{made['endpoint_id']}"
        (content,) = (await on.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        read: Json = json.loads(content.text)
        assert (read["endpoint"]["name"], read["env"]) == ("web", ["TOKEN"])
        assert "keep-this-secret" not in content.text
        template = ResourceTemplateReference(uri="novita://serverless/endpoints/{id}")
        found = await on.client.complete(template, {"name": "id", "value": made["endpoint_id"][:4]})
        assert found.completion.values == [made["endpoint_id"]]
        with pytest.raises(MCPError, match="not found"):
            await on.client.read_resource("novita://serverless/endpoints/nobody")
