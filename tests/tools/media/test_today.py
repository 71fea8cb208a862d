"""In the world as Novita's notices have it, every tool delivers or says plainly what is missing."""

from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.lifecycle import known_models
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.serving import Running

from ...conftest import Connect, text_of
from ..one_call_per_tool import CALLS, Things

MEDIA = [
    "generate_image",
    "edit_image",
    "inpaint_image",
    "upscale_image",
    "remove_background",
    "replace_background",
    "describe_image",
    "generate_video",
    "edit_video",
    "generate_speech",
    "transcribe_audio",
    "clone_voice",
    "design_voice",
    "generate_music",
    "generate_lyrics",
]
RETIRED = [model.id for model in known_models().values() if model.state == "retired"]


@pytest.mark.parametrize("tool", MEDIA)
async def test_every_tool_delivers_or_says_what_is_missing(
    tool: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    arguments = CALLS[tool](Things(tmp_path, world, simulator.url))
    arguments.pop("model", None)
    async with connect(toolsets="all") as client:
        result = await client.call_tool(tool, {**arguments, "confirm": True})

    said = text_of(result)
    if result.is_error:
        assert "not served by Novita any more" in said or "not there" in said, said
        assert "Nothing was billed" in said
        assert not world.charges
        return
    answer: dict[str, Any] = result.structured_content or {}
    assert answer.get("artifacts") or answer.get("values") or answer.get("text"), said
    assert answer["model"] not in RETIRED


async def test_no_tool_begins_with_a_model_that_is_gone(connect: Connect, world: World) -> None:
    """What is first in its chain lives, so that the first request is the only one."""
    async with connect(toolsets="all") as client:
        for tool in ("generate_image", "generate_video", "generate_speech"):
            await client.call_tool(tool, {**CALLS[tool](Things(Path(), world, "")), "model": None, "confirm": True})

    submits = [request for request in world.requests if request.method == "POST"]
    assert len(submits) == 3
    assert {request.status for request in submits} == {200}
