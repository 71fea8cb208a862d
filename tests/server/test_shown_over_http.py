"""Over HTTP nothing is saved here, and yet the model sees what it made, and reads what it measures."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import World
from PIL import Image

from ..conftest import text_of

pytestmark = pytest.mark.old_models

Connect = Callable[..., AbstractAsyncContextManager[Client]]
FOX: dict[str, Any] = {"model": "qwen-image-txt2img", "prompt": "a fox", "size": "768x512"}
FILES = "/_simulator/files/*"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spool is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def shown(result: CallToolResult) -> list[Image.Image]:
    assert not result.is_error, text_of(result)
    return [Image.open(BytesIO(base64.b64decode(part.data))) for part in result.content if part.type == "image"]


def one(result: CallToolResult) -> dict[str, Any]:
    answer: dict[str, Any] = result.structured_content or {}
    (artifact,) = answer["artifacts"]
    return artifact


async def test_a_picture_is_seen_measured_and_not_kept(connect_http: Connect, world: World, data: Path) -> None:
    async with connect_http() as client:
        made = await client.call_tool("generate_image", FOX)
        (picture,) = shown(made)
        text, block = (part.annotations for part in made.content)
        assert text is not None and text.priority == 1
        assert block is not None and block.audience == ["user", "assistant"]
        artifact = one(made)
        again = await client.call_tool("get_task", {"task_id": artifact["task_id"]})
        assert len(shown(again)) == 1

    (file,) = world.files.files.values()
    assert picture.size == (512, 341)
    assert (artifact["width"], artifact["height"], artifact["bytes"]) == (768, 512, len(file.data))
    assert artifact["sha256"] == hashlib.sha256(file.data).hexdigest()
    assert artifact["url"]
    assert "path" not in artifact
    assert [path for path in data.rglob("*") if "spool" in path.parts and path.is_file()] == []


async def test_of_a_video_a_frame_is_seen(connect_http: Connect) -> None:
    pytest.importorskip("av")
    async with connect_http() as client:
        made = await client.call_tool(
            "generate_video", {"prompt": "a fox runs", "duration": 5, "wait_seconds": 60, "confirm": True}
        )
        assert len(shown(made)) == 1
        assert one(made)["bytes"] > 0
        assert one(made)["duration_seconds"] == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("fault", [{"status": 404}, {"html": True}, {"cut": 60}])
async def test_what_cannot_be_fetched_is_not_shown_and_costs_nothing(
    connect_http: Connect, world: World, fault: dict[str, Any]
) -> None:
    world.trouble(fault, path=FILES, times=-1)
    async with connect_http() as client:
        made = await client.call_tool("generate_image", FOX)
        assert shown(made) == []
        assert one(made)["url"]
        assert (made.structured_content or {})["status"] == "succeeded"
    assert len(world.charges) == 1


async def test_who_wants_no_pictures_has_none_fetched(connect_http: Connect, world: World) -> None:
    async with connect_http(thumbnails=False) as client:
        assert shown(await client.call_tool("generate_image", FOX)) == []
    (file,) = world.files.files.values()
    assert file.downloads == 0
