"""What jobs of a kind took before decides how often the next one is looked at, whatever the kind."""

import pytest
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
    return World(WorldSettings(task_seconds=SECONDS, speed=0))


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
    unknown, *_, known = looks
    assert known < unknown * 0.8, looks
