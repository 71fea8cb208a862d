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
RETIRED = {model.id for model in known_models().values() if model.state == "retired"}
EMPTY = {"edit_video": "edit_image", "generate_music": "GPU"}
"""Tools of which nothing that lives is known for the call below, and what they say there is instead."""


@pytest.mark.parametrize("tool", MEDIA)
async def test_every_tool_delivers_or_says_what_is_missing(
    tool: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    arguments = CALLS[tool](Things(tmp_path, world, simulator.url))
    arguments.pop("model", None)
    async with connect(toolsets="all") as client:
        result = await client.call_tool(tool, {**arguments, "confirm": True})

    said = text_of(result)
    if tool in EMPTY:
        assert result.is_error, said
        assert "known to live" in said or "not served by Novita any more" in said, said
        assert "Nothing was billed" in said
        assert EMPTY[tool] in said.partition("What else there is")[2]
        assert not world.charges
        return
    assert not result.is_error, said
    answer: dict[str, Any] = result.structured_content or {}
    assert answer.get("artifacts") or answer.get("values") or answer.get("text"), said
    assert answer["status"] == "succeeded"
    assert answer["model"] not in RETIRED
    # Nothing that is gone was asked first: whatever was sent was taken.
    sent = [each for each in world.requests if each.method == "POST"]
    assert sent
    assert {each.status for each in sent} == {200}, [(each.path, each.status) for each in sent]
