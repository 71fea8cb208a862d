"""Several tasks by one call, and what went wrong, by day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import TaskStore

from ...building import quick
from ...conftest import Connect, text_of
from .test_tasks import make, structured, tasks

pytestmark = pytest.mark.old_models


async def test_several_tasks_are_waited_for_side_by_side_and_each_has_its_line(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        made = [await make(client, prompt=f"fox {seed}", wait_seconds=0) for seed in (1, 2)]
        ids = [each["task_id"] for each in made]
        done = structured(await client.call_tool("get_task", {"task_ids": [*ids, ids[0], "task-of-nobody"]}))
        assert [line["task_id"] for line in done["tasks"]] == [*ids, "task-of-nobody"]
        assert [line["status"] for line in done["tasks"]] == ["succeeded", "succeeded", "failed"]
        assert all(Path(line["files"][0]).is_file() for line in done["tasks"][:2])
        assert done["status"] == "incomplete"
        assert done["tasks"][2]["reason"]
        # Both were given: the same call makes another one now.
        before = world.count("qwen_image_txt2img")
        await make(client, prompt="fox 1")
        assert world.count("qwen_image_txt2img") == before + 1


async def test_what_is_not_done_when_the_wait_is_over_is_working(connect: Connect, world: World) -> None:
    world.never_end_next_task()
    async with connect(build=quick) as client:
        endless = (await make(client, prompt="fox 1", wait_seconds=0))["task_id"]
        other = (await make(client, prompt="fox 2"))["task_id"]
        seen = structured(await client.call_tool("get_task", {"task_ids": [endless, other], "wait_seconds": 5}))
        assert [line["status"] for line in seen["tasks"]] == ["working", "succeeded"]
        assert seen["status"] == "working"
        world.area(TaskStore).tasks[endless].endless = False
        seen = structured(await client.call_tool("get_task", {"task_ids": [endless, other]}))
        assert seen["status"] == "succeeded"


@pytest.mark.parametrize("arguments", [{}, {"task_id": "abcdef", "task_ids": ["abcdef"]}])
async def test_one_or_several_and_not_both_nor_neither(arguments: dict[str, Any], connect: Connect) -> None:
    async with connect(build=quick) as client:
        refused = await client.call_tool("get_task", arguments)
    assert refused.is_error
    assert "task_ids" in text_of(refused)


async def test_what_went_wrong_is_listed_by_day(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        good = (await make(client, prompt="fox 1"))["task_id"]
        world.fail_next_task("out of memory")
        bad = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a wolf"})
        assert bad.is_error
        today = datetime.now(UTC).date()
        around = f"{today - timedelta(days=1)} to {today}"  # midnight may pass meanwhile
        wrong = await tasks(client, went_wrong=True, period=around)
        assert [line["state"] for line in wrong] == ["failed"]
        assert {line["task_id"] for line in await tasks(client, period=around)} == {good, wrong[0]["task_id"]}
        assert await tasks(client, period=f"{today - timedelta(days=9)} to {today - timedelta(days=2)}") == []
        refused = await client.call_tool("list_tasks", {"went_wrong": True, "state": "succeeded"})
        assert refused.is_error
