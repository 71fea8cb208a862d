"""Slow work: what outlives a wait, a caller or a process is found again, and nothing is sent twice."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.tasks import TaskStore

from ...building import quick
from ...conftest import Connect, structured, text_of

pytestmark = pytest.mark.old_models

SPEND = "qwen_image_txt2img"
LOOK = "get_task_result"


async def make(client: Client, **more: Any) -> dict[str, Any]:
    return structured(
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox", **more})
    )


async def tasks(client: Client, **more: Any) -> list[dict[str, Any]]:
    return structured(await client.call_tool("list_tasks", more))["tasks"]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Give the server a moment to get there."""
    with anyio.fail_after(60):
        while not await true():
            await anyio.sleep(0.01)


# Waits that end too early


async def test_a_wait_that_ran_out_is_taken_up_by_another_server(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task()
    async with connect(build=quick, wait_seconds=45) as client:
        answer = await make(client)
        assert answer["status"] == "working"
        assert answer["task_id"] in answer["next_step"]
        assert "do not ask for it again" in answer["next_step"]
    task = world.area(TaskStore).tasks[answer["task_id"]]
    task.endless = False

    async with connect(build=quick) as client:  # a new process, as far as anything is kept
        finished = structured(await client.call_tool("get_task", {"task_id": task.id}))
        assert finished["status"] == "succeeded"
        assert Path(finished["artifacts"][0]["path"]).is_file()
        assert (await tasks(client))[0]["state"] == "succeeded"
    assert world.count(SPEND) == 1
    assert len(world.charges) == 1


async def test_a_call_may_say_how_long_to_wait(connect: Connect, world: World) -> None:
    world.never_end_next_task(2)
    async with connect(build=quick) as client:
        assert (await make(client, wait_seconds=0))["status"] == "working"
        assert world.count(LOOK) == 0
        assert (await make(client, wait_seconds=20, again=True))["status"] == "working"
        looks = world.count(LOOK)
        assert looks > 20
        assert (await make(client, again=True))["status"] == "succeeded"


async def test_get_task_looks_once_where_nobody_wants_to_wait(connect: Connect, world: World) -> None:
    world.never_end_next_task()
    async with connect(build=quick) as client:
        task_id = (await make(client, wait_seconds=0))["task_id"]
        looked = structured(await client.call_tool("get_task", {"task_id": task_id, "wait_seconds": 0}))
        assert looked["status"] == "working"
        assert world.count(LOOK) == 1


async def test_a_finished_task_is_answered_without_asking_novita(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        made = await make(client)
        looks = world.count(LOOK)
        again = structured(await client.call_tool("get_task", {"task_id": made["task_id"]}))
        assert again["artifacts"] == made["artifacts"]
        assert world.count(LOOK) == looks


@pytest.mark.parametrize("budget", [0, 45])
async def test_a_task_that_nobody_knows_is_an_error_at_once(connect: Connect, world: World, budget: float) -> None:
    async with connect(build=quick) as client:
        result = await client.call_tool("get_task", {"task_id": "no-such-task", "wait_seconds": budget})
        assert result.is_error
        assert "TASK_NOT_FOUND" in text_of(result)
        assert world.count(LOOK) == 1
        assert await tasks(client) == []


async def test_the_tasks_of_another_key_stay_theirs(connect: Connect, world: World) -> None:
    world.add_account("sk-another")
    async with connect(build=quick) as client:
        task_id = (await make(client))["task_id"]
    async with connect(build=quick, api_key="sk-another") as client:
        assert await tasks(client) == []
        result = await client.call_tool("get_task", {"task_id": task_id})
        assert result.is_error


async def test_progress_begins_at_once_and_names_the_task(connect: Connect, world: World) -> None:
    world.set(manual=True)
    seen: list[tuple[float, str]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message or ""))

    async with connect(build=quick) as client:
        result = await client.call_tool(
            "generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"}, progress_callback=on_progress
        )
        task_id = structured(result)["task_id"]
    numbers = [number for number, _ in seen]
    assert numbers == sorted(numbers)
    assert "submitting" in seen[0][1]
    assert sum(task_id in message for _, message in seen) >= 3


# Lists


