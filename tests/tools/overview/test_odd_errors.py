"""Errors that say what is the case, and nothing that misleads: kind 15 of the inputs that people have, and case 38."""

import json
from dataclasses import replace
from typing import Any

import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.server.building import build_app
from novita_mcp.simulator.core.facts import error_rows
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.gpu.state import GpuState

from ...conftest import Connect, text_of
from ..gpu_stage import OpenStage
from ..media_things import refused

pytestmark = pytest.mark.old_models

Json = dict[str, Any]
IMAGE = "docker.io/library/ubuntu:24.04"
FOX: Json = {"prompt": "a fox", "model": "qwen-image-txt2img"}
LOOK = "get_task_result"


def quick(settings: Any, background: Any) -> Any:
    """A server that does not wait long between its tries."""
    app = build_app(settings, background)
    app.client = replace(app.client, retries=RetryPolicy(attempts=2, first=0.01, longest=0.02))
    return app


CALLS: dict[str, tuple[str, str, Json]] = {
    "media": ("generate_image", "qwen_image_txt2img", FOX),
    "llm": ("chat", "create_chat_completion", {"prompt": "hi", "max_tokens": 20}),
    "gpu": ("get_gpu_instance", "get_gpu_instance", {"instance_id": "abc"}),
    "billing": ("get_bill", "query_usage_based_billing", {"kind": "usage"}),
    "llm_batch": ("get_batch", "retrieve_batch", {"batch_id": "batch_abc", "wait_seconds": 0}),
}
"""A tool, and the first call it makes, for each group of errors."""

MISLEADING = ("named on", "growing pauses", "the reference", "Authorization", "productCategory", "path and method")


@pytest.mark.parametrize("group", CALLS)
async def test_every_documented_error_of_a_group_is_told_with_what_to_do(
    connect: Connect, world: World, group: str
) -> None:
    """All 101 rows, sent by the simulator to a tool of their group, over HTTP."""
    tool, operation, arguments = CALLS[group]
    rows = [row for row in error_rows() if row["group"] == group]
    assert rows
    async with connect(toolsets="all", build=quick) as client:
        for row in rows:
            body = json.dumps({"code": row["http_status"], "reason": row["name"], "message": "so it is"})
            world.trouble(
                {"status": row["http_status"], "body": body, "content_type": "application/json"},
                operation=operation,
                times=-1,
            )
            text = await refused(client.call_tool(tool, arguments))
            world.troubles.clear()

            assert "fault in novita-mcp" not in text
            assert not [word for word in MISLEADING if word in text], text
            assert "may have been billed" not in text or row["http_status"] >= 500
            if row["http_status"] < 500 and group in ("media", "llm"):
                assert "Nothing was billed" in text


async def test_a_502_is_of_the_gateway_whoever_is_asked(connect: Connect, world: World) -> None:
    world.trouble({"status": 502, "body": "<html>Bad Gateway</html>"}, times=-1)
    async with connect(toolsets="all", build=quick) as client:
        for tool, arguments in (("get_balance", {}), ("list_models", {}), ("search_web", {"query": "foxes"})):
            text = await refused(client.call_tool(tool, arguments), "502")
            assert "web search pages" not in text


async def test_why_a_task_could_not_be_asked_about_is_told(connect: Connect, world: World) -> None:
    world.trouble({"status": 503, "body": '{"message": "the queue is full"}'}, operation=LOOK, times=-1)
    async with connect(build=quick) as client:
        unknown = await refused(client.call_tool("get_task", {"task_id": "0f5ee1ec-dead", "wait_seconds": 0}))
        started = await client.call_tool("generate_image", {**FOX, "wait_seconds": 0})
        task = str((started.structured_content or {"task_id": ""})["task_id"])
        known = text_of(await client.call_tool("get_task", {"task_id": task, "wait_seconds": 0}))

    assert "the queue is full" in unknown and "503" in unknown
    assert "status: working" in known and "the queue is full" in known


