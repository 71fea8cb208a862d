"""A call ends with its wait, whatever the file server does; what is paid for comes home by itself."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.types import CallToolResult
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of

FILES = "/_simulator/files/*"


def told(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def test_files_that_come_slowly_outlast_the_call_and_are_there_a_moment_later(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.3)
    world.trouble({"delay": 6}, path=FILES)
    async with connect() as client:
        made = await client.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0.2})
        first = told(made)
        assert first["status"] == "working"
        assert "paid" in text_of(made)
        assert "get_task" in first["next_step"]

        with anyio.fail_after(20):
            while (now := told(await client.call_tool("get_task", {"task_id": first["task_id"]})))[
                "status"
            ] == "working":
                await anyio.sleep(0.05)
        assert now["status"] == "succeeded"
        assert Path(now["artifacts"][0]["path"]).is_file()
        assert len([request for request in world.requests if request.path.startswith("/_simulator/files/")]) == 1


async def test_a_look_at_files_that_are_on_their_way_does_not_wait_for_them(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.1)
    world.trouble({"delay": 20}, path=FILES)
    async with connect() as client:
        first = told(await client.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0.2}))
        seen = told(await client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 0}))
        assert seen["status"] == "working"
        assert seen["artifacts"][0]["url"]
