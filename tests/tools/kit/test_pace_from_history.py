"""What jobs of a kind took before decides how often the next one is looked at, whatever the kind."""

import pytest
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings

from ..gpu_stage import Json, OpenStage

SECONDS = 100
CASES: dict[str, tuple[Json, str]] = {
    "generate_image": ({"prompt": "a fox", "model": "qwen-image-txt2img"}, "get_task_result"),
    "create_gpu_instance": ({"image": "docker.io/a/b:1", "gpu": "4090"}, "get_gpu_instance"),
    "create_endpoint": ({"image": "docker.io/library/nginx:1", "port": 80}, "get_serverless_endpoint"),
}
"""Arguments, and the operation that looks."""
NAMED = ("create_gpu_instance", "create_endpoint")


@pytest.fixture
def world() -> World:
    return World(WorldSettings(task_seconds=SECONDS, speed=0, old_models=True))


@pytest.mark.parametrize("tool", CASES)
async def test_looks_are_saved_once_it_is_known_how_long_it_takes(tool: str, opened: OpenStage, world: World) -> None:
    arguments, look = CASES[tool]
    looks: list[int] = []
    async with opened(toolsets="all") as on:
        for turn in range(4):
            name = {"name": f"fox-{turn}"} if tool in NAMED else {}
            before = world.count(look)
            made = await on.call(tool, **arguments, **name, wait_seconds=SECONDS * 5, confirm=True)
            assert made["status"] in ("succeeded", "running", "serving", "ready"), made
            looks.append(world.count(look) - before)
    saves(looks)


async def test_looks_at_jobs_of_an_endpoint_are_saved_too(opened: OpenStage, world: World) -> None:
    looks: list[int] = []
    async with opened(toolsets="all") as on:
        pool: Json = {"image": "docker.io/a/b:1", "takes_jobs": True, "gpu": "4090", "min_workers": 1, "confirm": True}
        await on.call("create_endpoint", **pool, name="jobs", wait_seconds=SECONDS * 5)
        for _ in range(4):
            before = world.count("get_async_job_status")
            call: Json = {"endpoint_id": "jobs", "body": {"_seconds": SECONDS}, "wait_seconds": SECONDS * 5}
            assert (await on.call("call_endpoint", **call))["status"] == "succeeded"
            looks.append(world.count("get_async_job_status") - before)
    saves(looks)


async def test_looks_at_batches_are_saved_too(opened: OpenStage, world: World) -> None:
    world.area(BatchState).knobs.seconds = SECONDS
    looks: list[int] = []
    async with opened(toolsets="all") as on:
        for _ in range(4):
            made = await on.call("create_batch", rows=[{"prompt": "a fox"}], confirm=True)
            before = world.count("retrieve_batch")
            done = await on.call("get_batch", batch_id=made["batch_id"], wait_seconds=SECONDS * 5)
            assert done["status"] == "succeeded", done
            looks.append(world.count("retrieve_batch") - before)
    saves(looks)


def saves(looks: list[int]) -> None:
    unknown, *_, known = looks
    assert known < unknown * 0.8, looks
