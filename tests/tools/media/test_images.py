"""generate_image, as a host meets it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World
from PIL import Image

from ...conftest import Connect, fields_of, text_of


async def test_a_prompt_becomes_a_saved_picture_that_opens(connect: Connect, world: World) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_image", {"prompt": "a red fox in the snow", "size": "2048x1920"})

        assert not result.is_error, text_of(result)
        answer: dict[str, Any] = result.structured_content or {}
        assert answer["status"] == "succeeded"
        (artifact,) = answer["artifacts"]
        assert Path(artifact["path"]).stem.endswith("_a-red-fox-in-the-snow_1")
        with Image.open(artifact["path"]) as picture:
            assert picture.size == (2048, 1920) == (artifact["width"], artifact["height"])
        assert [block.type for block in result.content] == ["text", "image"]
        assert answer["task_id"] in text_of(result)
        assert artifact["path"] in text_of(result)
        assert world.count("seedream_5_0_lite") == 1


async def test_of_a_saved_file_the_text_leaves_what_only_programs_read_to_the_structure(connect: Connect) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_image", {"prompt": "a red fox in the snow"})

        (artifact,) = fields_of(result)["artifacts"]
        told = text_of(result)
        assert {"url", "sha256", "bytes", "mime"} <= artifact.keys()
        for name in ("url", "expires_at", "sha256", "bytes", "mime"):
            assert f"{name}:" not in told
        assert "http" not in told
        assert artifact["sha256"] not in told


async def test_variants_pick_a_model_that_can_make_several(connect: Connect, world: World) -> None:
    async with connect() as client:
        result = await client.call_tool("generate_image", {"prompt": "a red fox", "count": 3, "seed": 7})

        answer: dict[str, Any] = result.structured_content or {}
        assert len(answer["artifacts"]) == 3
        assert answer["seed"] == 7
        assert "seed: 7, of all 3 together; it repeats no single one" in text_of(result)
        assert answer["estimated_cost_usd"] == "0.009"
        assert world.count("flux_1_schnell") == 1


@pytest.mark.old_models
async def test_no_patience_gives_the_task_id_and_get_task_brings_the_file(connect: Connect, world: World) -> None:
    async with connect() as client:
        started = await client.call_tool(
            "generate_image", {"model": "qwen-image-txt2img", "prompt": "a slow fox", "wait_seconds": 0}
        )
        answer: dict[str, Any] = started.structured_content or {}
        assert answer["status"] == "working"

        finished = await client.call_tool("get_task", {"task_id": answer["task_id"]})

        answer = finished.structured_content or {}
        assert answer["status"] == "succeeded"
        assert Path(answer["artifacts"][0]["path"]).is_file()
        assert world.count("qwen_image_txt2img") == 1


async def test_over_http_files_come_as_links_and_paths_stay_private(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    async with connect_http() as client:
        result = await client.call_tool("generate_image", {"prompt": "a red fox in the snow"})

        assert not result.is_error, text_of(result)
        answer: dict[str, Any] = result.structured_content or {}
        (artifact,) = answer["artifacts"]
        assert artifact["url"].startswith("http")
        assert "path" not in artifact
        assert world.leaked_keys == 0
