"""In the world as Novita's notices have it, every tool delivers or says plainly what is missing."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

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
        assert "known to live" in said or "known to be on offer" in said, said
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


LIVING: dict[str, tuple[str, dict[str, Any]]] = {
    "a first frame": ("generate_video", {"prompt": "it runs", "image": "picture"}),
    "first and last frame": ("generate_video", {"prompt": "it runs", "image": "picture", "end_image": "picture"}),
    "references": ("generate_video", {"prompt": "it runs", "images": ["picture", "picture"]}),
    "with sound": ("generate_video", {"prompt": "it barks", "sound": True, "duration": 3}),
    "motion": ("edit_video", {"edit": "motion", "video": "film", "image": "picture"}),
    "a face": ("edit_video", {"edit": "swap_face", "video": "film", "image": "picture"}),
    "a face in a picture": ("edit_image", {"edit": "swap_face", "image": "picture", "images": ["picture"]}),
    "several pictures": ("generate_image", {"prompt": "a fox", "count": 2}),
    "a shape": ("generate_image", {"prompt": "a fox", "aspect_ratio": "16:9"}),
    "a picture in another shape": ("edit_image", {"prompt": "snow", "image": "picture", "size": "2048x2048"}),
    "two pictures": ("edit_image", {"prompt": "together", "image": "picture", "images": ["picture"]}),
    "a voice": ("generate_speech", {"text": "Good morning.", "voice": "calm female", "language": "English"}),
}


@pytest.mark.parametrize("case", LIVING)
async def test_whatever_is_asked_goes_first_to_what_lives(
    case: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    tool, wish = LIVING[case]
    things = Things(tmp_path, world, simulator.url)
    files = {"picture": things.picture, "film": things.film}

    def ready(value: Any) -> Any:
        if isinstance(value, list):
            return [ready(one) for one in cast("list[Any]", value)]
        return files[value]() if value in files else value

    async with connect() as client:
        arguments = {name: ready(value) for name, value in wish.items()}
        result = await client.call_tool(tool, {**arguments, "confirm": True})
    answer: dict[str, Any] = result.structured_content or {}
    assert not result.is_error, text_of(result)
    assert answer["status"] == "succeeded"
    assert answer["model"] not in RETIRED
    sent = [each for each in world.requests if each.method == "POST"]
    assert {each.status for each in sent} == {200}, [(each.path, each.status) for each in sent]
    # The simulator takes what the price facts say: no estimate lies below it.
    assert sum(charge.micro_usd for charge in world.charges) <= Decimal(answer["estimated_cost_usd"]) * 1_000_000


@pytest.mark.parametrize("tool", [name for name in MEDIA if name not in EMPTY])
async def test_no_tool_costs_more_today_than_its_description_says(
    tool: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    """What counts towards limits where the price is not known is told too: no description promises a price then."""
    arguments = CALLS[tool](Things(tmp_path, world, simulator.url))
    arguments = {name: value for name, value in arguments.items() if name not in ("model", "count")}
    async with connect(toolsets="all") as client:
        result = await client.call_tool(tool, {**arguments, "dry_run": True})
        (listed,) = [each for each in (await client.list_tools()).tools if each.name == tool]

    answer: dict[str, Any] = result.structured_content or {}
    description = " ".join((listed.description or "").split())
    amounts = re.findall(r"\$(\d+(?:\.\d+)?)", description.replace("about a cent", "$0.01"))
    told = max((Decimal(usd) for usd in amounts), default=None)
    if answer["estimated_cost_usd"] == "unknown":
        assert "The price is not known; counted as at most $" in answer["next_step"]
        assert "not known" in description
        assert told is not None and told == Decimal(answer["counted_usd"]).quantize(Decimal("0.01"))
    else:
        assert told is not None and Decimal(answer["estimated_cost_usd"]) <= told * Decimal("1.2")