async def test_why_a_machine_or_an_endpoint_could_not_be_asked_about_is_told(opened: OpenStage, world: World) -> None:
    cause = {"status": 503, "body": '{"message": "the queue is full"}'}
    async with opened(toolsets="all") as on:
        world.trouble(cause, operation="get_gpu_instance", times=-1)
        made = await on.call("create_gpu_instance", image=IMAGE, name="box", confirm=True, wait_seconds=5)
        world.troubles.clear()
        assert made["status"] == "working" and "the queue is full" in made["next_step"]

        world.trouble(cause, operation="get_serverless_endpoint", times=-1)
        wish: Json = {"image": "docker.io/library/nginx:1", "port": 80, "name": "web"}
        deployed = await on.call("create_endpoint", **wish, confirm=True, wait_seconds=5)
        world.troubles.clear()
        assert deployed["status"] == "working" and "the queue is full" in deployed["next_step"]

        await on.call("get_gpu_instance", instance_id="box", wait_seconds=900)
        await on.call("stop_gpu_instance", instance_id="box", confirm=True)
        world.advance(600)
        world.trouble(cause, operation="list_gpu_jobs", times=-1)
        saved = await on.call("save_gpu_image", instance_id="box", image="docker.io/me/box:1", wait_seconds=5)
        assert saved["status"] == "working" and "the queue is full" in saved["next_step"]


async def test_a_task_that_is_working_is_told_without_a_cause(connect: Connect, world: World) -> None:
    world.settings = replace(world.settings, task_seconds=1_000)
    async with connect() as client:
        started = await client.call_tool("generate_image", {**FOX, "wait_seconds": 0})
        task = str((started.structured_content or {"task_id": ""})["task_id"])
        told = text_of(await client.call_tool("get_task", {"task_id": task, "wait_seconds": 0}))

    assert "status: working" in told
    assert "could not be asked" not in told


@pytest.mark.parametrize("given", ["..", ".", "../..", "%2e%2e"])
@pytest.mark.parametrize("tool", ["get_endpoint", "get_gpu_instance", "get_batch", "get_file", "get_task"])
async def test_an_id_stays_in_its_route(connect: Connect, world: World, tool: str, given: str) -> None:
    name = tool.removeprefix("get_").removeprefix("gpu_") + "_id"
    async with connect(toolsets="all", build=quick) as client:
        await refused(client.call_tool(tool, {name: f"{given}..." if tool == "get_task" and given == "." else given}))

    beyond = [request for request in world.requests if request.operation is None]
    assert not beyond, beyond


async def test_a_machine_without_the_cuda_that_was_asked_for_was_not_taken_by_somebody_else(
    opened: OpenStage,
) -> None:
    async with opened() as on:
        wish: Json = {"image": IMAGE, "gpu": "4090", "options": {"minCudaVersion": "99.1"}}
        text = await on.refused("create_gpu_instance", **wish, confirm=True)

    assert "CUDA 99.1" in text
    assert "taken" not in text
    assert "minCudaVersion" in text


async def test_what_is_out_of_stock_is_shown_by_an_argument_that_exists(opened: OpenStage) -> None:
    async with opened() as on:
        text = await on.refused("create_gpu_instance", image=IMAGE, billing="monthly", count=8, region="nowhere")
        assert "in_stock" not in text


async def test_volumes_that_outlive_an_instance_are_named_with_what_they_cost(opened: OpenStage, world: World) -> None:
    """Case 38: in the question, and in the answer."""
    volume = world.area(GpuState).storages.create(world.accounts["sk-simulated"], "us-tx-02", "data", 50)
    async with opened() as on:
        made = await on.call("create_gpu_instance", image=IMAGE, volumes={volume.id: "/data"}, confirm=True)
        asked = await on.call("delete_gpu_instance", instance_id=made["instance_id"])
        done = await on.call("delete_gpu_instance", instance_id=made["instance_id"], confirm=True)

    for told in (asked["next_step"], done["next_step"]):
        assert f"data ({volume.id}, 50 GB, $0.10 a day, estimated)" in told
        assert "still costs money" in told


async def test_volumes_that_outlive_an_endpoint_are_named_too(opened: OpenStage, world: World) -> None:
    volume = world.area(GpuState).storages.create(world.accounts["sk-simulated"], "us-tx-02", "data", 10)
    async with opened() as on:
        wish: Json = {"image": "docker.io/library/nginx:1", "port": 80, "options": {"volumes": {volume.id: "/data"}}}
        made = await on.call("create_endpoint", **wish, confirm=True)
        asked = await on.call("delete_endpoint", endpoint_id=made["endpoint_id"])
        done = await on.call("delete_endpoint", endpoint_id=made["endpoint_id"], confirm=True)

    assert volume.id in asked["next_step"] and "$0.02 a day" in asked["next_step"]
    assert volume.id in done["next_step"]


async def test_an_instance_without_volumes_leaves_nothing_that_costs(opened: OpenStage) -> None:
    async with opened() as on:
        made = await on.call("create_gpu_instance", image=IMAGE, confirm=True)
        done = await on.call("delete_gpu_instance", instance_id=made["instance_id"], confirm=True)

    assert "costing" not in done.get("next_step", "")
