"""What counts as delivered, whoever asks for it: only then does the same call make another job.

Ours. By the simulator's books; tests/tools/kit/test_same_call.py tells what is the same call and what joins.
"""

import pytest
from mcp import Client
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, fields_of
from ...server.test_mcp_tasks import Tasks
from ...server.test_mcp_tasks import ask as ask_task
from ..gpu.test_mcp_tasks import begun
from ..gpu_stage import Json, OpenStage, Stage, built_on
from .joining import answered_once_joined
from .test_same_call import FOX, RENTED, all_ask, ask, joined, servers

pytestmark = pytest.mark.old_models

ROWS: Json = {"rows": [{"prompt": "a"}, {"prompt": "b"}], "options": {"max_tokens": 50}}


async def test_get_batch_delivers_once_the_batch_is_over(connect: Connect, world: World) -> None:
    world.area(BatchState).knobs.seconds = 1_000
    async with connect(toolsets="all") as client:
        first = await ask(client, "create_batch", **ROWS)
        assert (await ask(client, "get_batch", batch_id=first["batch_id"], wait_seconds=0))["status"] == "working"
        assert joined(await ask(client, "create_batch", **ROWS)), "a look that saw it run gave nothing"
        world.advance(1_000)
        assert (await ask(client, "get_batch", batch_id=first["batch_id"]))["status"] != "working"
        second = await ask(client, "create_batch", **ROWS)
        assert not joined(second) and second["batch_id"] != first["batch_id"]
    assert world.count("create_batch") == 2


async def test_a_batch_that_was_cancelled_is_not_joined(connect: Connect, world: World) -> None:
    world.area(BatchState).knobs.seconds = 1_000
    async with connect(toolsets="all") as client:
        first = await ask(client, "create_batch", **ROWS)
        await ask(client, "cancel_batch", batch_id=first["batch_id"], confirm=True)
        second = await ask(client, "create_batch", **ROWS)
        assert not joined(second) and second["batch_id"] != first["batch_id"]
    assert world.count("create_batch") == 2


async def with_jobs(on: Stage) -> Json:
    wish: Json = {"image": "docker.io/acme/served:1", "takes_jobs": True, "gpu": "4090", "name": "jobs"}
    await on.call("create_endpoint", **wish, min_workers=1, confirm=True)
    return {"endpoint_id": "jobs", "body": {"q": "foxes", "_seconds": 40}}


async def test_a_job_of_an_endpoint_is_one_until_its_result_was_given(opened: OpenStage, world: World) -> None:
    async with opened() as on, opened() as other:
        asked = await with_jobs(on)
        first = await on.call("call_endpoint", **asked, wait_seconds=0)
        assert first["status"] == "working" and not joined(first)
        second = await other.call("call_endpoint", **asked, wait_seconds=0)
        assert joined(second) and second["job_id"] == first["job_id"] and second["status"] == "working"
        looked = await on.call("call_endpoint", job_id=first["job_id"], wait_seconds=0)
        assert looked["status"] == "working"
        third = await other.call("call_endpoint", **asked)
        assert joined(third) and third["job_id"] == first["job_id"] and third["result"]["echo"]["q"] == "foxes"
        fourth = await other.call("call_endpoint", **asked, wait_seconds=0)
        assert not joined(fourth) and fourth["job_id"] != first["job_id"]
        fifth = await other.call("call_endpoint", **{**asked, "body": {"q": "snow"}}, wait_seconds=0)
        assert not joined(fifth)
    assert world.count("run_async_job") == 3


