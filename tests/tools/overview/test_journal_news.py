"""What happens to the journal's file under a running server is told with the next answer, once."""

from pathlib import Path
from typing import Any

import pytest
from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of

pytestmark = pytest.mark.old_models


def told(result: CallToolResult) -> dict[str, Any]:
    return result.structured_content or {}


async def test_a_journal_that_was_removed_is_told_and_what_was_open_is_still_there(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    world.never_end_next_task()
    picture = {"model": "qwen-image-txt2img", "prompt": "a fox"}
    async with connect() as client:
        started = await client.call_tool("generate_image", {**picture, "wait_seconds": 0})
        task_id = told(started)["task_id"]
        for file in tmp_path.glob("journal.sqlite3*"):
            file.unlink()
        made = await client.call_tool("generate_image", {**picture, "prompt": "another fox"})
        listed = await client.call_tool("list_tasks", {})
    assert not made.is_error, text_of(made)
    assert "Tell the user: The journal" in text_of(made)
    assert "was removed while the server was running" in text_of(made)
    assert "Tell the user" not in text_of(listed)
    ids = {task["task_id"] for task in told(listed)["tasks"]}
    assert ids == {task_id, told(made)["task_id"]}


async def test_a_damaged_journal_is_told(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"\xaa" * 9_000)
    async with connect() as client:
        made = await client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a fox"})
        listed = await client.call_tool("list_tasks", {})
    assert not made.is_error, text_of(made)
    assert "was damaged" in text_of(made)
    assert len(told(listed)["tasks"]) == 1
    (aside,) = tmp_path.glob("journal.sqlite3.damaged-*")
    assert aside.read_bytes().startswith(b"SQLite format 3")
