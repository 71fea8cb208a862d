"""A call ends with its wait, whatever the file server does; what is paid for comes home by itself."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.types import CallToolResult
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import Connect, text_of
from ..media_things import clip, picture

FILES = "/_simulator/files/*"


def told(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


async def test_files_that_come_slowly_outlast_the_call_and_are_there_a_moment_later(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.3)
    world.trouble({"held": True}, path=FILES)
    async with connect() as client:
        made = await client.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0.2})
        first = told(made)
        assert first["status"] == "working"
        assert "paid" in text_of(made)
        assert "get_task" in first["next_step"]

        world.troubles.clear()
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
    world.trouble({"held": True}, path=FILES)
    async with connect() as client:
        first = told(await client.call_tool("generate_image", {"prompt": "a fox", "wait_seconds": 0.2}))
        seen = told(await client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 0}))
        assert seen["status"] == "working"
        assert seen["artifacts"][0]["url"]


async def test_a_model_that_answers_late_outlasts_the_call_and_is_waited_for_by_its_id(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that make a picture within the request take a minute or two; clients hang up after one."""
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.1)
    world.trouble({"held": True}, operation="ming_image_design")
    wish = {"model": "ming-image-0.1-design", "prompt": "a fox", "confirm": True}
    async with connect() as client:
        made = await client.call_tool("generate_image", wish | {"wait_seconds": 0.2})
        first = told(made)
        assert first["status"] == "working"
        assert first["task_id"] in first["next_step"]
        seen = told(await client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 0}))
        assert seen["status"] == "working"

        world.troubles.clear()
        now = told(await client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 30}))
        assert now["status"] == "succeeded"
        assert Path(now["artifacts"][0]["path"]).is_file()
        assert len(world.charges) == 1


async def test_a_late_answer_that_is_a_refusal_is_told_to_who_asks(
    connect: Connect, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.1)
    world.add_account(DEFAULT_KEY, 0.0)
    world.trouble({"held": True}, operation="ming_image_design")
    wish = {"model": "ming-image-0.1-design", "prompt": "a fox", "confirm": True}
    async with connect() as client:
        first = told(await client.call_tool("generate_image", wish | {"wait_seconds": 0.2}))
        assert first["status"] == "working"
        world.troubles.clear()
        late = await client.call_tool("get_task", {"task_id": first["task_id"], "wait_seconds": 30})
        assert late.is_error
        assert "Nothing was billed" in text_of(late)
        assert not world.charges


async def test_an_upload_that_outlasts_the_wait_is_ended_and_nothing_is_submitted(
    connect: Connect, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novita_mcp.novita.media.jobs.SHORT_WORK", 0.5)
    world.trouble({"hang": True}, operation="upload_video_asset", times=-1)
    film = clip(tmp_path / "clip.mp4", seconds=1, world=world)
    wish = {"video": film, "image": picture(tmp_path / "face.png"), "edit": "swap_face", "confirm": True}
    async with connect() as client:
        ended = await client.call_tool("edit_video", wish | {"wait_seconds": 0})
        assert ended.is_error
        assert "nothing was submitted" in text_of(ended)
        assert "Nothing was billed" in text_of(ended)
        assert "wait_seconds=" in text_of(ended)
        assert world.count("video_merge_face") == 0
        assert not world.charges