async def test_call_endpoint_with_the_job_id_delivers(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        asked = await with_jobs(on)
        first = await on.call("call_endpoint", **asked, wait_seconds=0)
        given = await on.call("call_endpoint", job_id=first["job_id"])
        assert given["result"]["echo"]["q"] == "foxes"
        assert not joined(await on.call("call_endpoint", **asked, wait_seconds=0))
    assert world.count("run_async_job") == 2


async def test_a_job_of_an_endpoint_that_was_cancelled_is_not_joined(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        asked = await with_jobs(on)
        first = await on.call("call_endpoint", **asked, wait_seconds=0)
        await on.call("call_endpoint", job_id=first["job_id"], cancel=True)
        assert not joined(await on.call("call_endpoint", **asked, wait_seconds=0))
    assert world.count("run_async_job") == 2


def taking_tasks(settings: Settings, world: World) -> Client:
    return Client(create_app(settings, build=built_on(world)), extensions=[Tasks()])


@pytest.mark.parametrize("tool", ["generate_image", "create_gpu_instance", "create_batch", "call_endpoint"])
async def test_a_task_delivers_when_it_is_completed_and_its_handle_does_not(
    settings: Settings, world: World, tool: str
) -> None:
    """Two handles of the same call are of the same job. The modern era alone has such tasks."""
    world.set(task_seconds=20)
    world.area(BatchState).knobs.seconds = 20
    calls: dict[str, tuple[Json, str]] = {
        "generate_image": (FOX, "z_image_turbo"),
        "create_gpu_instance": ({**RENTED["create_gpu_instance"][0], "confirm": True}, "create_gpu_instance"),
        "create_batch": (ROWS, "create_batch"),
        "call_endpoint": ({"endpoint_id": "jobs", "body": {"_seconds": 20}}, "run_async_job"),
    }
    arguments, operation = calls[tool]
    async with taking_tasks(settings, world) as client, taking_tasks(settings, world) as other:
        if tool == "call_endpoint":
            wish: Json = {"image": "docker.io/acme/served:1", "takes_jobs": True, "gpu": "4090", "name": "jobs"}
            await begun(client, "create_endpoint", {**wish, "min_workers": 1, "confirm": True})
            world.advance(60)
        first = await begun(client, tool, arguments)
        second = await begun(other, tool, arguments)
        assert world.count(operation) == 1
        assert (await ask_task(client, "tasks/get", first)).status == "working"
        await begun(other, tool, arguments)
        assert world.count(operation) == 1, "a look that saw it run gave nothing"
        world.advance(100)
        results = [
            (await ask_task(each, "tasks/get", task)).result for each, task in ((client, first), (other, second))
        ]
        assert all(result is not None and not result.is_error for result in results)
        assert len({fields_of(result)["status"] for result in results if result}) == 1
        await begun(other, tool, {**arguments, "again": tool == "create_gpu_instance"})
    assert world.count(operation) == 2


RACED: dict[str, tuple[Json, str, str]] = {
    "create_gpu_instance": (RENTED["create_gpu_instance"][0], "create_gpu_instance", "instance_id"),
    "create_endpoint": (RENTED["create_endpoint"][0], "create_serverless_endpoint", "endpoint_id"),
    "create_batch": (ROWS, "create_batch", "batch_id"),
    "save_gpu_volume": ({"name": "data", "size_gb": 10, "region": "us-ca-06"}, "create_network_storage", "id"),
    "create_sandbox": ({"label": "fox"}, "create_sandbox", "sandbox_id"),
    "generate_video": ({"prompt": "a red fox runs", "seed": 7}, "", "task_id"),
}


@pytest.mark.parametrize("tool", RACED)
async def test_servers_that_are_asked_for_the_same_at_once_make_it_once(
    connect: Connect, world: World, tool: str
) -> None:
    """Some frameworks start a process for every call."""
    arguments, operation, named = RACED[tool]
    async with servers(connect) as clients:
        with answered_once_joined(world, 2):
            answers = await all_ask(clients, tool, **arguments, confirm=True)
    assert sum(map(joined, answers)) == 2
    assert len({answer[named] for answer in answers}) == 1
    made = [charge.ref for charge in world.charges if charge.operation in ("create_sandbox", operation)]
    assert len(set(made)) <= 1 and (not operation or operation == "create_sandbox" or world.count(operation) == 1)