async def test_what_was_started_is_listed_newest_first_and_in_pages(connect: Connect, world: World) -> None:
    async with connect(build=quick) as client:
        for number in range(5):
            await make(client, prompt=f"fox {number}")
        first = structured(await client.call_tool("list_tasks", {"limit": 3}))
        second = structured(await client.call_tool("list_tasks", {"limit": 3, "offset": 3}))
        assert [row["title"] for row in first["tasks"]] == ["fox 4", "fox 3", "fox 2"]
        assert [row["title"] for row in second["tasks"]] == ["fox 1", "fox 0"]
        assert (first["more"], second["more"]) == (True, False)
        assert Path(first["tasks"][0]["files"][0]).is_file()


async def test_a_list_can_be_narrowed_to_a_state(connect: Connect, world: World) -> None:
    world.fail_next_task("too foxy")
    async with connect(build=quick) as client:
        await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "the first"})
        await make(client, prompt="the second")
        assert [row["title"] for row in await tasks(client, state="failed")] == ["the first"]
        assert [row["title"] for row in await tasks(client, state="succeeded")] == ["the second"]
        assert await tasks(client, state="unconfirmed") == []
        assert (await tasks(client, state="failed"))[0]["reason"] == "too foxy"


async def test_the_longest_list_is_not_too_long_for_a_model(connect: Connect, world: World) -> None:
    """Product 8: no answer is larger than about 8,000 tokens, 28,000 characters."""
    async with connect(build=quick) as client:
        for number in range(51):
            await make(client, prompt=f"fox {number} " + "with a very long story " * 20, wait_seconds=0)
        result = await client.call_tool("list_tasks", {"limit": 50})
        answer = structured(result)
        assert answer["more"] is True
        assert len(text_of(result)) <= 28_000
        assert len(answer["tasks"]) >= 20


# Callers that leave


async def test_a_cancelled_wait_stops_looking_and_the_task_can_be_had(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    """Product 13: looking stopped within 0.2 s. Novita's own log says so."""
    world.never_end_next_task()
    left = 0.0
    async with connect() as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(make, client)

                async def looked() -> bool:
                    return world.count(LOOK) >= 3

                await until(looked)
                left = world.clock.now()
                scope.cancel()
        await anyio.sleep(1.2)  # three times the pause between looks this early
        late = [request for request in world.received(LOOK) if request.at > left + 0.2]
        assert len(late) <= 1, "on a slow machine, one may have been on its way"

        (row,) = await tasks(client)
        assert row["state"] == "working"
        world.area(TaskStore).tasks[row["task_id"]].endless = False
        answer = structured(await client.call_tool("get_task", {"task_id": row["task_id"]}))
        assert Path(answer["artifacts"][0]["path"]).is_file()
    assert world.count(SPEND) == 1


async def test_a_call_cancelled_during_its_submit_still_leaves_the_task_id(connect: Connect, world: World) -> None:
    world.trouble({"held": True}, operation=SPEND)
    async with connect() as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(make, client)

                async def received() -> bool:
                    return world.count(SPEND) == 1

                await until(received)
                scope.cancel()
        world.troubles.clear()

        async def noted() -> bool:
            rows = await tasks(client)
            return rows[0]["task_id"] in world.area(TaskStore).tasks

        await until(noted)
        (row,) = await tasks(client)
        answer = structured(await client.call_tool("get_task", {"task_id": row["task_id"]}))
        assert answer["status"] == "succeeded"
    assert world.count(SPEND) == 1


async def test_a_call_cancelled_while_its_file_comes_gets_it_home_all_the_same(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    """It is paid for. Nothing but the whole file is left, and asking again only names it."""
    world.trouble({"held": True}, path="/_simulator/files/*")
    async with connect() as client:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(make, client)

                async def fetching() -> bool:
                    return any(request.path.startswith("/_simulator/files/") for request in list(world.requests))

                await until(fetching)
                scope.cancel()
        world.troubles.clear()

        async def at_home() -> bool:
            (row,) = await tasks(client)
            return row["state"] == "succeeded" and len(whole()) == 1

        def whole() -> list[Path]:
            return [path for path in (tmp_path / "out").rglob("*") if path.is_file()]

        await until(at_home)
        (row,) = await tasks(client)
        answer = structured(await client.call_tool("get_task", {"task_id": row["task_id"]}))
        assert [Path(answer["artifacts"][0]["path"])] == whole()
    assert world.count(SPEND) == 1
